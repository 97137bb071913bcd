"""Who keeps ending is told of; who ends now and then in a long night is only started again."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from pipeline.adapters.embedded import ChildExit, Supervisor
from pipeline.domain.errors import ServiceError
from pipeline.wiring.watch import Watch


class Children:
    """A supervisor whose children end as a list says, one at each look."""

    def __init__(self, folder: Path, exits: Sequence[ChildExit]) -> None:
        self._folder, self._exits = folder, list(exits)

    def poll(self) -> list[ChildExit]:
        return [self._exits.pop(0)] if self._exits else []

    def log_path(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def ended(uptime_s: float, *, code: int = 137) -> ChildExit:
    return ChildExit(name="worker-small", exit_code=code, uptime_s=uptime_s, restart_in_s=0.5)


def looks(folder: Path, exits: Sequence[ChildExit]) -> None:
    watch = Watch(cast("Supervisor", Children(folder, exits)), None)
    for _ in exits:
        watch.poll()


def test_a_child_that_ends_four_times_without_running_for_a_minute_is_given_up(tmp_path: Path) -> None:
    looks(tmp_path, [ended(3.0)] * 3)
    with pytest.raises(ServiceError, match="worker-small keeps ending"):
        looks(tmp_path, [ended(3.0)] * 4)


def test_a_child_that_ran_for_long_in_between_begins_anew(tmp_path: Path) -> None:
    looks(tmp_path, [ended(3.0)] * 3 + [ended(3600.0)] + [ended(3.0)] * 2)
    looks(tmp_path, [ended(3600.0)] * 20)


def test_an_error_that_no_restart_mends_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServiceError):
        looks(tmp_path, [ended(3600.0, code=2)])
