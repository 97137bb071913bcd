"""Reads the complete lines of one file from an offset on. Nothing in a line can stop it: what is no text is escaped."""

import contextlib
import functools
import glob
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline.adapters.log_files.journal import BEGINS, entries
from pipeline.adapters.log_files.packing import DAMAGE, MAGIC_BYTES, packing_of, skip
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.blocks import MOST_LINE_BYTES, Block, last_beginning, text_of
from pipeline.ports.logs import Place

_ZIP = b"PK\x03\x04"
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_TAIL_BYTES = 4096
_DIGEST_BYTES = 16
_DAMAGE_OR_END: tuple[type[Exception], ...] = (EOFError, *DAMAGE)
_PIECE_BYTES = 1 << 20
_MOST_BLOCK_BYTES = 8 * _PIECE_BYTES
"""Where no event begins for so long, one is cut."""


def found_files(names: Sequence[str]) -> list[Path]:
    """Return the files that paths and globs name, each once; raises ConfigError for one that names none."""
    found: dict[Path, None] = {}
    for name in names:
        try:
            named = Path(name).is_file()
            paths = [Path(name)] if named else [Path(one) for one in sorted(glob.glob(name))]  # noqa: PTH207 — a pattern may be absolute
            paths = [path for path in paths if path.is_file()]
        except OSError as error:
            raise ConfigError(f"{name} cannot be looked up: {error.strerror}") from None
        if not paths:
            raise ConfigError(f"{name}: no such file; name files or quote a pattern, as in '/var/log/app.log*'")
        found |= dict.fromkeys(paths)
    return list(found)


