"""What a store forgets when it is told to: a key's rows, and the texts of runs that ended long ago."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.domain.forgetting import ErasedTexts, Forgotten

BATCH_TEXTS = 100_000


class ForgetStore(Protocol):
    """Erasing. What calls have cost stays, and so do all counts: a row that is forgotten is counted as such."""

    def runs_with_key(self, key: str) -> Sequence[int]:
        """Return the numbers of the runs that have an item with exactly this key, in their order."""
        ...

    def forget(self, run_id: int, key: str, *, dry_run: bool = False) -> Forgotten:
        """Erase every item of a run with this key, and all that was derived of it, in one transaction.

        A text that a row with another key has too passes on to the first such row, with its answers; that row then
        stands in the forgotten one's place. A worker who is answering a forgotten item is refused, and what else is in
        its chunk is asked again. With `dry_run` nothing is changed. Raises RunNotFound.
        """
        ...

    def erase_texts(self, *, ended_for_s: float, limit: int = BATCH_TEXTS) -> ErasedTexts:
        """Erase up to `limit` texts, and what models said that was no answer, of runs that ended so long ago.

        Answers stay. Such a run's questions cannot be asked again.
        """
        ...

    def vacuum(self) -> None:
        """Give up the old versions of the rows that were changed, which the database keeps until then."""
        ...


__all__ = ["BATCH_TEXTS", "ErasedTexts", "ForgetStore", "Forgotten"]
