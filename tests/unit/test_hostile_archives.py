"""Archives that somebody made to do harm: nothing is written but the one target, and nothing fills the memory."""

import gzip
import json
import lzma
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.adapters.log_files.packing import DAMAGE
from pipeline.adapters.log_files.reader import LogFileReader
from pipeline.adapters.log_files.xz import MOST_BYTES, opened_xz
from pipeline.adapters.models.catalogue import IndexPart
from pipeline.adapters.models.sources import SourceUnavailable
from pipeline.adapters.models.wheels import join, member_bytes
from pipeline.adapters.sources import open_source
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.ports.source import SourceOptions

PART = IndexPart(distribution="tiny", version="1.0", member="tiny/model.bin")
CONTENT = b"GGUF" + bytes(range(256)) * 8
STRAY = ["../../escape.bin", "/tmp/absolute.bin", "..\\..\\escape.bin", "C:\\escape.bin", "tiny/../../escape.bin"]  # noqa: S108
TOO_MUCH_BYTES = 384 * 1024 * 1024


def wheel(folder: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    path = folder / "tiny.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def joined(folder: Path, path: Path, size_bytes: int = len(CONTENT)) -> Path:
    target = folder / "joined.partial"
    join([(PART, path)], target, size_bytes=size_bytes, progress=lambda _: None)
    return target


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    """Return a folder deep enough that a way out of it would be seen."""
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", STRAY)
def test_members_with_names_that_lead_elsewhere_are_never_written(tmp_path: Path, inner: Path, name: str) -> None:
    path = wheel(inner, [(name, b"stray"), (PART.member, CONTENT)])
    before = tree(tmp_path)
    assert joined(inner, path).read_bytes() == CONTENT
    assert tree(tmp_path) - before == {"a/b/c/joined.partial"}


@pytest.mark.parametrize("name", STRAY)
def test_a_catalogue_that_named_such_a_member_would_still_write_to_the_target_only(
    tmp_path: Path, inner: Path, name: str
) -> None:
    path = wheel(inner, [(name, CONTENT)])
    before = tree(tmp_path)
    part = IndexPart.model_construct(distribution="tiny", version="1.0", member=name)
    join([(part, path)], inner / "joined.partial", size_bytes=len(CONTENT), progress=lambda _: None)
    assert tree(tmp_path) - before == {"a/b/c/joined.partial"}


def test_a_member_that_is_a_symbolic_link_is_read_as_bytes_and_makes_no_link(tmp_path: Path, inner: Path) -> None:
    link = zipfile.ZipInfo(PART.member)
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    secret = tmp_path / "secret"
    secret.write_bytes(b"private")
    target = joined(inner, wheel(inner, [(link, str(secret).encode())]), len(str(secret)))
    assert not target.is_symlink()
    assert target.read_bytes() == str(secret).encode()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_one_is_taken_and_its_length_is_checked(inner: Path) -> None:
    path = wheel(inner, [(PART.member, b"first"), (PART.member, CONTENT)])
    assert member_bytes(path, PART) == len(CONTENT)
    assert joined(inner, path).read_bytes() == CONTENT


def test_a_folder_in_place_of_the_member_is_refused(inner: Path) -> None:
    path = inner / "tiny.whl"
    part = IndexPart.model_construct(distribution="tiny", version="1.0", member="tiny/")
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("tiny")
    with pytest.raises(SourceUnavailable, match="not accepted"):
        member_bytes(path, part)


def test_a_member_that_claims_more_than_any_disk_is_refused_before_a_byte_is_written(inner: Path) -> None:
    path = wheel(inner, [(PART.member, CONTENT)])
    data = path.read_bytes()
    size = struct.pack("<I", len(CONTENT))
    path.write_bytes(data.replace(size, struct.pack("<I", 0xFFFFFFFE)))
    with pytest.raises(SourceUnavailable, match=f"4294967294 bytes instead of {len(CONTENT)}"):
        joined(inner, path)
    assert not (inner / "joined.partial").exists()


def test_a_bomb_with_a_huge_ratio_is_refused_by_the_length_that_the_catalogue_names(inner: Path) -> None:
    path = wheel(inner, [(PART.member, b"\0" * 50_000_000)])
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceUnavailable, match="50000000 bytes instead of"):
        joined(inner, path)
    assert not (inner / "joined.partial").exists()


def test_a_bomb_that_hides_its_length_ends_at_the_length_that_it_claims(inner: Path) -> None:
    path = wheel(inner, [(PART.member, b"\0" * 50_000_000)])
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 50_000_000), struct.pack("<I", len(CONTENT))))
    with pytest.raises(SourceUnavailable, match="damaged; it was removed"):
        joined(inner, path)
    assert (inner / "joined.partial").stat().st_size <= len(CONTENT)


