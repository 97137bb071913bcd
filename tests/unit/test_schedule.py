"""Schedules as in cron: which moments were due."""

import datetime as dt
import itertools

import pytest

from pipeline.adapters.schedule import Schedule
from pipeline.domain.errors import ConfigError


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def before(at: str, now: str, *, zone: str = "UTC", count: int = 3) -> list[str]:
    found = itertools.islice(Schedule(at, zone).before(moment(now)), count)
    return [f"{one:%Y-%m-%dT%H:%M}" for one in found]


@pytest.mark.parametrize(
    ("at", "now", "due"),
    [
        ("30 4 * * *", "2026-11-30T04:30", ["2026-11-30T04:30", "2026-11-29T04:30", "2026-11-28T04:30"]),
        ("30 4 * * *", "2026-11-30T04:29", ["2026-11-29T04:30", "2026-11-28T04:30", "2026-11-27T04:30"]),
        ("0 */8 * * *", "2026-11-30T09:00", ["2026-11-30T08:00", "2026-11-30T00:00", "2026-11-29T16:00"]),
        ("0 3 * * 0", "2026-11-30T09:00", ["2026-11-29T03:00", "2026-11-22T03:00", "2026-11-15T03:00"]),
        ("0 3 * * mon-fri", "2026-11-30T02:00", ["2026-11-27T03:00", "2026-11-26T03:00", "2026-11-25T03:00"]),
        ("0 0 1 * *", "2026-11-30T02:00", ["2026-11-01T00:00", "2026-10-01T00:00", "2026-09-01T00:00"]),
    ],
)
def test_the_moments_that_were_due_come_the_latest_first(at: str, now: str, due: list[str]) -> None:
    assert before(at, now) == due


def test_a_schedule_is_kept_in_the_time_of_its_zone() -> None:
    # Summer time ended in Berlin in the night to October 25th.
    assert before("30 4 * * *", "2026-10-26T12:00", zone="Europe/Berlin") == [
        "2026-10-26T03:30",
        "2026-10-25T03:30",
        "2026-10-24T02:30",
    ]


@pytest.mark.parametrize("at", ["", "30 4", "61 4 * * *", "every night", "30 4 * * * *", "0 0 30 2 *"])
def test_what_is_no_schedule_is_refused_with_an_example(at: str) -> None:
    with pytest.raises(ConfigError, match="as in cron"):
        Schedule(at, "UTC")


def test_a_day_that_is_rare_is_found_years_back() -> None:
    assert before("0 0 29 2 *", "2027-11-30T02:00", count=1) == ["2024-02-29T00:00"]
