"""One run through a schedule of faults."""

import contextlib
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Shell
from tests.chaos.endpoint import Endpoint
from tests.chaos.faults import FAULTS
from tests.chaos.oracle import Account, account_of
from tests.chaos.scene import LEASE_S, SWEEP_S, Scene

_PATIENCE_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault, and what came of it."""

    fault: str
    again_s: float
    """From its end until something was answered."""
    all_s: float
    """From its end until all was answered that was being answered when it began."""
    paid_twice: int
    """Completions until then that the endpoint had given before."""


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What a run went through, and its account."""

    seed: int
    items: int
    strikes: "tuple[Strike, ...]"
    up_ended: tuple[str, ...]
    seconds: float
    account: Account
    memory_mib: tuple[tuple[float, dict[str, float]], ...] = ()
    """Seconds since the start, and what each process took."""

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "items": self.items,
            "faults": [asdict(one) for one in self.strikes],
            "up_ended": list(self.up_ended),
            "seconds": self.seconds,
            "holds": self.account.holds,
            **self.account.as_json(),
            **({"memory_mib": [[at, of] for at, of in self.memory_mib]} if self.memory_mib else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How a run is, apart from its faults."""

    items: int
    wait_s: float
    """How long the small tier takes for a chunk."""
    lease_s: float = LEASE_S
    sweep_s: float = SWEEP_S
    clock: Path | None = None
    every_s: float | None = None
    """A fault so often; None: one after another."""


@dataclass(kw_only=True)
class _Storm:
    scene: Scene
    weather: Weather
    dice: random.Random
    seed: int
    started_s: float = field(default_factory=time.monotonic)
    done: list[Strike] = field(default_factory=list)
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def strike(self, name: str) -> None:
        began_s, paid = time.monotonic(), self.scene.endpoint.repeats
        held = self.scene.claimed()
        FAULTS[name](self.scene, self.dice)
        again_s = self.scene.recover(patience_s=_PATIENCE_S)
        all_s = again_s + self.scene.answered(held, patience_s=_PATIENCE_S)
        paid = self.scene.endpoint.repeats - paid
        self.done.append(Strike(fault=name, again_s=round(again_s, 1), all_s=round(all_s, 1), paid_twice=paid))
        print(f"seed {self.seed}: {self.done[-1]}", file=sys.stderr, flush=True)
        if self.weather.every_s is not None:
            time.sleep(max(0.0, self.weather.every_s / 2 - (time.monotonic() - began_s)))
            self.memory.append((round(time.monotonic() - self.started_s, 1), self.scene.memory_mib()))
            print(f"seed {self.seed}: {self.memory[-1]}", file=sys.stderr, flush=True)
            time.sleep(max(0.0, self.weather.every_s - (time.monotonic() - began_s)))


def through(shell: Shell, endpoint: Endpoint, names: Sequence[str], weather: Weather, *, seed: int) -> Survived:
    """Do these faults to a run, one after another, each after some answers, and account for it."""
    dice = random.Random(seed)
    scene = Scene(shell, endpoint, weather.items, weather.lease_s, weather.sweep_s, weather.clock)
    try:
        storm = _Storm(scene=scene, weather=weather, dice=dice, seed=seed)
        scene.begin(wait_s=weather.wait_s)
        scene.recover(patience_s=_PATIENCE_S)
        for name in names:
            if scene.state() == "done":
                break
            time.sleep(dice.uniform(0.3, 1.5))
            storm.strike(name)
        scene.finish(patience_s=1200.0)
        return Survived(
            seed=seed,
            items=weather.items,
            strikes=tuple(storm.done),
            up_ended=tuple(scene.ended),
            seconds=round(time.monotonic() - storm.started_s, 1),
            account=account_of(scene),
            memory_mib=tuple(storm.memory),
        )
    finally:
        with contextlib.suppress(Exception):
            scene.stop()
