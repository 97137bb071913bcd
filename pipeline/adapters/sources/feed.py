"""Chunks of UTF-8 as blocks of whole physical lines, with the lines that no row may use marked as flaws.

A clean block is decoded at once. A block with anything odd in it is taken line by line, so that one bad line costs its
own row only. Where the blocks are cut changes nothing about the lines.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.adapters.sources.streams import StreamBroken
from pipeline.domain.items import RejectReason


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a line, or the row that holds it, can't become an Item; `detail` holds no text of it."""

    reason: RejectReason
    detail: str


@dataclass(slots=True, kw_only=True)
class Block:
    """Consecutive physical lines with their line ends."""

    first_line: int
    """Number of the first one, from 1."""
    lines: list[str]
    size_bytes: int
    """Of the lines, without those that are lost."""
    flaws: dict[int, Flaw] = field(default_factory=dict)
    """Line number → flaw. A line that is too large or lost stands as an empty string."""


def too_large(max_row_bytes: int) -> Flaw:
    """Return the flaw of a line or row of more than `max_row_bytes`."""
    return Flaw(
        RejectReason.ROW_TOO_LARGE,
        f"longer than {max_row_bytes} bytes; look for a missing line end or closing quote, or cut it into several",
    )


def broken_here(why: str) -> Flaw:
    """Return the flaw of the line from which on a stored file can't be read."""
    return Flaw(
        RejectReason.UNREADABLE, f"the file can't be read from here on: {why}; get a whole copy and submit it again"
    )


class _Cutter:
    """Cuts chunks into blocks behind line ends, keeping what is left of a line for the next chunk."""

    def __init__(self, max_row_bytes: int) -> None:
        self._max_row_bytes = max_row_bytes
        self._pending = bytearray()
        self._dropping = False  # inside a line that is too large
        self.line = 1

    def cut(self, chunk: bytes) -> Iterator[Block]:
        start = 0
        if self._dropping:
            start = chunk.find(b"\n") + 1
            if not start:
                return
            self._dropping = False
            yield self._advanced(_lost(self.line, too_large(self._max_row_bytes)))
        end = max(start, chunk.rfind(b"\n") + 1)
        if end > start:
            self._pending += memoryview(chunk)[start:end]
            yield self._take()
        self._pending += memoryview(chunk)[end:]
        if len(self._pending) > self._max_row_bytes:
            self._dropping = True
            self._pending.clear()

    def rest(self) -> Iterator[Block]:
        if self._dropping:
            yield _lost(self.line, too_large(self._max_row_bytes))
        elif self._pending:
            yield self._take()

    def _take(self) -> Block:
        body = bytes(self._pending)
        self._pending.clear()
        return self._advanced(_block(body, self.line, self._max_row_bytes))

    def _advanced(self, block: Block) -> Block:
        self.line += len(block.lines)
        return block


def blocks(chunks: Iterator[bytes], *, max_row_bytes: int) -> Iterator[Block]:
    """Yield all lines; a line over `max_row_bytes` (its end included) is dropped as it passes and leaves a flaw."""
    cutter = _Cutter(max_row_bytes)
    try:
        for chunk in chunks:
            yield from cutter.cut(chunk)
    except StreamBroken as error:
        yield _lost(cutter.line, broken_here(str(error)))
    else:
        yield from cutter.rest()


def _lost(line: int, flaw: Flaw) -> Block:
    return Block(first_line=line, lines=[""], size_bytes=0, flaws={line: flaw})


def _block(body: bytes, line: int, max_row_bytes: int) -> Block:
    if len(body) <= max_row_bytes and b"\0" not in body:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            pass
        else:
            return Block(first_line=line, lines=_split(text), size_bytes=len(body))
    return _flawed_block(body, line, max_row_bytes)


def _split(text: str) -> list[str]:
    # str.splitlines would also split at form feeds, U+2028 and the like
    return io.StringIO(text, newline="\n").readlines()


def _flawed_block(body: bytes, first_line: int, max_row_bytes: int) -> Block:
    block = Block(first_line=first_line, lines=[], size_bytes=0)
    for number, raw in enumerate(io.BytesIO(body), first_line):
        flaw = _flaw(raw, max_row_bytes)
        if flaw is not None:
            block.flaws[number] = flaw
        lost = flaw is not None and flaw.reason is RejectReason.ROW_TOO_LARGE
        block.lines.append("" if lost else raw.decode("utf-8", "surrogateescape"))
        block.size_bytes += 0 if lost else len(raw)
    return block


def _flaw(raw: bytes, max_row_bytes: int) -> Flaw | None:
    if len(raw) > max_row_bytes:
        return too_large(max_row_bytes)
    if (at := raw.find(b"\0")) >= 0:
        return Flaw(RejectReason.BAD_ENCODING, f"a NUL character at byte {at + 1} of a line; remove it")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return Flaw(
            RejectReason.BAD_ENCODING,
            f"byte {error.start + 1} of a line is not in the encoding given; mend it or give another --encoding",
        )
    return None
