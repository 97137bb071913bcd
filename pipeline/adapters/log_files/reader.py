"""Reads the complete lines of one file from an offset on. Nothing in a line can stop it: what is no text is escaped."""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.adapters.log_files.packing import DAMAGE, MAGIC_BYTES, packing_of, skip
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.events import RawLine
from pipeline.ports.logs import Place

_ZIP = b"PK\x03\x04"
_TAIL_BYTES = 4096
_DIGEST_BYTES = 16
_MOST_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is cut into several, so that a file without line ends cannot fill the memory."""


def found_files(names: Sequence[str]) -> list[Path]:
    """Return the files that paths and globs name, each once; raises ConfigError for one that names none."""
    found: dict[Path, None] = {}
    for name in names:
        paths = [Path(name)] if Path(name).is_file() else [Path(one) for one in sorted(glob.glob(name))]  # noqa: PTH207 — a pattern may be absolute
        paths = [path for path in paths if path.is_file()]
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
        if magic.startswith(_ZIP):
            raise ConfigError(f"{path} is a zip archive: unpack it, or compress it with gzip or zstd")
        self._packing = packing_of(magic)

    @contextmanager
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
            line = file.readline(_MOST_LINE_BYTES)
        return _digest(line) if self._complete(line) else None

    def begins_like(self, place: Place) -> bool:
        """Whether the bytes before a place are those that stood there when it was read."""
        with self._opened() as file:
            skip(file, place.offset - place.tail_length)
            tail = file.read(place.tail_length)
        return len(tail) == place.tail_length and _digest(tail) == place.tail

    def lines(self, place: Place | None) -> Iterator[RawLine]:
        """Yield complete lines from a place on; in a plain file what has no line end yet is left for the next time."""
        at, number = (0, 0) if place is None else (place.offset, place.line)
        with self._opened() as file:
            skip(file, at)
            while raw := file.readline(_MOST_LINE_BYTES):
                if not self._complete(raw):
                    return
                at, number = at + len(raw), number + 1
                yield RawLine(number=number, text=_text(raw), end=at, tail=raw[-_TAIL_BYTES:])

    def place(self, line: RawLine, head: bytes) -> Place:
        """Return the place behind a line."""
        return Place(head=head, offset=line.end, tail_length=len(line.tail), tail=_digest(line.tail), line=line.number)

    def modified_s(self) -> float:
        """Return when it was written last, in seconds since 1970."""
        return self.path.stat().st_mtime

    def _complete(self, raw: bytes) -> bool:
        return raw.endswith(b"\n") or len(raw) == _MOST_LINE_BYTES or (self._packing is not None and bool(raw))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


def _text(raw: bytes) -> str:
    """Return a line without its end; bytes that are no UTF-8, and NULs, are written in hexadecimal."""
    return raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
