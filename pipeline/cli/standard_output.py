"""Standard output that says in our own words what it cannot take.

Click, rich and the interpreter's end each have a way of their own to treat a pipe that nobody reads or a full disk.
None of them gets to see one: what the stream raises is translated where it is raised.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from pipeline.domain.errors import OutputError


class ReaderGone(Exception):
    """The reader of our pipe has read enough, as in `headrace results last | head -1`: no failure of anybody's."""


class StandardOutput:
    """Stands in for `sys.stdout`; raises ReaderGone or OutputError, and nothing else, for what cannot be written."""

    def __init__(self, stream: TextIO | None) -> None:
        """Write to this stream; None is one that was closed before we started."""
        self._stream = stream
        # Kept and raised again: click tries a stream out, and swallows what that raises.
        self._failure: ReaderGone | OutputError | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — whatever else a text stream has
        """Pass on all but writing."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._translated() as stream:
            return stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write lines; what their maker raises is not the stream's."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what was held back."""
        if self._stream is not None:
            with self._translated() as stream:
                stream.flush()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[TextIO]:
        if self._stream is None:
            raise OutputError("standard output is closed: nothing could be printed")
        if self._failure is not None:
            raise self._failure
        try:
            yield self._stream
        except BrokenPipeError:
            self._failure = ReaderGone()
        except OSError as error:
            self._failure = OutputError(f"cannot write to standard output: {error.strerror or type(error).__name__}")
        if self._failure is not None:
            _silence(self._stream)
            raise self._failure


def _silence(stream: TextIO) -> None:
    """Point the descriptor at nothing: the interpreter flushes what is left when it ends, and would fail again."""
    with contextlib.suppress(OSError, ValueError):  # a stream of a test's has no descriptor
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


@contextlib.contextmanager
def translated_output() -> Iterator[None]:
    """Put a StandardOutput in the place of `sys.stdout` for a while, and flush it at the end."""
    before: TextIO | None = sys.stdout
    output = StandardOutput(before)
    sys.stdout = cast("TextIO", output)
    try:
        yield
    except BaseException:
        with contextlib.suppress(ReaderGone, OutputError):  # what ended the command counts for more
            output.flush()
        raise
    else:
        output.flush()
    finally:
        sys.stdout = cast("TextIO", before)
