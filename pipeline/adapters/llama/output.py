"""Logits of the few tokens that are asked about: the output matrix's rows of those, times the hidden state.

A model's output matrix is as wide as its vocabulary: a quarter of the products per token for a 0.5B of 150,000 tokens,
more than all its layers for Gemma 3 270M. A choice among labels looks at a handful of its rows, and a value that is
copied at those of the tokens that the text offers. So where nothing else is wanted of a batch it is broken off at the
hidden states (`hidden`), and these rows, read from the model's file by ggml's own conversion to float32, make the
logits. They are a little more exact than llama.cpp's, which rounds the hidden state to 8 bits first. Whether both agree
is tried when a model is loaded (`agreed`): where not (a scale, a cap, a bias behind the matrix, or a layout that we do
not know), llama.cpp's are taken as before.
"""

import ctypes
import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.library import ggml
from pipeline.domain.errors import EngineUnavailable

_NAMES: Final = (b"output.weight", b"token_embd.weight")
"""Of the matrix; a model without the first uses the second for both ends."""
_F32: Final = 0
_KEPT_ROWS: Final = 2048
_NOWHERE: Final = -1
_MEND: Final = "bring it back (headrace models pull, or models tune) and restart the worker"
_NEAR: Final = 0.02
"""Largest difference of two logits, as a part of the largest logit."""


class _Params(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


class _Traits(ctypes.Structure):
    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block_size", ctypes.c_int64),
        ("interleaved", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    kind: int
    shape: tuple[int, int]
    """Innermost first: width, tokens."""


class OutputRows:
    """Rows of a model's output matrix, as float32, read when they are first asked for and kept."""

    def __init__(self, path: Path, *, width: int, tokens: int) -> None:
        """`width` is the model's embedding length, `tokens` its vocabulary's size.

        Raises ValueError where the file's matrix is not such, and AttributeError where ggml has other functions.
        """
        self._width = width
        self._lib = _bound()
        place = _place_of(self._lib, path)
        if place.shape != (width, tokens):
            raise ValueError("the output matrix has another shape")
        self._row_bytes: int = self._lib.ggml_row_size(place.kind, width)
        self._kind = place.kind
        self._offset = place.offset
        # Not mapped: large pages would count the whole matrix twice. Kept open: the file may be replaced meanwhile.
        self._file = os.open(path, os.O_RDONLY)
        self.close = weakref.finalize(self, os.close, self._file)
        """Let the file go; twice is harmless."""
        self._kept = np.empty((_KEPT_ROWS, width), dtype=np.float32)
        self._places = np.full(tokens, _NOWHERE, dtype=np.int32)
        """Of each token's row among those that are kept."""
        self._count = 0
        if place.kind != _F32:
            traits = ctypes.cast(self._lib.ggml_get_type_traits(place.kind), ctypes.POINTER(_Traits)).contents
            blocks, rest = divmod(width, traits.block_size)
            if not traits.to_float or rest or blocks * traits.type_size != self._row_bytes:
                raise ValueError("ggml's table of number formats is laid out in another way")
            kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
            self._to_float: Any = kind(traits.to_float)

    def of(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows (tokens, width)."""
        if len(tokens) > _KEPT_ROWS:
            return self._read(tokens)
        places = self._places[tokens]
        if (places == _NOWHERE).any():
            self._keep(tokens)
            places = self._places[tokens]
        return self._kept[places]

    def _keep(self, tokens: NDArray[np.int64]) -> None:
        new = np.unique(tokens[self._places[tokens] == _NOWHERE])
        if self._count + len(new) > _KEPT_ROWS:
            self._places[:] = _NOWHERE
            self._count, new = 0, np.unique(tokens)
        until = self._count + len(new)
        self._kept[self._count : until] = self._read(new)
        self._places[new] = np.arange(self._count, until)
        self._count = until

    def _read(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        raw = np.empty((len(tokens), self._row_bytes), dtype=np.uint8)
        for number, token in enumerate(tokens):
            place = self._offset + int(token) * self._row_bytes
            try:
                read = os.preadv(self._file, [raw[number]], place)
            except OSError as error:
                raise EngineUnavailable(f"the model's file cannot be read any more: {error.strerror}") from None
            if read != self._row_bytes:
                raise EngineUnavailable(f"the model's file has become shorter: {_MEND}")
        if self._kind == _F32:
            return raw.view(np.float32)
        rows = np.empty((len(tokens), self._width), dtype=np.float32)
        for number in range(len(tokens)):
            self._to_float(raw[number].ctypes.data, rows[number].ctypes.data, self._width)
        return rows


class ListedLogits:
    """Logits behind one token, of whichever tokens are named."""

    def __init__(self, rows: OutputRows, state: NDArray[np.float32]) -> None:
        """Take the hidden state behind the token; shape (width,)."""
        self._rows = rows
        self._state = state

    def __getitem__(self, tokens: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits of these tokens, in their order."""
        found: NDArray[np.float32] = self._rows.of(np.asarray(tokens, dtype=np.int64)) @ self._state
        return found


def agreed(listed: NDArray[np.floating], whole: NDArray[np.floating]) -> bool:
    """Whether logits of some tokens, by rows and by llama.cpp, are the same but for rounding."""
    if not (np.isfinite(listed).all() and np.isfinite(whole).all()):
        return False
    return bool(np.abs(listed - whole).max() <= _NEAR * np.abs(whole).max())


def _bound() -> Any:  # noqa: ANN401 — a library
    lib = ggml()
    lib.gguf_init_from_file.argtypes = [ctypes.c_char_p, _Params]
    lib.gguf_init_from_file.restype = ctypes.c_void_p
    lib.gguf_free.argtypes = [ctypes.c_void_p]
    lib.gguf_free.restype = None
    lib.gguf_find_tensor.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    lib.gguf_find_tensor.restype = ctypes.c_int64
    lib.gguf_get_data_offset.argtypes = [ctypes.c_void_p]
    lib.gguf_get_data_offset.restype = ctypes.c_size_t
    sizes = ctypes.POINTER(ctypes.c_int64)
    for name, kind in (("offset", ctypes.c_size_t), ("type", ctypes.c_int), ("ne", sizes)):
        function = getattr(lib, f"gguf_get_tensor_{name}")
        function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int64], kind
    lib.ggml_row_size.argtypes, lib.ggml_row_size.restype = [ctypes.c_int, ctypes.c_int64], ctypes.c_size_t
    lib.ggml_get_type_traits.argtypes, lib.ggml_get_type_traits.restype = [ctypes.c_int], ctypes.c_void_p
    return lib


def _place_of(lib: Any, path: Path) -> _Place:  # noqa: ANN401 — a library
    context = lib.gguf_init_from_file(str(path).encode(), _Params(no_alloc=True, context=None))
    if not context:
        raise ValueError("the file is no GGUF")
    try:
        found = [number for name in _NAMES if (number := lib.gguf_find_tensor(context, name)) >= 0]
        if not found:
            raise ValueError("the file has no output matrix")
        return _Place(
            offset=lib.gguf_get_data_offset(context) + lib.gguf_get_tensor_offset(context, found[0]),
            kind=lib.gguf_get_tensor_type(context, found[0]),
            shape=tuple(lib.gguf_get_tensor_ne(context, found[0])[:2]),
        )
    finally:
        lib.gguf_free(context)
