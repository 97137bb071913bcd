"""Nights: a log loaded on its schedule, its new kinds asked about once, and what the night brought kept and shown.

Whatever dies, the same night goes on: events are loaded once, kinds that are to be asked about stand in a file that
stays until their answers are kept, so that the same run takes it up, and a night that is done is not done again.
"""

import dataclasses
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.embedded import open_home
from pipeline.adapters.pages import night_page
from pipeline.adapters.schedule import Schedule
from pipeline.adapters.user_files import load_log_job
from pipeline.domain.answers import Plain
from pipeline.domain.errors import ConfigError, JobError
from pipeline.domain.job import Job
from pipeline.domain.logs.events import content_of, kinds
from pipeline.domain.logs.nights import Asked, LogJob, Night
from pipeline.domain.runs import ResultLine, RunProgress
from pipeline.flow.log_report import reported
from pipeline.ports.logs import LogStore, Wanted
from pipeline.settings import Settings
from pipeline.wiring.log_loading import Kind, load_files, stored_kinds

__all__ = ["Begun", "LogJob", "Night", "Schedule", "begin", "finish", "keep_answers", "log_job", "to_ask"]

FOLDER = "nights"
_MOST_MISSED = 31
_MOST_FOLLOWING_CHARS = 2000
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


def begin(store: LogStore, job: LogJob, *, now: dt.datetime, show: Callable[[str, int, int, int], None]) -> Begun:
    """Load what is new, if a night is due; raises ConfigError where no file is there or another loads the log."""
    due = due_nights(store, job, now)
    if not due:
        return Begun(job=job, due=(), started=now)
    done = list(load_files(store, job.log, job.files, layout=job.layout, processes=None, show=show))
    return Begun(
        job=job,
        due=due,
        started=now,
        files=len(done),
        loaded=sum(one.events for one in done),
        problems=tuple(f"{one.name}: {one.problem}" for one in done if one.problem is not None),
    )


def to_ask(store: LogStore, log: str, asking: Job, settings: Settings) -> Path | None:
    """Return a file of kinds that `asking` was not asked about yet, a JSON object a line; None where there is none.

    A file that an interrupted night has left goes first, as it is.
    """
    folder = open_home(settings.home).folder(FOLDER)
    path = folder / f"{log}-{asking.questions_digest[:12]}.jsonl"
    if path.exists():
        return path
    answered = store.kind_answers(log, asking.questions_digest)
    new = [kind for kind in stored_kinds(store, log) if not any(one in answered for one in kind.patterns)]
    if not new:
        return None
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for kind in new:
            file.write(json.dumps(_row(store, log, kind), ensure_ascii=False) + "\n")
    partial.replace(path)
    return path


def _row(store: LogStore, log: str, kind: Kind) -> dict[str, Any]:
    found = next(iter(store.find(log, Wanted(patterns=kind.patterns[:1]), limit=1)), None)
    event = None if found is None else found.event
    header = {} if event is None else event.header
    return {
        "log": log,
        "template": kind.template,
        "example": "" if event is None else content_of(event),
        "following": "" if event is None else event.following[:_MOST_FOLLOWING_CHARS],
        "level": header.get("level", ""),
        "component": header.get("component", ""),
        "patterns": list(kind.patterns),
    }


def keep_answers(
    store: LogStore, log: str, asking: Job, path: Path, results: Iterable[ResultLine], final: RunProgress
) -> Asked:
    """Keep what a run over a file of `to_ask` answered, at each pattern of its kinds; the file goes."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = {
        pattern: {step: _said(found.value) for step, found in one.answers.items()}
        for one in results
        for pattern in rows[one.line - 1]["patterns"]
    }
    store.add_kind_answers(log, asking.questions_digest, answers)
    path.unlink()
    return Asked(
        kinds=len(rows),
        calls=final.calls,
        known_usd=final.known_usd,
        unknown_calls=final.unknown_calls,
        run=final.run,
    )


def _said(answer: Plain) -> str:
    """Return an answer as people read it; a question mark where there is none."""
    if answer is None:
        return "?"
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def finish(store: LogStore, begun: Begun, *, asking: Job | None, asked: Asked) -> list[Night]:
    """Keep the nights and write their pages; the last has what was asked, and each its own report."""
    job, nights = begun.job, []
    patterns = [one.pattern for one in store.patterns(job.log)]
    template_of = kinds(patterns)
    answers = {} if asking is None else store.kind_answers(job.log, asking.questions_digest)
    told: dict[str, Mapping[str, str]] = {template_of[one]: said for one, said in answers.items()}
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
