"""A model's vocabulary as its file lists it, and whether llama.cpp can work with it.

It ends the process over a token that stands there twice, and over a letter that no token can spell.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.adapters.models.gguf_layout import FLOAT_32, INT_32, UINT_32, Array, Value
from pipeline.domain.errors import ModelError

MODEL: Final = "tokenizer.ggml.model"
TOKENS: Final = "tokenizer.ggml.tokens"
SCORES: Final = "tokenizer.ggml.scores"
TYPES: Final = "tokenizer.ggml.token_type"
KEYS: Final = frozenset({MODEL, TOKENS, SCORES, TYPES})
_NO_VOCABULARY: Final = frozenset({"none", "no_vocab"})
_SPELLING: Final = "llama"
"""The tokenizer that writes a letter without a token of its own as its bytes, for which there must be tokens then."""


def vocabulary_size(values: Mapping[str, Value], refuse: Callable[[str], ModelError]) -> int | None:
    """Return how many tokens there are, None where the file lists none; raises what `refuse` makes of a bad list."""
    model = values.get(MODEL)
    if model in _NO_VOCABULARY:
        raise refuse("it has no vocabulary, so no text can be put to it")
    tokens = values.get(TOKENS)
    if tokens is None:
        return None
    if not isinstance(tokens, Array) or not tokens.texts:
        raise refuse("its vocabulary is no list of texts")
    for key, kinds in ((SCORES, {INT_32, FLOAT_32}), (TYPES, {UINT_32, INT_32})):
        beside = values.get(key)
        if beside is not None and not (
            isinstance(beside, Array) and beside.length == tokens.length and beside.kind in kinds
        ):
            raise refuse(f"its {key} does not go with its {tokens.length} tokens")
    # As llama.cpp reads them: up to a zero byte, and an empty one by its number.
    words = [text.partition(b"\0")[0] or b"[EMPTY_%d]" % number for number, text in enumerate(tokens.texts)]
    known = frozenset(words)
    if len(known) < len(words):
        raise refuse(f"its vocabulary has {len(words)} tokens and only {len(known)} different ones")
    if model == _SPELLING and not _spells(known):
        raise refuse(f"its tokenizer is {_SPELLING} and its vocabulary has no tokens for single bytes")
    return tokens.length


def _spells(known: frozenset[bytes]) -> bool:
    return {b"<0x%02X>" % byte for byte in range(256) if bytes((byte,)) not in known}.issubset(known)
