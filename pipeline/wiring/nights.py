"""Nights: a log loaded on its schedule, its new kinds asked about once, and what the night brought kept and shown.

Whatever dies, the same night goes on: events are loaded once, what is asked is answered once (see `log_asking`), and a
night that is done is not done again.
"""

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.log_files import found_files
from pipeline.adapters.pages import night_page
from pipeline.adapters.schedule import Schedule
from pipeline.adapters.user_files import load_log_job
from pipeline.domain.errors import ConfigError, JobError
from pipeline.domain.logs.nights import Asked, LogJob, Night
from pipeline.flow.log_report import reported
from pipeline.ports.clock import Clock
from pipeline.ports.logs import LogStore
from pipeline.wiring.log_kinds import templates_of
from pipeline.wiring.log_loading import load_files

__all__ = ["Begun", "LogJob", "Night", "Schedule", "begin", "finish", "log_job"]

_MOST_MISSED = 31
_HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Nights whose events are loaded."""

    job: LogJob
    due: Sequence[dt.datetime]
    """The earliest first: those that were missed, and the one that is due; empty where all are done."""
    started: dt.datetime
    files: int = 0
    loaded: int = 0
    problems: tuple[str, ...] = ()

    def with_problem(self, problem: str) -> "Begun":
        """Return the same with one problem more."""
        return dataclasses.replace(self, problems=(*self.problems, problem))


def log_job(path: Path) -> LogJob:
    """Read a log job file and look at its schedule; raises JobError for what is wrong in it."""
    job = load_log_job(path)
    try:
        Schedule(job.at, job.timezone)
    except ConfigError as error:
        raise JobError(f"log job file {path}: {error}") from None
    return job


def due_nights(store: LogStore, job: LogJob, now: dt.datetime) -> list[dt.datetime]:
    """Return when nights were due that are not done, the earliest first; of a new log only the latest."""
    schedule = Schedule(job.at, job.timezone)
    last = next(iter(store.nights(job.log, limit=1)), None)
    if last is None:
        return list(itertools.islice(schedule.before(now), 1))
    missed = itertools.takewhile(lambda due: due > last.due, schedule.before(now))
    return sorted(itertools.islice(missed, _MOST_MISSED))


def begin(store: LogStore, job: LogJob, *, clock: Clock, show: Callable[[str, int, int, int], None]) -> Begun:
    """Load what is new, if a night is due; raises ConfigError where another process loads the log.

    A pattern that names no file is a problem of that pattern alone.
    """
    now = clock.now()
    due = due_nights(store, job, now)
    if not due:
        return Begun(job=job, due=(), started=now)
    there, problems = _there(job.files)
    done = list(load_files(store, job.log, there, layout=job.layout, processes=None, clock=clock, show=show))
    return Begun(
        job=job,
        due=due,
        started=now,
        files=len(done),
        loaded=sum(one.events for one in done),
        problems=(*problems, *(one.complaint for one in done if one.problem is not None)),
    )


def _there(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the names that have files, and what is wrong with the others."""
    there: list[str] = []
    problems: list[str] = []
    for name in names:
        try:
            found_files([name])
            there.append(name)
        except ConfigError as error:
            problems.append(str(error))
    return there, problems


def finish(store: LogStore, begun: Begun, *, asked: Asked) -> list[Night]:
    """Keep the nights and write their pages; the last has what was asked, and each its own report."""
    job, nights = begun.job, []
    template_of = templates_of(store, job.log)
    answers = store.answers(job.log, None)
    told: dict[str, Mapping[str, str]] = {template_of[one]: said for one, said in answers.items() if one in template_of}
    for number, due in enumerate(begun.due, 1):
        last = number == len(begun.due)
        until, length = _time_of(job, due)
        rates = store.rates(job.log, since=until - (job.against + 1) * length, until=until)
        night = Night(
            log=job.log,
            due=due,
            started=begun.started,
            report=reported(rates, template_of, until=until, length=length, against=job.against, answers=told),
            files=begun.files,
            loaded=begun.loaded if last else 0,
            problems=begun.problems if last else (),
            asked=asked if last else Asked(),
        )
        nights.append(store.add_night(night))
        if job.reports is not None:
            write_night(nights[-1], Path(job.reports))
    return nights


def _time_of(job: LogJob, due: dt.datetime) -> tuple[dt.datetime, dt.timedelta]:
    """Return the end of the time that a night reports on, a whole hour, and how long it is."""
    this, before, *_ = (*itertools.islice(Schedule(job.at, job.timezone).before(due), 2), due - 24 * _HOUR)
    hours = max(1, round((this - before) / _HOUR))
    return due.replace(minute=0, second=0, microsecond=0), hours * _HOUR


def write_night(night: Night, folder: Path) -> None:
    """Write a night as a page and as JSON, named by the moment it was due; raises ConfigError where that fails."""
    name = f"{night.log}-{night.due:%Y-%m-%dT%H%M}Z"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in (("json", json.dumps(night.as_json(), ensure_ascii=False)), ("html", night_page(night))):
            partial = folder / f".{name}.{ending}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(folder / f"{name}.{ending}")
    except OSError as error:
        raise ConfigError(f"the report {folder / name} cannot be written: {error.strerror}") from None
