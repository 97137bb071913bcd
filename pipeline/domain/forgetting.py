"""Forgetting: what was erased of a key or of a run's texts, told in numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Final

FORGOTTEN: Final = "forgotten"
"""Reason of an attempt of which only its cost is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was erased of a key in one run."""

    run: str
    items: int
    """Rows with that key: key, text, source and line."""
    copies: int
    """Among `items`: those that had the text of an earlier row."""
    passed_on: int
    """Among `items`: those whose text and answers stay, because a row with another key has the same text."""
    attempts: int
    """Answers, their confidences and defects; what they cost stays."""
    verdicts: int
    labels: int
    """What people said."""
    waiting: int
    """Questions that waited for a higher tier."""
    chunks: int
    """Chunks out of which items were taken; whoever is answering one is refused, and the rest of it is asked again."""
    drawings: int
    """Windows that are drawn again, because something that they count is gone."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedTexts:
    """What became of the texts of runs that ended long ago."""

    texts: int
    runs: tuple[str, ...] = ()
    """Runs of which none is left."""
    more: bool = False
    """There are others that are due."""


def texts_gone(run: str) -> str:
    """Say why a run's questions cannot be asked again, and what to do."""
    return (
        f"texts of {run} that would be asked again are erased (HEADRACE_KEEP_TEXT_DAYS): submit the source as a new "
        "run, by a job with another name"
    )
