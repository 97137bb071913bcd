"""Thresholds under review: proposed, read and changed by a person, applied, and kept in a history."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain.steps import Name

ABOVE_ALL = 1.01
"""A confidence that none reaches: everything goes up."""


class Review(BaseModel):
    """How often thresholds are looked at again; a proposal is a file, and a person applies it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: Literal["day", "week", "month"]

    def is_due(self, last: dt.date | None, today: dt.date) -> bool:
        """Whether another day, calendar week or month has begun since the last review; the first is due at once."""
        return last is None or self._period(last) < self._period(today)

    def _period(self, day: dt.date) -> tuple[int, ...]:
        if self.every == "month":
            return day.year, day.month
        return tuple(day.isocalendar()[:2]) if self.every == "week" else (day.toordinal(),)


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(_Told):
    """One threshold: as it is, and as it is proposed. Shares are between 0 and 1."""

    step: Name
    tier: Name
    now: float | None
    """None: whatever is well-formed."""
    proposed: Annotated[float, Field(ge=0.0, le=ABOVE_ALL)]


class Expected(_Told):
    """What an evaluation says of a step, with the thresholds as they are and as they are proposed."""

    step: Name
    texts: int
    accuracy_now: float
    accuracy_then: float
    usd_per_item_now: float | None = None
    usd_per_item_then: float | None = None


class Proposal(_Told):
    """Thresholds for a person to look at."""

    job: str
    evaluation: str
    """What it is made from: the name of an evaluation, or those of runs."""
    made_at: str
    change: tuple[Change, ...]
    expected: tuple[Expected, ...]


class Applied(_Told):
    """One application of a proposal, as the history keeps it."""

    at: str
    by: str
    """Who applied it: the account's name."""
    evaluation: str
    change: tuple[Change, ...]
