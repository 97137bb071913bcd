"""Thresholds under review: proposed from an evaluation or from runs, applied to a job file, and kept in its history."""

import datetime as dt
import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters.user_files import edited_job, load_job, read_proposal, write_job, write_proposal
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.review import Applied, Proposal
from pipeline.flow.review import propose, propose_from_runs
from pipeline.ports.clock import Clock
from pipeline.ports.store import Store
from pipeline.settings import Settings
from pipeline.wiring.evaluating import kept_evaluation

FOLDER = "policies"
DEFAULT_TOLERANCE = 0.005
_RECENT_RUNS = 50

__all__ = ["apply_proposal", "edit_job", "history", "proposed", "proposed_from_runs", "review", "write_proposal"]


def proposed(job: Job, evaluation: str, settings: Settings, *, tolerance: float, clock: Clock) -> Proposal:
    """Propose thresholds from a kept evaluation of this job; raises ConfigError where it is of another."""
    found = kept_evaluation(evaluation, settings)
    if found.job != job.name:
        raise ConfigError(f"evaluation {found.name} is of job {found.job}, not of {job.name}: name one with --from")
    return propose(job, found, tolerance=tolerance, made_at=clock.now().isoformat(timespec="seconds"))


def proposed_from_runs(job: Job, store: Store, *, clock: Clock) -> Proposal:
    """Propose what need not be held, from certificates of this job's latest runs; ConfigError where there is none."""
    runs = [store.find_run(one.run) for one in store.list_runs(limit=_RECENT_RUNS)]
    decided = [(run, store.concluded(run.id)) for run in runs if run.job.name == job.name]
    if not any(concluded for _, concluded in decided):
        raise ConfigError(f"no run of {job.name} has a certificate yet: its job needs a [target], see the README")
    return propose_from_runs(job, decided, made_at=clock.now().isoformat(timespec="seconds"))


def review(job: Job, store: Store, settings: Settings, *, clock: Clock) -> Path | None:
    """Write a proposal where the job's `[review]` is due; returns its file, None where none is due or none can be made.

    Made from the latest runs where the job has a target, otherwise from the latest evaluation.
    """
    folder, today = settings.home / FOLDER / job.name, clock.now().date()
    last = max((day for file in folder.glob("*.toml") if (day := _day(file)) is not None), default=None)
    if job.review is None or not job.review.is_due(last, today):
        return None
    try:
        if job.certified_steps:
            found = proposed_from_runs(job, store, clock=clock)
        else:
            found = proposed(job, "last", settings, tolerance=DEFAULT_TOLERANCE, clock=clock)
    except ConfigError:
        return None  # nothing to make it from yet: tried again later
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{today.isoformat()}.toml"
    write_proposal(path, found)
    return path


def _day(file: Path) -> dt.date | None:
    try:
        return dt.date.fromisoformat(file.stem)
    except ValueError:
        return None


def apply_proposal(path: Path, job_file: Path, settings: Settings, *, clock: Clock) -> Applied:
    """Write a proposal's thresholds into a job file and its history; raises ConfigError where they do not fit."""
    proposal, job = read_proposal(path), load_job(job_file)
    if proposal.job != job.name:
        raise ConfigError(f"{path} is for job {proposal.job}, and {job_file} is {job.name}")
    thresholds: dict[str, dict[str, float]] = {}
    for one in proposal.change:
        thresholds.setdefault(one.tier, {})[one.step] = one.proposed
    edit_job(job_file, ladders={}, thresholds=thresholds)
    applied = Applied(
        at=clock.now().isoformat(timespec="seconds"),
        by=getpass.getuser(),
        evaluation=proposal.evaluation,
        change=proposal.change,
    )
    kept = _history_file(job.name, settings)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a", encoding="utf-8") as file:
            file.write(applied.model_dump_json() + "\n")
    except OSError as error:
        raise ConfigError(
            f"{job_file} is changed, but its history {kept} cannot be written: {error.strerror}"
        ) from None
    return applied


def history(job: str, settings: Settings) -> list[Applied]:
    """Return what was applied to a job on this machine, the oldest first."""
    try:
        lines = _history_file(job, settings).read_text(encoding="utf-8").splitlines()
        return [Applied.model_validate_json(line) for line in lines if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, ValidationError):
        raise ConfigError(f"{_history_file(job, settings)} cannot be read: move it away to begin anew") from None


def edit_job(
    path: Path, *, ladders: Mapping[str, Sequence[str]], thresholds: Mapping[str, Mapping[str, float]]
) -> None:
    """Put other ladders and thresholds into a job file; raises JobError where that would make no job.

    The new text is read before it takes the old one's place: a job that would not load is never left behind.
    """
    text = edited_job(path, ladders=ladders, thresholds=thresholds)
    trial = path.with_name(f".{path.name}.trial")
    write_job(trial, text)
    try:
        load_job(trial)
    finally:
        trial.unlink(missing_ok=True)
    write_job(path, text)


def _history_file(job: str, settings: Settings) -> Path:
    return settings.home / FOLDER / f"{job}.jsonl"
