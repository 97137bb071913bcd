"""Logs for commands: files loaded one after another."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.log_files import LogFileReader, found_files, shown_name
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.flow.log_loading import Loaded, load_file
from pipeline.flow.log_parsing import prepare
from pipeline.ports.clock import Clock
from pipeline.ports.logs import LogStore

__all__ = ["Loaded", "load_files"]

_WORTH_BYTES = 8 * 1024 * 1024
"""What is read in the time that processes take to start."""


def load_files(
    store: LogStore,
    log: str,
    names: Sequence[str],
    *,
    layout: str | None,
    processes: int | None,
    clock: Clock,
    show: Callable[[str, int, int, int], None],
) -> Iterator[Loaded]:
    """Load files, the oldest first; `show(name, events, number, of)` as it goes on.

    Parsed by so many `processes`, None: one a CPU.
    A file that cannot be read, or breaks off, is told and does not stop the others. Raises ConfigError for names that
    no file has, and where another process loads the same log.
    """
    found = {path: _looked_at(path) for path in found_files(names)}
    paths = sorted(found, key=lambda path: (found[path][0], str(path)))
    with store.log_lock(log) as held, _parsers(processes, sum(size for _, size in found.values())) as parsers:
        if not held:
            raise ConfigError(f"another process is loading the log {log} just now: try again when it is done")
        for number, path in enumerate(paths, 1):
            called = shown_name(Path(path.name))
            try:
                yield load_file(
                    store,
                    log,
                    LogFileReader(path),
                    layout=None if layout is None else LAYOUTS[layout],
                    parsers=parsers,
                    clock=clock,
                    show=lambda count, _, name=called, at=number: show(name, count, at, len(paths)),  # type: ignore[misc]
                )
            except ConfigError as error:
                yield Loaded(
                    name=shown_name(path), layout=None, events=0, from_line=1, until_line=0, problem=str(error)
                )


def _looked_at(path: Path) -> tuple[float, int]:
    """Return when a file was written last and how large it is; a rotation may have moved it already."""
    try:
        seen = path.stat()
    except OSError:
        return 0.0, 0
    return seen.st_mtime, seen.st_size


def _parsers(processes: int | None, size_bytes: int) -> Executor:
    """Return what parses: other processes where there is enough to read that starting them pays."""
    processes = processes or granted_cpus()
    if processes == 1 or size_bytes < _WORTH_BYTES:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=prepare)
