"""Whether llama.cpp computes rightly on this processor: a small made-up model, read with its fast kernels and without.

A build for another processor dies here, and so does one that its compiler got wrong; see `deploy/llama.cpp/amx.h` for
one that was met. Run as a program it exits 0 when all is well: `python -m pipeline.adapters.llama.smoke`.
"""

import struct
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.devices import model_params
from pipeline.adapters.llama.library import llama
from pipeline.domain.errors import ModelError

MOST_DIFFERENT: Final = 0.05
"""Largest difference of two rows of logits, as a share of the largest logit: kernels round differently."""
_WIDTH = 256
_VOCAB = 512
_TOKENS = 64
_ALIGNED = 32
_STRING, _U32, _F32 = 8, 4, 6  # GGUF's codes
_F32_TENSOR: Final = 0
# code, values and bytes of a block, where in it the half-precision scales stand
_Q4_0, _Q8_0, _Q4_K = (2, 32, 18, 1), (8, 32, 34, 1), (12, 256, 144, 2)
_Format = tuple[int, int, int, int]


def check() -> None:
    """Raise ModelError where the fast kernels and the plain ones do not agree; a crash ends the process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "smoke.gguf"
        path.write_bytes(made_up_model())
        fast, plain = (_logits(path, fast=fast) for fast in (True, False))
    worst = float(np.abs(fast - plain).max()) / max(float(np.abs(plain).max()), 1e-9)
    if not np.isfinite(fast).all() or worst > MOST_DIFFERENT:
        raise ModelError("llama.cpp computes wrongly on this processor: build it again (see the README)")


def made_up_model() -> bytes:
    """Return a GGUF of one layer with weights by chance, in formats that processors have kernels for."""
    chance = np.random.default_rng(1)
    numbers = {
        "context_length": 128,
        "embedding_length": _WIDTH,
        "block_count": 1,
        "feed_forward_length": _WIDTH,
        "attention.head_count": 4,
        "rope.dimension_count": _WIDTH // 4,
        "vocab_size": _VOCAB,
    }
    keys = [
        _key("general.architecture", _STRING, _string("llama")),
        _key("tokenizer.ggml.model", _STRING, _string("none")),
    ]
    keys += [_key(f"llama.{name}", _U32, struct.pack("<I", number)) for name, number in numbers.items()]
    keys.append(_key("llama.attention.layer_norm_rms_epsilon", _F32, struct.pack("<f", 1e-5)))
    shapes: Mapping[str, tuple[int, _Format | None]] = {
        "token_embd": (_VOCAB, _Q8_0),
        "output_norm": (1, None),
        "output": (_VOCAB, _Q4_K),
        "blk.0.attn_norm": (1, None),
        "blk.0.attn_q": (_WIDTH, _Q4_0),
        "blk.0.attn_k": (_WIDTH, _Q4_0),
        "blk.0.attn_v": (_WIDTH, _Q8_0),
        "blk.0.attn_output": (_WIDTH, _Q4_K),
        "blk.0.ffn_norm": (1, None),
        "blk.0.ffn_gate": (_WIDTH, _Q4_K),
        "blk.0.ffn_up": (_WIDTH, _Q4_0),
        "blk.0.ffn_down": (_WIDTH, _Q8_0),
    }
    tensors, data = [], b""
    for name, (rows, kind) in shapes.items():
        lengths = [_WIDTH] if kind is None else [_WIDTH, rows]
        code = _F32_TENSOR if kind is None else kind[0]
        described = struct.pack(f"<I{len(lengths)}QIQ", len(lengths), *lengths, code, len(data))
        tensors.append(_string(f"{name}.weight") + described)
        data += _weights(rows, kind, chance)
        data += b"\0" * (-len(data) % _ALIGNED)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % _ALIGNED) + data


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _string(name) + struct.pack("<I", kind) + value


def _weights(rows: int, kind: _Format | None, chance: np.random.Generator) -> bytes:
    if kind is None:
        return np.ones(_WIDTH, dtype=np.float32).tobytes()
    _, values, size, scales = kind
    blocks = chance.integers(0, 256, (rows * _WIDTH // values, size), dtype=np.uint8)
    blocks[:, : 2 * scales] = np.full(scales, 0.004, dtype=np.float16).view(np.uint8)
    return blocks.tobytes()


def _logits(path: Path, *, fast: bool) -> NDArray[np.float32]:
    lib = llama()
    params = model_params(lib, 0)
    params.use_extra_bufts = fast
    model: Any = lib.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise ModelError("llama.cpp cannot load a small made-up model: build it again (see the README)")
    context = Context(model, cells=256, sequences=2, threads=2, vocab_size=_VOCAB)
    rows: list[NDArray[np.float32]] = []
    try:
        context.read(
            [Row(sequence=0, start=0, tokens=range(1, _TOKENS + 1))],
            lambda _number, logits: rows.append(np.array(logits, dtype=np.float32)),
        )
    finally:
        context.close()
        lib.llama_model_free(model)
    return rows[0]


def _main() -> str | None:
    try:
        check()
    except ModelError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(_main())
