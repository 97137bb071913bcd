"""Standard error that may be closed or full: nobody reads what is wrong then, and the exit code still says it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

_NUMBER = 2


class StandardError:
    """Stands in for `sys.stderr`, and passes over what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — whatever else a text stream has
        """Pass on all but writing."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._passing_over():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what was held back."""
        with self._passing_over():
            self._stream.flush()

    @contextlib.contextmanager
    def _passing_over(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is left in the stream is flushed when the interpreter ends, and would change its exit code.
            with contextlib.suppress(OSError, ValueError):  # a stream of a test's has no descriptor
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, self._stream.fileno())
                os.close(nothing)


@contextlib.contextmanager
def lasting_errors() -> Iterator[None]:
    """Put a StandardError in the place of `sys.stderr` for a while; one that was closed before we started is opened."""
    before: TextIO | None = sys.stderr
    sys.stderr = cast("TextIO", StandardError(_opened() if before is None else before))
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = cast("TextIO", before)


def _opened() -> TextIO:
    """Return a stream to nothing, on standard error's own number: else the next file to be opened would get that."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    if nothing != _NUMBER:
        try:
            os.fstat(_NUMBER)
        except OSError:
            os.dup2(nothing, _NUMBER)
            os.close(nothing)
            nothing = _NUMBER
    os.set_inheritable(nothing, nothing == _NUMBER)
    return os.fdopen(nothing, "w", encoding="utf-8", closefd=False)