class LogFileReader:
    """One file. Places are in uncompressed bytes, so that a file and its compressed copy have the same."""

    def __init__(self, path: Path) -> None:
        """Look at how it is stored; raises ConfigError for what cannot be read."""
        self.path = path
        try:
            with path.open("rb") as file:
                magic = file.read(MAGIC_BYTES)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        if magic.startswith(_WIDE):
            raise ConfigError(f"{path} is UTF-16: convert it, as by iconv -f UTF-16 -t UTF-8")
        if magic.startswith(_ZIP):
            raise ConfigError(f"{path} is a zip archive: unpack it, or compress it with gzip or zstd")
        self._packing = packing_of(magic)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        packing = self._packing
        if packing is None:
            try:
                with self.path.open("rb") as file:
                    yield file
            except OSError as error:
                raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from None
            return
        try:
            with packing.opened(self.path) as file:
                yield file
        except EOFError:
            raise ConfigError(
                f"{self.path}: its {packing.name} data ends too early; what came before is kept"
            ) from None
        except DAMAGE as error:
            told = getattr(error, "strerror", None)
            damaged = f"its {packing.name} data is damaged or ends too early; what came before is kept"
            raise ConfigError(f"{self.path} cannot be read: {told or damaged}") from None

    def head(self) -> bytes | None:
        """Return the digest of the first line; None where there is no complete one yet."""
        with self._opened() as file:
            line = file.readline(MOST_LINE_BYTES)
        return _digest(line) if self._complete(line) else None

    def begins_like(self, place: Place) -> bool:
        """Whether the bytes before a place are those that stood there when it was read."""
        with self._opened() as file:
            skip(file, place.offset - place.tail_length)
            tail = file.read(place.tail_length)
        return len(tail) == place.tail_length and _digest(tail) == place.tail

    def first_lines(self, count: int) -> list[str]:
        """Return the first lines, as many as are there."""
        lines: list[str] = []
        # Of a damage `blocks` tells, when what is before it is read.
        with contextlib.suppress(ConfigError), self._opened() as file:
            if self._is_journal:
                lines += (text_of(line) for line, _ in itertools.islice(entries(_pieces(file)), count) if line)
                return lines
            while len(lines) < count and self._complete(raw := file.readline(MOST_LINE_BYTES)):
                lines.append(text_of(raw))
        return lines

    def blocks(
        self, place: Place | None, begins: Callable[[str], bool], *, is_growing: Callable[[], bool] | None = None
    ) -> Iterator[Block]:
        """Yield what stands behind a place in blocks of about a megabyte, each ending before a line that `begins`.

        In an unpacked file what has no line end yet is left for the next time, and of one that `is_growing`, which is
        asked at its end, all from the last line on that begins. Where data breaks off, the complete lines before come
        as a last block, then ConfigError.
        """
        at, number = (0, 0) if place is None else (place.offset, place.line)
        cut = self._entries if self._is_journal else self._lines
        problem: list[ConfigError] = []
        for data, stored in cut(at, begins, problem, is_growing):
            block = Block(data=data, start=at, lines_before=number, made_of=stored)
            at, number = block.end, block.lines_until
            yield block
        if problem:
            raise problem[0]

    def _lines(
        self,
        at: int,
        begins: Callable[[str], bool],
        problem: list[ConfigError],
        is_growing: Callable[[], bool] | None,
    ) -> Iterator[tuple[bytes, bytes | None]]:
        waiting, looked = b"", 0
        try:
            with self._opened() as file:
                skip(file, at)
                for piece in _pieces(file):
                    waiting += piece
                    complete = _lines_end(waiting)
                    end = last_beginning(waiting[:complete], begins, since=looked)
                    if not end and len(waiting) >= _MOST_BLOCK_BYTES:
                        end = complete
                    looked = complete - end  # in what is left none begins up to there, but for its first line
                    if end:
                        yield waiting[:end], None
                        waiting = waiting[end:]
        except ConfigError as error:
            problem.append(error)
        end = len(waiting) if self._packing is not None and not problem else _lines_end(waiting)
        if end and self._packing is None and is_growing is not None and is_growing():
            end = last_beginning(waiting[:end], begins)
        if end:
            yield waiting[:end], None

    def _entries(
        self, at: int, _: Callable[[str], bool], problem: list[ConfigError], __: Callable[[], bool] | None
    ) -> Iterator[tuple[bytes, bytes | None]]:
        read: list[bytes] = []
        lines: list[bytes] = []
        length = 0
        try:
            with self._opened() as file:
                skip(file, at)
                for line, size in entries(_kept(_pieces(file), read)):
                    lines.append(line)
                    length += size
                    if length >= _PIECE_BYTES:
                        stored = b"".join(read)
                        yield b"".join(lines), stored[:length]
                        read[:], lines, length = [stored[length:]], [], 0
        except ConfigError as error:
            problem.append(ConfigError(f"{self.path}: {error}") if str(self.path) not in str(error) else error)
        if length:
            yield b"".join(lines), b"".join(read)[:length]

    @functools.cached_property
    def _is_journal(self) -> bool:
        with self._opened() as file:
            return file.read(len(BEGINS)) == BEGINS

    def place(self, block: Block, head: bytes) -> Place:
        """Return the place behind a block."""
        tail = block.stored[-_TAIL_BYTES:]
        return Place(head=head, offset=block.end, tail_length=len(tail), tail=_digest(tail), line=block.lines_until)

    @property
    def name(self) -> str:
        """What it is called, in text; other bytes of its name are written in hexadecimal."""
        return shown_name(self.path)

    def size_bytes(self) -> int:
        """Return how large it is as it is stored."""
        return self._stat().st_size

    def modified_s(self) -> float:
        """Return when it was written last, in seconds since 1970."""
        return self._stat().st_mtime

    def _stat(self) -> os.stat_result:
        try:
            return self.path.stat()
        except OSError as error:  # a rotation has moved it meanwhile: it goes on under its new name
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from None

    def _complete(self, raw: bytes) -> bool:
        return raw.endswith(b"\n") or len(raw) == MOST_LINE_BYTES or (self._packing is not None and bool(raw))


def shown_name(path: Path) -> str:
    """Return a path as text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield what a file has; a damage takes nothing with it that was read before."""
    parts: list[bytes] = []
    size = 0
    try:
        while part := file.read1(_PIECE_BYTES):  # type: ignore[attr-defined]
            parts.append(part)
            size += len(part)
            if size >= _PIECE_BYTES:
                yield b"".join(parts)
                parts, size = [], 0
    except _DAMAGE_OR_END:
        yield b"".join(parts)
        raise
    yield b"".join(parts)


def _kept(pieces: Iterable[bytes], into: list[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        into.append(piece)
        yield piece


def _lines_end(data: bytes) -> int:
    """Return where the last complete line ends; 0 where none does."""
    end = data.rfind(b"\n") + 1
    return end + MOST_LINE_BYTES if len(data) - end >= MOST_LINE_BYTES else end
