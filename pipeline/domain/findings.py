"""What a check-up found: plain values, so that a terminal and a script show the same."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """A run works, but not as well, or shows less, than it could."""
    FAILURE = "failure"
    """A run would fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check."""

    name: str
    level: Level
    seen: str
    """What was seen; never a secret."""
    mend: str | None = None
    """What to do about it; None where nothing is to be done."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract of one check."""
        return {"name": self.name, "level": self.level.value, "seen": self.seen, "mend": self.mend}


def ok(name: str, seen: str) -> Finding:
    """Return a check that passed."""
    return Finding(name=name, level=Level.OK, seen=seen)


def warning(name: str, seen: str, mend: str) -> Finding:
    """Return a check that a run survives."""
    return Finding(name=name, level=Level.WARNING, seen=seen, mend=mend)


def failure(name: str, seen: str, mend: str | None = None) -> Finding:
    """Return a check that a run does not survive; `mend` is None where `seen` says it already."""
    return Finding(name=name, level=Level.FAILURE, seen=seen, mend=mend)
