"""The last hidden state behind each token whose logits are read: out of the same pass, for those tokens only.

llama.cpp's own embeddings mode computes a row for every token, which halves the speed (measured in 2026: 254 instead of
485 tokens/s). The tensor `result_norm`, which the logits are made of, has just the rows that are wanted; it is copied
as it passes by the context's evaluation callback, which may also say that the rest is not wanted.
"""

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.library import ggml, llama

_TENSOR: Final = b"result_norm"


class HiddenStates:
    """Keeps the rows of the last batch; `callback` is what a context is made with."""

    def __init__(self, width: int) -> None:
        """`width` is the model's embedding length."""
        self._width = width
        self._rows: NDArray[np.float32] = np.empty((0, width), dtype=np.float32)
        self.output = 0
        """Number, among the batch's wanted rows, of the one that is being delivered."""
        self.breaks_off = False
        """Whether the next batch ends with its hidden states: no logits are made of them."""
        self._ggml = ggml()
        self._ggml.ggml_get_name.argtypes = [ctypes.c_void_p]
        self._ggml.ggml_get_name.restype = ctypes.c_char_p
        self._ggml.ggml_nbytes.argtypes = [ctypes.c_void_p]
        self._ggml.ggml_nbytes.restype = ctypes.c_size_t
        self._ggml.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 2
        self._ggml.ggml_backend_tensor_get.restype = None
        self.callback: Any = llama().ggml_backend_sched_eval_callback(self._hear)

    @property
    def is_there(self) -> bool:
        """Whether a hidden state was heard behind the token that is being delivered: not every architecture tells."""
        return self.output < len(self._rows)

    @property
    def row(self) -> NDArray[np.float32]:
        """Return a copy of the hidden state behind the token that is being delivered; shape (width,)."""
        row: NDArray[np.float32] = self._rows[self.output].copy()
        return row

    def _hear(self, tensor: Any, ask: bool, _user_data: Any) -> bool:  # noqa: ANN401, FBT001 — llama.cpp's own signature
        if self._ggml.ggml_get_name(tensor) != _TENSOR:
            return not ask  # do not stop for it; go on
        if not ask:
            size = self._ggml.ggml_nbytes(tensor)
            rows = np.empty((size // (4 * self._width), self._width), dtype=np.float32)
            self._ggml.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
            self._rows = rows
            return not self.breaks_off
        return True
