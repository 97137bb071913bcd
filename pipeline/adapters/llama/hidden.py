"""Hidden states out of the same pass: the last behind each token whose logits are read, and those halfway up.

Where nobody wants more than those halfway up, the pass ends there.

llama.cpp's own embeddings mode computes a row for every token, which halves the speed (measured in 2026: 254 instead of
485 tokens/s). The tensor `result_norm`, which the logits are made of, has just the rows that are wanted; it is copied
as it passes by the context's evaluation callback, which may also say that the rest is not wanted.

The mean over a text's tokens a little more than halfway up says what the last state, bent towards the next token, says
less well: heads on both are right on .898 instead of .890 of hwu64's domains and on .848 instead of .838 of sst2, with
400 labels and the 0.5B (tests/bench/heads.py, 2026).
"""

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import get_ident
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.library import ggml, llama

_TENSOR: Final = b"result_norm"
_UP: Final = (7, 12)
"""How far up "halfway" is: 7 of 12 layers."""


class HiddenStates:
    """Keeps the rows of the last batch; `callback` is what a context is made with."""

    def __init__(self, width: int, *, layers: int | None = None) -> None:
        """`width` is the model's embedding length, `layers` how many it has: None where only the last state counts."""
        self._width = width
        self._halfway = None if layers is None else b"l_out-%d" % (max(1, layers * _UP[0] // _UP[1]) - 1)
        self._halfway_rows: NDArray[np.float32] | None = None
        self._rows: NDArray[np.float32] = np.empty((0, width), dtype=np.float32)
        self.output = 0
        """Number, among the batch's wanted rows, of the one that is being delivered."""
        self._wanted = 0
        self._breaks_off = False
        self._half = False
        self._raised: BaseException | None = None
        self._ggml = ggml()
        self._ggml.ggml_get_name.argtypes = [ctypes.c_void_p]
        self._ggml.ggml_get_name.restype = ctypes.c_char_p
        self._ggml.ggml_nbytes.argtypes = [ctypes.c_void_p]
        self._ggml.ggml_nbytes.restype = ctypes.c_size_t
        self._ggml.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 2
        self._ggml.ggml_backend_tensor_get.restype = None
        self.callback: Any = llama().ggml_backend_sched_eval_callback(self._hear)

    def expect(self, wanted: int, *, breaks_off: bool, half: bool = False) -> None:
        """Get ready for a batch with so many wanted rows.

        With `breaks_off` no logits are made of them; with `half` nothing at all beyond the states halfway up.
        """
        self._rows = self._rows[:0]
        self._halfway_rows = None
        self._wanted, self._breaks_off, self._half = wanted, breaks_off, half

    @contextmanager
    def called(self) -> Iterator[None]:
        """Let llama.cpp call, and raise afterwards what was raised meanwhile, as by Ctrl-C: through it nothing can.

        A signal that comes while llama.cpp computes finds its handler run as soon as Python is entered, before a line
        of the callback is: only the interpreter's hook for what cannot be raised gets to know of it.
        """
        _listen(self)
        try:
            yield
        finally:
            _LISTENING.pop(get_ident(), None)
            raised, self._raised = self._raised, None
            if raised is not None:
                raise raised

    def keep(self, raised: BaseException) -> None:
        """Keep what was raised in the callback, the first of it."""
        self._raised = self._raised or raised

    @property
    def is_there(self) -> bool:
        """Whether a hidden state was heard behind the token that is being delivered.

        Not every architecture tells, and what is read in several parts (recurrent models) tells of the last part only.
        """
        return self.output < self._wanted == len(self._rows)

    def halfway(self, ends: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Return the states halfway up of the last batch, whose slices end before these places.

        They are added up over each slice, and those of its last token; both of shape (slices, width). None where they
        were not heard of every token.
        """
        rows = self._halfway_rows
        if rows is None or len(rows) != ends[-1]:
            return None
        return np.add.reduceat(rows, [0, *ends[:-1]], axis=0), rows[[end - 1 for end in ends]]

    @property
    def row(self) -> NDArray[np.float32]:
        """Return a copy of the hidden state behind the token that is being delivered; shape (width,)."""
        row: NDArray[np.float32] = self._rows[self.output].copy()
        return row

    def _hear(self, tensor: Any, ask: bool, _user_data: Any) -> bool:  # noqa: ANN401, FBT001 — llama.cpp's own signature
        if self._raised is not None:
            return ask  # asked: hand the tensor over; handed over: stop there
        return self._look(tensor, ask=ask)

    def _look(self, tensor: Any, *, ask: bool) -> bool:  # noqa: ANN401 — an opaque pointer
        name = self._ggml.ggml_get_name(tensor)
        if name not in {_TENSOR, self._halfway}:
            return not ask  # do not stop for it; go on
        if ask:
            return True
        size = self._ggml.ggml_nbytes(tensor)
        rows = np.empty((size // (4 * self._width), self._width), dtype=np.float32)
        self._ggml.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
        if name == self._halfway:
            self._halfway_rows = rows
            return not self._half
        self._rows = rows
        return not self._breaks_off


_LISTENING: Final[dict[int, HiddenStates]] = {}
"""Thread → whose callback llama.cpp may call there just now."""


def _listen(states: HiddenStates) -> None:
    _LISTENING[get_ident()] = states
    if getattr(sys.unraisablehook, "of", None) is not _LISTENING:
        sys.unraisablehook = _hook(sys.unraisablehook)


def _hook(otherwise: Any) -> Any:  # noqa: ANN401 — typeshed's name for it is private
    def hook(unraisable: Any) -> None:  # noqa: ANN401
        states = _LISTENING.get(get_ident())
        if states is not None and unraisable.exc_value and "ctypes callback" in (unraisable.err_msg or ""):
            states.keep(unraisable.exc_value)
        else:
            otherwise(unraisable)

    hook.of = _LISTENING  # type: ignore[attr-defined]
    return hook
