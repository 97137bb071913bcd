"""How a file is packed: told by its first bytes, undone while it is read."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.adapters.log_files.xz import opened_xz

MAGIC_BYTES = 6
DAMAGE: tuple[type[Exception], ...] = (OSError, zlib.error, lzma.LZMAError)
"""What unpacking raises where bytes are wrong; EOFError, or of zstd an OSError too, where they end too early."""
_READ_BYTES = 1 << 16
"""As little as is lost before a damage of zstd, and still quick."""


@dataclass(frozen=True, slots=True)
class Packing:
    """One way to pack, and how to read what is in it."""

    name: str
    opened: Callable[[Path], BinaryIO]


def _gzip(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb"))


def _bzip2(path: Path) -> BinaryIO:
    return cast("BinaryIO", bz2.open(path, "rb"))


def _zstd(path: Path) -> BinaryIO:
    import pyarrow as pa  # noqa: PLC0415 — takes a while to load, and few files are packed so

    return cast("BinaryIO", io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), _READ_BYTES))


_PACKINGS = {
    b"\x1f\x8b": Packing("gzip", _gzip),
    b"\x28\xb5\x2f\xfd": Packing("zstd", _zstd),
    b"\xfd7zXZ\x00": Packing("xz", opened_xz),
    b"BZh": Packing("bzip2", _bzip2),
}


def packing_of(magic: bytes) -> Packing | None:
    """Return how a file with these first bytes is packed; None where it is plain."""
    return next((packing for begins, packing in _PACKINGS.items() if magic.startswith(begins)), None)


def skip(file: BinaryIO, count: int) -> None:
    """Go on by so many bytes, also where a stream cannot seek; stops early at its end."""
    if file.seekable():
        file.seek(count, io.SEEK_CUR)
        return
    while count > 0 and (gone := len(file.read(min(count, _READ_BYTES)))):
        count -= gone
