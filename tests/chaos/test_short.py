"""A short fixed schedule of faults, for every change: nothing lost, nothing twice, every repeat explained."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shell
from tests.chaos.endpoint import serving
from tests.chaos.under_fire import Weather, through

SCHEDULE = ["Redis loses its data", "whole worker, kill -9", "endpoint: cut stream", "Postgres, kill -9"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.end()


def test_a_run_under_fire_ends_with_the_tables_of_a_quiet_one(shell: Shell) -> None:
    with serving() as endpoint:
        found = through(shell, endpoint, SCHEDULE, Weather(items=800, wait_s=0.3), seed=7)
    assert found.account.holds, found
    assert [one.fault for one in found.strikes] == SCHEDULE
