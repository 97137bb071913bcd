"""One run through a schedule of faults."""

import contextlib
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.acceptance.conftest import Shell
from tests.chaos.endpoint import Endpoint
from tests.chaos.faults import FAULTS
from tests.chaos.oracle import Account, account_of
from tests.chaos.scene import LEASE_S, Scene

_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What a run went through, and its account."""

    seed: int
    items: int
    recovery_s: tuple[tuple[str, float, float], ...]
    """Fault, and seconds from its end until something was answered, and until what was being answered then was."""
    up_ended: tuple[str, ...]
    seconds: float
    account: Account

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "items": self.items,
            "faults": [{"fault": name, "again_s": again, "all_s": all_s} for name, again, all_s in self.recovery_s],
            "up_ended": list(self.up_ended),
            "seconds": self.seconds,
            "holds": self.account.holds,
            **self.account.as_json(),
        }


def through(
    shell: Shell,
    endpoint: Endpoint,
    names: Sequence[str],
    *,
    seed: int,
    items: int,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Survived:
    """Do these faults to a run, one after another, each after some answers, and account for it."""
    dice, done = random.Random(seed), []
    scene = Scene(shell, endpoint, items, lease_s)
    try:
        started_s = time.monotonic()
        scene.begin(wait_s=wait_s)
        scene.recover(patience_s=_PATIENCE_S)
        for name in names:
            if scene.state() == "done":
                break
            time.sleep(dice.uniform(0.3, 1.5))
            held = scene.claimed()
            FAULTS[name](scene, dice)
            started_again_s = scene.recover(patience_s=_PATIENCE_S)
            caught_up_s = started_again_s + scene.answered(held, patience_s=_PATIENCE_S)
            done.append((name, round(started_again_s, 1), round(caught_up_s, 1)))
            print(f"seed {seed}: {name}: {done[-1][1:]} s", file=sys.stderr, flush=True)
        scene.finish(patience_s=600.0)
        return Survived(
            seed=seed,
            items=items,
            recovery_s=tuple(done),
            up_ended=tuple(scene.ended),
            seconds=round(time.monotonic() - started_s, 1),
            account=account_of(scene),
        )
    finally:
        with contextlib.suppress(Exception):
            scene.stop()
