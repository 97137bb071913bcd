"""What a place that models come from must do, and how it says that it can't."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipeline.adapters.models.catalogue import CatalogueEntry
from pipeline.domain.errors import ModelError

#: Called with the bytes here so far, the bytes of the whole model, and a few words on what is being done.
Progress = Callable[[int, int, str], None]


def silent(_done_bytes: int, _total_bytes: int, _note: str) -> None:
    """Progress that nobody watches."""


class SourceUnavailable(ModelError):
    """One source does not give the file; another may. `pull` gathers these into the one error that a user sees."""


class ModelSource(Protocol):
    """A place that models come from. What it fetches is not trusted: the caller checks size and hash.

    `staging` is a folder of this model's own, which outlives a failed pull so that the next can go on from there.
    """

    @property
    def label(self) -> str:
        """What the user calls this place."""
        ...

    def offers(self, entry: CatalogueEntry) -> bool:
        """Whether the catalogue says that the model is to be had here."""
        ...

    def reach(self, entry: CatalogueEntry) -> None:
        """Find out within seconds that the place answers.

        Raises:
            SourceUnavailable: it does not, or it holds another file.
        """
        ...

    def bytes_to_write(self, entry: CatalogueEntry, staging: Path) -> int:
        """Disk space that a fetch still needs, given what an earlier one left."""
        ...

    def fetch(self, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
        """Bring the file into `staging`, going on where an earlier fetch stopped, and return its path there.

        Raises:
            SourceUnavailable: the file can't be had here; what came so far is kept.
        """
        ...

    def discard(self, entry: CatalogueEntry, staging: Path) -> None:
        """Throw away what was fetched, because its hash is wrong."""
        ...
