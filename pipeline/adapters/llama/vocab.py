"""A model's vocabulary: text to tokens, where text from outside can never become a control token."""

import ctypes
import re
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.pieces import Pieces
from pipeline.domain.errors import ModelError

_QUOTE = b'"'
_SPACE = "\u2581"  # how SentencePiece vocabularies write a blank


class Vocab:
    """Wraps llama.cpp's vocabulary of a loaded model."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 — an opaque pointer
        """Read the special tokens once; thousands in some vocabularies."""
        self._lib = llama()
        self.pointer = self._lib.llama_model_get_vocab(model)
        self.size: int = self._lib.llama_vocab_n_tokens(self.pointer)
        attributes = [self._lib.llama_vocab_get_attr(self.pointer, token) for token in range(self.size)]
        special = self._lib.LLAMA_TOKEN_ATTR_CONTROL | self._lib.LLAMA_TOKEN_ATTR_UNKNOWN
        self._strips_behind = {
            token for token, attribute in enumerate(attributes) if attribute & self._lib.LLAMA_TOKEN_ATTR_RSTRIP
        }
        self.end_ids = self._ids(lambda token: self._lib.llama_vocab_is_eog(self.pointer, token))
        control = {token for token, attribute in enumerate(attributes) if attribute & special}
        self.control_ids = np.array(sorted(control | set(self.end_ids.tolist())), dtype=np.int64)
        """Tokens that no text from outside and no extracted value may hold; end-of-turn tokens among them."""
        self._markers = {self._text(token): int(token) for token in self.control_ids}
        self._user_defined = {
            self._text(token): token
            for token, attribute in enumerate(attributes)
            if attribute & self._lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        }
        if not len(self.end_ids):
            raise ModelError("the model file names no end-of-turn token: use a file converted for chat")

    def _ids(self, wanted: Any) -> NDArray[np.int64]:  # noqa: ANN401 — a predicate over tokens
        return np.array([token for token in range(self.size) if wanted(token)], dtype=np.int64)

    def _text(self, token: int) -> str:
        raw: bytes = self._lib.llama_vocab_get_text(self.pointer, int(token)) or b""
        return raw.decode("utf-8", "replace")

    @property
    def bos(self) -> int | None:
        """The token that begins every input of this model; None where it wants none."""
        token: int = self._lib.llama_vocab_bos(self.pointer)
        return token if token >= 0 and self._lib.llama_vocab_get_add_bos(self.pointer) else None

    def named(self, which: str) -> str:
        """Return the text of the `bos` or `eos` token, for templates that print it; empty where there is none."""
        token: int = getattr(self._lib, f"llama_vocab_{which}")(self.pointer)
        return self._text(token) if token >= 0 else ""

    def reserve(self, frame: str) -> None:
        """Treat user-defined tokens that a template's frame is made of as control tokens from now on.

        Some files mark their turn markers so, and llama.cpp finds user-defined tokens in any text.
        """
        found = {text: token for text, token in self._user_defined.items() if text.strip() and text in frame}
        if found.keys() - self._markers.keys():
            self._markers |= found
            self.control_ids = np.array(sorted({*self.control_ids.tolist(), *found.values()}), dtype=np.int64)
            for cached in ("_marker_pattern", "_control_set", "by_bytes", "quote_ids", "pieces"):
                self.__dict__.pop(cached, None)

    @cached_property
    def _marker_pattern(self) -> "re.Pattern[str]":
        texts = sorted(filter(None, self._markers), key=len, reverse=True)
        return re.compile("(" + "|".join(map(re.escape, texts)) + ")")

    @cached_property
    def _control_set(self) -> frozenset[int]:
        return frozenset(self.control_ids.tolist())

    @cached_property
    def _adds_blank(self) -> bool:
        """Whether a blank is put before whatever is tokenised (SentencePiece)."""
        tokens = self._tokenize("a")
        return bool(tokens) and self._text(tokens[0]).startswith(_SPACE)

    @cached_property
    def by_bytes(self) -> dict[bytes, tuple[int, ...]]:
        """Return the tokens that write some bytes, control tokens aside; read on first use, a second for 150,000."""
        found: dict[bytes, tuple[int, ...]] = {}
        for token in range(self.size):
            if token not in self._control_set:
                piece = self.piece(token)
                found[piece] = (*found.get(piece, ()), token)
        found.pop(b"", None)
        return found

    @cached_property
    def quote_ids(self) -> NDArray[np.int64]:
        """Tokens that begin with a quotation mark: what ends a string, whatever else they write behind it."""
        ids = [token for piece, tokens in self.by_bytes.items() if piece.startswith(_QUOTE) for token in tokens]
        return np.array(sorted(ids), dtype=np.int64)

    @cached_property
    def pieces(self) -> Pieces:
        """Return the same in the order of their bytes."""
        return Pieces(self.by_bytes)

    def _tokenize(self, text: str, *, special: bool = False) -> list[int]:
        data = text.encode("utf-8", "replace")  # a lone surrogate becomes "?"
        room = len(data) + 8
        buffer = (self._lib.llama_token * room)()
        count: int = self._lib.llama_tokenize(self.pointer, data, len(data), buffer, room, False, special)  # noqa: FBT003
        if count < 0:
            raise ModelError("the model's tokenizer failed: the file is damaged")
        return list(buffer[:count])

    def plain(self, text: str) -> list[int]:
        """Tokenise text from outside; what looks like a control token stays text, and nothing is dropped."""
        if not text:
            return []
        if text[0] == " " and self._adds_blank:
            text = text[1:]
        tokens = self._tokenize(text)
        if self._control_set.isdisjoint(tokens):
            return tokens
        # Only user-defined markers come here: break each apart behind its first sign.
        cuts = [0, *(found.start() + 1 for found in self._marker_pattern.finditer(text)), len(text)]
        tokens = [token for start, end in pairwise(cuts) for token in self._tokenize(text[start:end])]
        if not self._control_set.isdisjoint(tokens):
            raise ModelError("this model's tokenizer turns text into control tokens: use another file")
        return tokens

    def behind_last_marker(self, frame: str) -> str | None:
        """Return the plain text that a frame ends with; None where it has no control token."""
        parts = self._marker_pattern.split(frame)
        return parts[-1] if len(parts) > 1 else None

    def framed(self, pieces: Iterable[tuple[str, bool]]) -> list[int]:
        """Tokenise (text, trusted) pieces as one; control tokens are read in trusted pieces only.

        Neighbouring plain text is joined before it is tokenised, so that the result is what the model saw in training.
        """
        tokens: list[int] = []
        run = ""
        for text, trusted in pieces:
            for number, part in enumerate(self._marker_pattern.split(text) if trusted else [text]):
                if not number % 2:
                    run += part.lstrip() if tokens and not run and tokens[-1] in self._strips_behind else part
                    continue
                tokens += [*self.plain(run), self._marker(part)]
                run = ""
        return tokens + self.plain(run)

    def _marker(self, text: str) -> int:
        token = self._markers[text]
        if self._tokenize(text, special=True) != [token]:
            raise ModelError("a control token of the chat template is not one token in this model's vocabulary")
        return token

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token that is no control token; may end inside a character."""
        room = 256
        buffer = ctypes.create_string_buffer(room)
        count: int = self._lib.llama_token_to_piece(self.pointer, token, buffer, room, 0, False)  # noqa: FBT003
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self._lib.llama_token_to_piece(self.pointer, token, buffer, -count, 0, False)  # noqa: FBT003
        return buffer.raw[:count]

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens that are no control tokens; a character cut in two at the end is left out."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "ignore")
