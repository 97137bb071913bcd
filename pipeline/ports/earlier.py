"""What a store knows of a job's earlier runs: answers that need not be asked for again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.domain.outcomes import Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An answer that stood in an earlier run."""

    text_no: int
    """To which of the texts."""
    step_no: int
    """To which of that run's steps."""
    given: Given
    """As it was given then, with no tokens: nothing of it is read or written again."""
    model: str
    """What answered, as the ledger names it."""


class EarlierStore(Protocol):
    """Answers of earlier runs, found by text."""

    def answered_before(self, run_id: int, tier_no: int, texts: Sequence[str], *, model: str | None) -> Sequence[Known]:
        """Return what a tier of a run answered to these texts, where it stood and the whole text was read.

        `model`: only what it answered, as the ledger names it; None: whatever the tier asked. A text that was forgotten
        there is not found.
        """
        ...
