"""One run through a schedule of faults."""

import contextlib
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    memory_mib: tuple[tuple[float, dict[str, float]], ...] = ()
    """Seconds since the start, and what each process took."""

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "items": self.items,
            "faults": [{"fault": name, "again_s": again, "all_s": all_s} for name, again, all_s in self.recovery_s],
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
    done: list[tuple[str, float, float]] = field(default_factory=list)
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def strike(self, name: str) -> None:
        began_s = time.monotonic()
        held = self.scene.claimed()
        FAULTS[name](self.scene, self.dice)
        again_s = self.scene.recover(patience_s=_PATIENCE_S)
        all_s = again_s + self.scene.answered(held, patience_s=_PATIENCE_S)
        self.done.append((name, round(again_s, 1), round(all_s, 1)))
        print(f"seed {self.seed}: {name}: {self.done[-1][1:]} s", file=sys.stderr, flush=True)
        if self.weather.every_s is not None:
            time.sleep(max(0.0, self.weather.every_s / 2 - (time.monotonic() - began_s)))
            self.memory.append((round(time.monotonic() - self.started_s, 1), self.scene.memory_mib()))
            print(f"seed {self.seed}: {self.memory[-1]}", file=sys.stderr, flush=True)
            time.sleep(max(0.0, self.weather.every_s - (time.monotonic() - began_s)))


def through(shell: Shell, endpoint: Endpoint, names: Sequence[str], weather: Weather, *, seed: int) -> Survived:
    """Do these faults to a run, one after another, each after some answers, and account for it."""
    dice = random.Random(seed)
    scene = Scene(shell, endpoint, weather.items, weather.lease_s, weather.clock)
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
            recovery_s=tuple(storm.done),
            up_ended=tuple(scene.ended),
            seconds=round(time.monotonic() - storm.started_s, 1),
            account=account_of(scene),
            memory_mib=tuple(storm.memory),
        )
    finally:
        with contextlib.suppress(Exception):
            scene.stop()
