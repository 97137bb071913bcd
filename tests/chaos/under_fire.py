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
from tests.chaos.scene import Scene

_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What a run went through, and its account."""

    seed: int
    items: int
    recovery_s: tuple[tuple[str, float], ...]
    """Fault → seconds from its end until something was answered again."""
    up_ended: tuple[str, ...]
    seconds: float
    account: Account

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "items": self.items,
            "faults": [{"fault": name, "recovery_s": seconds} for name, seconds in self.recovery_s],
            "up_ended": list(self.up_ended),
            "seconds": self.seconds,
            "holds": self.account.holds,
            **self.account.as_json(),
        }


def through(
    shell: Shell, endpoint: Endpoint, names: Sequence[str], *, seed: int, items: int, wait_s: float
) -> Survived:
    """Do these faults to a run, one after another, each after some answers, and account for it."""
    dice, done = random.Random(seed), []
    scene = Scene(shell, endpoint, items)
    try:
        started_s = time.monotonic()
        scene.begin(wait_s=wait_s)
        scene.recover(patience_s=_PATIENCE_S)
        for name in names:
            if scene.state() == "done":
                break
            time.sleep(dice.uniform(0.3, 1.5))
            FAULTS[name](scene, dice)
            done.append((name, round(scene.recover(patience_s=_PATIENCE_S), 1)))
            print(f"seed {seed}: {name}: {done[-1][1]} s", file=sys.stderr, flush=True)
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
