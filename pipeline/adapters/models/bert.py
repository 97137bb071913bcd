"""What a sentence encoder of the BERT family says of itself, and whether llama.cpp can work with it.

Over each of these lies it ends the process, or gives one text the vector of another (tried one by one in 2026).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from pipeline.adapters.models.gguf_layout import Array, Tensor, Value
from pipeline.adapters.models.vocabulary import MODEL, TOKENS, TYPES
from pipeline.domain.errors import ModelError

ENCODERS: Final = frozenset({"bert"})
"""Architectures that turn texts into vectors and write nothing; of llama.cpp's the one that was tried here."""
_POOLS: Final = frozenset({1, 2, 3})  # mean, first, last: one vector a text
_WORD_PIECES: Final = "bert"
_MARK: Final = "tokenizer.ggml.{}_token_id"
_NEEDED: Final = {"bos": 101, "seperator": 102, "unknown": 100, "padding": 0}
"""Tokens that texts are read with, in llama.cpp's spelling, and which it takes where the file names none."""
_MORE: Final = ("eos", "cls", "mask")
ENCODER_KEYS: Final = frozenset(_MARK.format(name) for name in (*_NEEDED, *_MORE))
ENCODER_ENDINGS: Final = (".embedding_length_out", ".pooling_type")
_LAST_KIND: Final = 5  # of tokens; the one behind it stands for single bytes, which word pieces have none of
_F32: Final = 0
_IN_FULL: Final = frozenset({"token_types.weight"})

Refuse: TypeAlias = Callable[[str], ModelError]


def check_encoder(
    name: str,
    values: Mapping[str, Value],
    tensors: Iterable[Tensor],
    *,
    embedding: int | None,
    heads: int | None,
    refuse: Refuse,
) -> None:
    """Raise what `refuse` makes of an encoder that cannot be worked with; `name` is its architecture."""
    _check_tokens(values, refuse)
    if values.get(f"{name}.pooling_type") not in _POOLS:
        raise refuse("it does not say how the vector of a whole text is made")
    if not embedding or not heads or embedding % heads:
        raise refuse(f"its width of {embedding} is not divided among {heads} heads")
    for key in ("attention.key_length", "attention.value_length"):
        if values.get(f"{name}.{key}", embedding // heads) != embedding // heads:
            raise refuse(f"its {key} is not its width divided among its heads")
    if values.get(f"{name}.embedding_length_out", 0) not in {0, embedding}:
        raise refuse("its vectors are of another length than it computes with")
    for tensor in tensors:
        if tensor.kind != _F32 and (len(tensor.shape) == 1 or tensor.name in _IN_FULL):
            raise refuse(f"its tensor {tensor.name[:60]!r} is not in F32, which llama.cpp cannot compute with")


def _check_tokens(values: Mapping[str, Value], refuse: Refuse) -> None:
    if values.get(MODEL) != _WORD_PIECES:
        raise refuse("it is an encoder that does not cut texts into word pieces, as those do that were tried")
    tokens, types = values.get(TOKENS), values.get(TYPES)
    count = tokens.length if isinstance(tokens, Array) else 0
    for mark in (*_NEEDED, *_MORE):
        token = values.get(_MARK.format(mark), _NEEDED.get(mark, 0))
        if not isinstance(token, int) or not 0 <= token < count:
            raise refuse(f"its {mark} token is none of its {count} tokens")
    if isinstance(types, Array) and (types.largest is None or types.largest > _LAST_KIND):
        raise refuse("its tokens are of kinds that word pieces do not have")