def test_a_target_that_is_a_link_made_by_somebody_else_is_not_a_way_out(tmp_path: Path, inner: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (inner / "joined.partial").symlink_to(outside)
    assert joined(inner, wheel(inner, [(PART.member, CONTENT)])).read_bytes() == CONTENT
    assert outside.read_bytes() == b"mine"
    assert not (inner / "joined.partial").is_symlink()


JOB: dict[str, Any] = {
    "name": "lines",
    "steps": [{"name": "mood", "kind": "sentiment"}],
    "tiers": [{"name": "small", "engine": "instant", "model": "none"}],
}


def tar_like(name: bytes) -> bytes:
    return name.ljust(100, b"\0") + b"0000644\0" * 3 + b"\n"


def test_the_name_in_a_gzip_header_is_no_place_to_write_to(tmp_path: Path, inner: Path) -> None:
    path = inner / "in.log.gz"
    with path.open("wb") as file, gzip.GzipFile("../../../escape.log", "wb", fileobj=file) as packed:
        packed.write(b"one\ntwo\n")
    before = tree(tmp_path)
    source = open_source([str(path)], Job.model_validate(JOB), SourceOptions(format="lines"), spool=inner / "spool")
    assert [row.text for row in source.rows() if isinstance(row, Item)] == ["one", "two"]
    assert LogFileReader(path).first_lines(2) == ["one", "two"]
    assert not [one for one in tree(tmp_path) - before if "escape" in one]


def test_a_zip_archive_is_no_log_file_and_nothing_of_it_is_unpacked(tmp_path: Path, inner: Path) -> None:
    path = wheel(inner, [("../../escape.log", b"line\n")])
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match="zip archive: unpack it"):
        LogFileReader(path)
    assert tree(tmp_path) == before


def test_the_files_of_a_packed_tar_are_lines_and_never_files(tmp_path: Path, inner: Path) -> None:
    path = inner / "logs.tar.gz"
    path.write_bytes(gzip.compress(tar_like(b"../../escape.log") + b"line\n"))
    before = tree(tmp_path)
    assert LogFileReader(path).first_lines(2)[1] == "line"
    assert tree(tmp_path) == before


def xz_wanting(data: bytes, dictionary: int) -> bytes:
    """Return data as xz whose header asks for a dictionary of this code, 37 being 1.5 GiB."""
    packed = bytearray(lzma.compress(data, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}]))
    start, length = 12, (packed[12] + 1) * 4
    assert packed[start + 2 : start + 4] == b"\x21\x01"
    packed[start + 4] = dictionary
    packed[start + length - 4 : start + length] = struct.pack("<I", zlib.crc32(packed[start : start + length - 4]))
    return bytes(packed)


def test_an_xz_file_that_wants_gigabytes_to_be_unpacked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.xz"
    path.write_bytes(xz_wanting(b"one\n", 37))
    with pytest.raises(ConfigError, match="xz data is damaged"), LogFileReader(path)._opened() as file:
        file.read()


def test_an_xz_file_as_the_largest_preset_makes_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.xz"
    path.write_bytes(xz_wanting(b"one\ntwo\n", 28))  # 64 MiB, what `xz -9` asks for
    assert LogFileReader(path).first_lines(2) == ["one", "two"]
    assert MOST_BYTES > 65 * 1024 * 1024


def test_xz_streams_one_after_another_with_padding_are_read_and_a_cut_one_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "in.xz"
    path.write_bytes(lzma.compress(b"one\n") + b"\0" * 8 + lzma.compress(b"two\n"))
    with opened_xz(path) as file:
        assert file.read() == b"one\ntwo\n"
    path.write_bytes(path.read_bytes()[:-20])
    with opened_xz(path) as file, pytest.raises((EOFError, *DAMAGE)):
        file.read()


def _zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, _zstd])
def test_a_log_file_that_unpacks_to_half_a_gigabyte_is_read_in_pieces(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "bomb.log"
    piece = pack((b"x" * 65535 + b"\n") * 64)
    with path.open("wb") as file:
        for _ in range(128):  # half a GiB
            file.write(piece)
    reading = (
        "import sys, psutil; from pathlib import Path; from pipeline.adapters.log_files.reader import LogFileReader;"
        "reader = LogFileReader(Path(sys.argv[1]));"
        "blocks = reader.blocks(None, lambda line: False);"
        "sizes = ((len(block.data), psutil.Process().memory_info().rss) for block in blocks);"
        "read, most = map(list, zip(*sizes)); print(sum(read), max(most))"
    )
    done = subprocess.run([sys.executable, "-c", reading, str(path)], capture_output=True, text=True, check=True)
    read_bytes, most_bytes = map(int, done.stdout.split())
    assert read_bytes == 1 << 29
    assert most_bytes < TOO_MUCH_BYTES


def test_json_nested_without_end_is_a_rejected_row_and_the_next_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": ' + "[" * 200_000 + "\n" + json.dumps({"text": "fine"}) + "\n")
    source = open_source([str(path)], Job.model_validate(JOB), SourceOptions(format="jsonl"), spool=tmp_path / "spool")
    rows = list(source.rows())
    assert [row.text for row in rows if isinstance(row, Item)] == ["fine"]
    assert len(rows) == 2
