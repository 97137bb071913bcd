"""Read ahead: a stage of work goes on while the next stage does its part: parse, store, announce."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")
_DONE = object()


def ahead(values: Iterable[T], *, depth: int = 2) -> Generator[T, None, None]:
    """Yield the same values in the same order, up to `depth` of them read in advance by a thread.

    What the reading raises is raised here, in its place. Closing the iterator ends the thread, once it has the value
    that it works on, and closes `values`.
    """
    waiting: queue.Queue[object] = queue.Queue(maxsize=depth)
    stopped = threading.Event()
    fault: list[BaseException] = []

    def put(value: object) -> None:
        while not stopped.is_set():
            try:
                waiting.put(value, timeout=0.2)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            with _closed_after(values):
                for value in values:
                    put(value)
                    if stopped.is_set():
                        return
        except BaseException as error:  # noqa: BLE001 — carried over to the thread that asked
            fault.append(error)
        put(_DONE)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (value := waiting.get()) is not _DONE:
            yield value  # type: ignore[misc]  # the queue holds T or _DONE
        if fault:
            raise fault[0]
    finally:
        stopped.set()
        thread.join()


def _closed_after(values: Iterable[object]) -> contextlib.AbstractContextManager[object]:
    return contextlib.closing(values) if isinstance(values, Generator) else contextlib.nullcontext()
