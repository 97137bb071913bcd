"""The GGUF reader tells what a file says, and refuses every file that lies with a ModelError and nothing else."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.models import read_header
from pipeline.domain.errors import ModelError

Value = int | str | list[str] | list[int]
KEYS: dict[str, Value] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 15,
    "llama.context_length": 2048,
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.tokens": ["a", "b", "longer"],
    "tokenizer.ggml.scores": [1, 2, 3],
}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def encoded(value: Value) -> bytes:
    match value:
        case int():
            return struct.pack("<II", 4, value)
        case str():
            return struct.pack("<I", 8) + text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(item)) for item in value)
        case _:
            return struct.pack("<IIQ", 9, 4, len(value)) + b"".join(struct.pack("<I", item) for item in value)


def tensor(name: str = "w", shape: tuple[int, ...] = (32, 2), kind: int = 2, offset: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


def gguf(keys: dict[str, Value] = KEYS, tensors: tuple[bytes, ...] = (tensor(),), data: bytes = b"\1" * 36) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(text(key) + encoded(value) for key, value in keys.items()) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + data


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "m.gguf"
        path.write_bytes(content)
        return path

    return write


def test_a_header_is_read_in_full(written: Callable[[bytes], Path]) -> None:
    content = gguf()
    header = read_header(written(content))
    assert (header.version, header.architecture, header.name) == (3, "llama", "Tiny")
    assert (header.context_tokens, header.has_chat_template, header.file_type) == (2048, True, "Q4_K_M")
    # 64 weights of Q4_0 are two blocks of 18 bytes.
    assert (header.tensor_count, header.tensor_bytes, header.file_bytes) == (1, 36, len(content))
    assert header.split_count == 1


def test_what_a_file_does_not_say_is_none(written: Callable[[bytes], Path]) -> None:
    header = read_header(written(gguf({"general.architecture": "mamba"})))
    assert (header.name, header.context_tokens, header.file_type) == (None, None, None)
    assert not header.has_chat_template


def test_a_newer_tensor_type_is_no_reason_to_refuse(written: Callable[[bytes], Path]) -> None:
    assert read_header(written(gguf(tensors=(tensor(kind=999, offset=32),)))).tensor_bytes == 32


@pytest.mark.parametrize("missing", [1, 36, 50])
def test_a_truncated_file_is_found_out(written: Callable[[bytes], Path], missing: int) -> None:
    with pytest.raises(ModelError, match="truncated"):
        read_header(written(gguf()[:-missing]))


HUGE = 2**63
LIES = {
    "empty": b"",
    "other magic": b"PK\3\4" + gguf()[4:],
    "a web page": b"<!doctype html><title>Log in</title>",
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "tensors without end": b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0),
    "keys without end": b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE),
    "a key's name without end": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE),
    "a string without end": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IQ", 8, HUGE),
    "an array without end": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, HUGE),
    "arrays in arrays": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 9)
    + struct.pack("<IQ", 9, 1) * 5000,
    "an unknown value type": b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 77),
    "no architecture": gguf({"general.name": "x"}),
    "an architecture that is a number": gguf({"general.architecture": 7}),
    "an odd alignment": gguf({**KEYS, "general.alignment": 33}),
    "an alignment of nothing": gguf({**KEYS, "general.alignment": 0}),
    "too many dimensions": gguf(tensors=(tensor(shape=(32,) * 9),)),
    "a shape beyond all disks": gguf(tensors=(tensor(shape=(HUGE, HUGE, HUGE, HUGE)),)),
    "a tensor behind the end": gguf(tensors=(tensor(offset=HUGE),)),
    "a row that is no whole block": gguf(tensors=(tensor(shape=(33,)),)),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused(written: Callable[[bytes], Path], lie: str) -> None:
    with pytest.raises(ModelError, match=r"m\.gguf is not a usable GGUF file"):
        read_header(written(LIES[lie]))


def test_a_missing_file_and_a_folder_are_refused_by_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            read_header(path)


def outcome(path: Path, content: bytes) -> None:
    """Read, and accept a header or a ModelError; any other exception fails the test."""
    path.write_bytes(content)
    try:
        header = read_header(path)
    except ModelError:
        return
    assert header.file_bytes == len(content)
    assert 0 <= header.tensor_bytes <= len(content)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=400), honest=st.sampled_from([b"", b"GGUF", gguf()[:24], gguf()[:8]]))
def test_random_bytes_give_a_header_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, honest: bytes, content: bytes
) -> None:
    outcome(tmp_path_factory.getbasetemp() / "random.gguf", honest + content)


@settings(max_examples=500, deadline=None)
@given(place=st.integers(0, len(gguf()) - 1), patch=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_gives_a_header_or_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, patch: bytes
) -> None:
    content = bytearray(gguf())
    content[place : place + len(patch)] = patch
    outcome(tmp_path_factory.getbasetemp() / "damaged.gguf", bytes(content))
