"""Blocks: pieces of a file that hold whole events, so that each can be read by itself and anywhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.domain.logs.shapes import shape_of

MOST_LINE_BYTES: Final = 16 * 1024 * 1024
"""A longer line is cut into several, so that a file without line ends cannot fill the memory."""

_DIGITS = bytes.maketrans(b"0123456789", b"0000000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Complete lines of a file, or of what was made of it."""

    data: bytes
    start: int
    """Bytes of the file before it."""
    lines_before: int
    made_of: bytes | None = None
    """The bytes of the file, where they are others."""

    @property
    def stored(self) -> bytes:
        """Its bytes as they are in the file."""
        return self.data if self.made_of is None else self.made_of

    @property
    def end(self) -> int:
        """Bytes of the file up to its end."""
        return self.start + len(self.stored)

    @property
    def lines_until(self) -> int:
        """Lines of the file up to its end."""
        if len(self.data) <= MOST_LINE_BYTES:  # no line is cut, so it is enough to count
            return self.lines_before + self.data.count(b"\n") + (not self.data.endswith(b"\n"))
        return self.lines_before + sum(1 for _ in cut(self.data))

    def lines(self) -> tuple[list[str], list[str]]:
        """Return its lines, and the same with their digits made equal: cheap here, where it is done at once."""
        data = self.data.removesuffix(b"\n")
        if not self.data or len(data) >= MOST_LINE_BYTES or b"\r" in data:
            texts = [text_of(self.data[start:end]) for start, end in cut(self.data)]
            return texts, [shape_of(text) for text in texts]
        whole = _decoded(data)
        return whole.split("\n"), whole.encode().translate(_DIGITS).decode().split("\n")


def cut(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each line begins and ends, its line end included."""
    at = 0
    while at < len(data):
        found = data.find(b"\n", at, at + MOST_LINE_BYTES)
        end = min(at + MOST_LINE_BYTES, len(data)) if found < 0 else found + 1
        yield at, end
        at = end


def text_of(raw: bytes) -> str:
    """Return a line without its end; bytes that are no UTF-8, and NULs, are written in hexadecimal."""
    return _decoded(raw.rstrip(b"\r\n"))


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def last_beginning(data: bytes, begins: Callable[[str], bool], *, since: int = 0) -> int:
    """Return where the last line begins that an event may begin with; 0 where it is the first or none does.

    No line before `since`, where one begins, is looked at.
    """
    end = len(data)
    while end > since:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if begins(text_of(data[start:end])):
            return start
        end = start
    return 0
