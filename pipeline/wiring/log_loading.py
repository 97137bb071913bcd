"""Logs for commands: files loaded one after another, and kinds of what is stored."""

import datetime as dt
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.log_files import LogFileReader, found_files, shown_name
from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.events import kinds
from pipeline.domain.logs.headers import LAYOUTS
from pipeline.domain.logs.nights import Report
from pipeline.flow.log_loading import Loaded, load_file
from pipeline.flow.log_parsing import prepare
from pipeline.flow.log_report import reported
from pipeline.ports.clock import Clock
from pipeline.ports.logs import LogStore, Pattern

__all__ = ["Kind", "Loaded", "Report", "kinds_of", "load_files", "report_of", "stored_kinds", "templates_of"]

_FIRST_YEAR, _LAST_YEAR = 1900, 9000
_WORTH_BYTES = 8 * 1024 * 1024
"""What is read in the time that processes take to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of event of a stored log."""

    template: str
    events: int
    patterns: tuple[str, ...]
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    first_seen: dt.datetime
    """When the first of its patterns was stored."""
    answers: Mapping[str, str] | None = None
    """Step → answer, of those who were asked about it; None: nobody was."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "template": self.template,
            "events": self.events,
            "first_at": None if self.first_at is None else self.first_at.isoformat(),
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "first_seen": self.first_seen.isoformat(),
            "answers": None if self.answers is None else dict(self.answers),
        }


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


def kinds_of(store: LogStore, log: str) -> list[Kind]:
    """Return the kinds of a stored log, the commonest first; raises ConfigError where nothing of it is stored."""
    found = stored_kinds(store, log)
    if not found:
        raise ConfigError(f"nothing of a log {log} is stored: load it with headrace logs load {log} FILE")
    return found


def stored_kinds(store: LogStore, log: str) -> list[Kind]:
    """Return the kinds of a log, the commonest first; none where nothing of it is stored."""
    patterns = store.patterns(log)
    answers = store.answers(log, None)
    template_of = kinds(one.pattern for one in patterns)
    together: dict[str, list[Pattern]] = defaultdict(list)
    for one in patterns:
        together[template_of[one.pattern]].append(one)
    found = [_kind(template, members, answers) for template, members in together.items()]
    return sorted(found, key=lambda one: (-one.events, one.template))


def templates_of(store: LogStore, log: str) -> dict[str, str]:
    """Return pattern → template of its kind."""
    return kinds(one.pattern for one in store.patterns(log))


def report_of(store: LogStore, log: str, day: dt.date | None, *, against: int) -> Report:
    """Report on a day of a log, by default its latest; raises ConfigError where nothing of it is stored or dated."""
    patterns = store.patterns(log)
    last = max((one.last_at for one in patterns if one.last_at is not None), default=None)
    if last is None:
        raise ConfigError(f"nothing of a log {log} with moments is stored: load it with headrace logs load {log} FILE")
    day = day or last.astimezone(dt.UTC).date()
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ConfigError(f"{day}: reports are of days from {_FIRST_YEAR} to {_LAST_YEAR}; name one with --day")
    until = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)
    rates = store.rates(log, since=until - dt.timedelta(days=against + 1), until=until)
    return reported(rates, kinds(one.pattern for one in patterns), until=until, against=against)


def _kind(template: str, members: Sequence[Pattern], answers: Mapping[str, Mapping[str, str]]) -> Kind:
    return Kind(
        template=template,
        events=sum(one.events for one in members),
        patterns=tuple(one.pattern for one in members),
        first_at=min((one.first_at for one in members if one.first_at is not None), default=None),
        last_at=max((one.last_at for one in members if one.last_at is not None), default=None),
        first_seen=min(one.first_seen for one in members),
        answers=next((answers[one.pattern] for one in members if one.pattern in answers), None),
    )
