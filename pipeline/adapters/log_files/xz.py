"""Reads xz files with a limit on memory, which `lzma.open` does not take: a file's header may ask for up to 4 GiB."""

import io
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

MOST_BYTES: Final = 128 * 1024 * 1024
"""`xz -9` needs 65 MiB to unpack; zstd's reader has the same limit of its own accord."""
_PIECE_BYTES = 1 << 16


def opened_xz(path: Path) -> io.BufferedReader:
    """Open an xz file of one or several streams; reading raises LZMAError, or EOFError where the last is cut."""
    return io.BufferedReader(_Unpacked(path.open("rb")), _PIECE_BYTES)


class _Unpacked(io.RawIOBase):
    """What a file holds, unpacked while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        """Own the file; nothing is unpacked yet."""
        self._file = file
        self._pieces = _pieces(file)
        self._rest = b""

    def readable(self) -> bool:
        """Say that it can be read; it cannot seek."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 — any writable buffer: Python 3.11 has no name for them
        """Fill what is at hand; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    unpacker: lzma.LZMADecompressor | None = None
    while stored := file.read(_PIECE_BYTES):
        while stored:
            if unpacker is None:  # between two streams zeros are allowed
                stored = stored.lstrip(b"\0")
                if not stored:
                    break
                unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_BYTES)
            yield unpacker.decompress(stored, _PIECE_BYTES)
            while not unpacker.eof and not unpacker.needs_input:
                yield unpacker.decompress(b"", _PIECE_BYTES)
            stored, unpacker = (unpacker.unused_data, None) if unpacker.eof else (b"", unpacker)
    if unpacker is not None:
        msg = "the file ends in the middle of a stream"
        raise EOFError(msg)
