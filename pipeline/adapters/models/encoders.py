"""Makes the GGUF of a sentence encoder of the BERT family, which its makers publish as safetensors and a word list.

Its bytes are the same on every machine and in every release, since the catalogue vouches for their SHA-256: that is why
they are written here, and not by a library whose next release may lay them out another way.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline.adapters.models.gguf_layout import FLOAT_32, INT_32, UINT_32
from pipeline.domain.errors import ModelError

Value = int | float | bool | str | list[int] | list[str]

_ALIGNMENT: Final = 32
_BOOL, _STRING, _ARRAY = 7, 8, 9
_F32, _F16 = 0, 1
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
_MEAN: Final = 1
_MARKS: Final = {"bos": "[CLS]", "eos": "[SEP]", "seperator": "[SEP]", "unknown": "[UNK]", "padding": "[PAD]"}
"""llama.cpp's words for them (its spelling) → BERT's."""
_TOP: Final = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_BLOCK: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_WIDE: Final = frozenset({"position_embd.weight", "token_types.weight"})
"""Matrices that llama.cpp wants in F32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tensor:
    name: str
    values: NDArray[Any]

    @property
    def head(self) -> bytes:
        shape = self.values.shape[::-1]  # innermost first, as ggml counts
        kind = _F16 if self.values.dtype == np.float16 else _F32
        return _text(self.name) + struct.pack(f"<I{len(shape)}QI", len(shape), *shape, kind)


def write_encoder(weights: Path, vocabulary: Path, target: Path, *, name: str, heads: int) -> None:
    """Write an encoder that takes the mean over a text's tokens; matrices in F16.

    `weights` is its safetensors file, `vocabulary` its word list, `heads` its number of attention heads, which its
    weights do not tell. Both files are the catalogue's, their hashes checked. Raises ModelError where they are no BERT.
    """
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    try:
        tensors = list(_tensors(load_file(weights)))
        shapes = {tensor.name: tensor.values.shape for tensor in tensors}
        keys = _keys(words, shapes, name=name, heads=heads)
    except (KeyError, ValueError) as error:
        raise ModelError(f"the files of {name} are those of no BERT encoder: {error}") from None
    with target.open("wb") as stream:
        _write(stream, keys, tensors)


def _tensors(weights: Mapping[str, NDArray[Any]]) -> Iterator[_Tensor]:
    for source, values in sorted(weights.items()):
        if source.startswith("pooler.") or source.endswith("position_ids"):
            continue  # for another task; a list of numbers from 0 on
        name = _TOP.get(source) or _block(source)
        half = values.ndim > 1 and name not in _WIDE
        yield _Tensor(name=name, values=np.ascontiguousarray(values, dtype=np.float16 if half else np.float32))


def _block(source: str) -> str:
    _, _, number, rest = source.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{int(number)}.{_BLOCK[part]}.{kind}"


def _keys(words: list[str], shapes: Mapping[str, tuple[int, ...]], *, name: str, heads: int) -> dict[str, Value]:
    layers = len({tensor.split(".")[1] for tensor in shapes if tensor.startswith("blk.")})
    if len(words) != shapes["token_embd.weight"][0]:
        raise ValueError(f"{len(words)} words for {shapes['token_embd.weight'][0]} vectors")
    marks = {f"tokenizer.ggml.{what}_token_id": words.index(mark) for what, mark in _MARKS.items()}
    return {
        "general.architecture": "bert",
        "general.name": name,
        "general.file_type": _F16,
        "bert.block_count": layers,
        "bert.context_length": shapes["position_embd.weight"][0],
        "bert.embedding_length": shapes["token_embd.weight"][1],
        "bert.feed_forward_length": shapes["blk.0.ffn_up.weight"][0],
        "bert.attention.head_count": heads,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": _MEAN,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [_token(word) for word in words],
        "tokenizer.ggml.token_type": [_kind(word) for word in words],
        "tokenizer.ggml.token_type_count": shapes["token_types.weight"][0],
        **marks,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }


def _is_mark(word: str) -> bool:
    return word.startswith("[") and word.endswith("]") and len(word) > 2  # noqa: PLR2004 — an empty pair is a word


def _token(word: str) -> str:
    """Write a word as llama.cpp does: what begins one has a mark before it, what goes on (`##`) has none."""
    return word if _is_mark(word) else word.removeprefix("##") if word.startswith("##") else f"\u2581{word}"


def _kind(word: str) -> int:
    if not _is_mark(word):
        return _NORMAL
    return _UNUSED if word.startswith("[unused") else _CONTROL


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", UINT_32, value)
        case float():
            return struct.pack("<If", FLOAT_32, value)
        case str():
            return struct.pack("<I", _STRING) + _text(value)
        case list():
            texts = [_text(one) if isinstance(one, str) else struct.pack("<i", one) for one in value]
            kind = _STRING if isinstance(value[0], str) else INT_32
            return struct.pack("<IIQ", _ARRAY, kind, len(value)) + b"".join(texts)


def _write(stream: BinaryIO, keys: Mapping[str, Value], tensors: list[_Tensor]) -> None:
    stream.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)))
    stream.writelines(_text(key) + _value(value) for key, value in keys.items())
    offset = 0
    for tensor in tensors:
        stream.write(tensor.head + struct.pack("<Q", offset))
        offset += _padded(tensor.values.nbytes)
    stream.write(b"\0" * (_padded(stream.tell()) - stream.tell()))
    for tensor in tensors:
        data = tensor.values.tobytes()
        stream.write(data.ljust(_padded(len(data)), b"\0"))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
