"""Source: where items come from, as a stream that can begin again where it stopped."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pipeline.domain.items import Item, RejectedRow

Row: TypeAlias = Item | RejectedRow


class Columns(Protocol):
    """What of a row becomes an item; a Job is such."""

    @property
    def text(self) -> str:
        """Template over the row's columns; `{text}` for plain lines."""
        ...

    @property
    def key(self) -> str | None:
        """Column that names an item; None: the line number."""
        ...


@dataclass(frozen=True, slots=True)
class WholeLines:
    """Each line is an item, known by its number."""

    text: str = "{text}"
    key: str | None = None


class Source(Protocol):
    """A frozen input: the same digest always gives the same rows in the same order."""

    @property
    def digest(self) -> str:
        """SHA-256 over the content and over how it is read (format, template's columns)."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes to read, as stored (compressed where compressed)."""
        ...

    def rows(self, *, skip: int = 0) -> Iterator[Row]:
        """Yield every row but the first `skip`, in order, in flat memory."""
        ...

    def bytes_read(self) -> int:
        """Bytes consumed so far by the running iteration, for a progress bar."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How inputs are read."""

    format: str | None = None
    """csv, tsv, jsonl or lines; None: by the file's ending, compressed or not."""
    encoding: str = "utf-8"
    max_row_bytes: int = 16 * 1024 * 1024
    """A longer row is rejected, so that a file without line ends can't fill the memory."""
