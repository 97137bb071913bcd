"""Rows of an output matrix, read from a model's file by ggml's own conversion."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.adapters.llama.output import ListedLogits, OutputRows, agreed
from pipeline.domain.errors import EngineUnavailable

SCALE = float(np.frombuffer(b"\1\1", dtype=np.float16)[0])
ROW = np.array([1 - 8] * 16 + [0 - 8] * 16, dtype=np.float32) * np.float32(SCALE)
"""32 weights as Q4_0 has them where all bytes are 1: the lower halves of bytes first."""


def written(path: Path, name: str, shape: tuple[int, int], kind: int, data: bytes) -> Path:
    """Write a GGUF of one tensor; `shape` is innermost first."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(name)) + name.encode()
    head += struct.pack("<I2Q", 2, *shape) + struct.pack("<IQ", kind, 0)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data + b"\0" * (-len(data) % 32))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "tiny.gguf", "token_embd.weight", (32, 3), 2, b"\1" * 54)


def test_rows_are_what_ggml_makes_of_their_bytes_and_logits_their_products(path: Path) -> None:
    rows = OutputRows(path, width=32, tokens=3)
    found = rows.of(np.array([2, 0]))
    assert found.dtype == np.float32
    assert found.tolist() == [ROW.tolist()] * 2
    state = np.arange(32, dtype=np.float32)
    logits = ListedLogits(rows, state)[np.array([1])]
    assert logits.tolist() == pytest.approx([float(ROW.astype(np.float64) @ np.arange(32))], rel=1e-5)


def test_rows_are_read_once_and_room_for_them_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(24, dtype=np.float32).reshape(6, 4)
    monkeypatch.setattr("pipeline.adapters.llama.output._KEPT_ROWS", 3)
    rows = OutputRows(
        written(tmp_path / "plain.gguf", "output.weight", (4, 6), 0, numbers.tobytes()), width=4, tokens=6
    )
    read: list[list[int]] = []
    plain = OutputRows._read

    def counted(self: OutputRows, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        read.append(tokens.tolist())
        return plain(self, tokens)

    monkeypatch.setattr(OutputRows, "_read", counted)
    for tokens in ([0, 1], [1, 0, 1], [2, 0], [5, 1], [1, 5], [3, 1, 4, 0]):
        assert rows.of(np.array(tokens)).tolist() == numbers[tokens].tolist()
    assert read == [[0, 1], [2], [1, 5], [3, 1, 4, 0]], "new ones only; all anew where room is out; too many, not kept"


def test_rows_stay_those_of_the_file_that_was_opened_and_its_end_is_an_error(path: Path, tmp_path: Path) -> None:
    rows = OutputRows(path, width=32, tokens=3)
    written(tmp_path / "new.gguf", "token_embd.weight", (32, 3), 2, b"\2" * 54).replace(path)
    assert rows.of(np.array([1])).tolist() == [ROW.tolist()]
    rows.close()
    rows.close()
    path.write_bytes(path.read_bytes()[:-32])
    with pytest.raises(EngineUnavailable, match="shorter"):
        OutputRows(path, width=32, tokens=3).of(np.array([2]))


@pytest.mark.parametrize(("width", "tokens"), [(64, 3), (32, 4), (16, 6)])
def test_a_matrix_of_another_shape_is_refused(path: Path, width: int, tokens: int) -> None:
    with pytest.raises(ValueError, match="another shape"):
        OutputRows(path, width=width, tokens=tokens)


def test_a_file_without_a_matrix_or_without_sense_is_refused(tmp_path: Path) -> None:
    other = written(tmp_path / "other.gguf", "blk.0.attn_q.weight", (32, 3), 2, b"\1" * 54)
    (tmp_path / "none.gguf").write_bytes(b"no GGUF")
    with pytest.raises(ValueError, match="no output matrix"):
        OutputRows(other, width=32, tokens=3)
    with pytest.raises(ValueError, match="no GGUF"):
        OutputRows(tmp_path / "none.gguf", width=32, tokens=3)


def test_a_matrix_of_plain_numbers_is_taken_as_it_is(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = written(tmp_path / "plain.gguf", "output.weight", (4, 3), 0, numbers.tobytes())
    assert OutputRows(path, width=4, tokens=3).of(np.array([2, 1])).tolist() == [
        [8, 9, 10, 11],
        [4, 5, 6, 7],
    ]


def test_logits_agree_but_for_rounding() -> None:
    whole = np.array([10.0, -3.0, 0.5], dtype=np.float32)
    assert agreed(whole + np.float32(0.1), whole)
    assert not agreed(whole * np.float32(1.1), whole), "a scale behind the matrix"
    assert not agreed(np.tanh(whole / 5) * 5, whole), "a cap behind the matrix"
    assert not agreed(whole + np.float32(0.3), whole), "a bias"
    assert not agreed(whole, whole * np.float32("nan"))
    assert not agreed(whole, np.zeros(3, dtype=np.float32))
