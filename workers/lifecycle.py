"""A worker process's life: its engine is loaded once, in the process that uses it, never across a fork."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from celery.signals import worker_process_init, worker_process_shutdown

from pipeline import telemetry
from pipeline.domain.errors import ConfigError, HeadraceError
from pipeline.domain.job import Job
from pipeline.domain.tiers import Tier
from pipeline.flow.judge import Judge
from pipeline.settings import load_settings
from pipeline.wiring import judge_for
from pipeline.wiring.fusing import fuse_decisions, tell_decision
from pipeline.wiring.inputs import job_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Which tier this worker serves, and its share of the machine; travels to the child in one variable."""

    job: str
    tier: str
    threads: int | None

    def as_json(self) -> str:
        """Return the form that `assignment` reads."""
        return json.dumps({"job": self.job, "tier": self.tier, "threads": self.threads})


class _Process:
    """This process's judge, once it is loaded."""

    judge: Judge | None = None


def read_job(path: str) -> Job:
    """Read a job: TOML as users write it, or the JSON that `headrace` hands to its own workers; raises ConfigError."""
    if path.endswith(".json"):
        try:
            return Job.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"the job {path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{path} is no job that headrace wrote: write jobs as TOML") from None
    return job_from(Path(path), load_settings())


def tier_named(job: Job, name: str) -> Tier:
    """Return a job's tier; raises ConfigError listing those there are."""
    for tier in job.tiers:
        if tier.name == name:
            return tier
    raise ConfigError(f"job {job.name} has no tier {name!r}; it has: {', '.join(tier.name for tier in job.tiers)}")


def load(assignment: Assignment) -> None:
    """Load the engine and open store and queue; raises ConfigError or UnavailableError."""
    settings = load_settings()
    if settings.redis_url is None or settings.database_url is None:
        raise ConfigError("a worker needs HEADRACE_REDIS_URL and HEADRACE_DATABASE_URL")
    job = read_job(assignment.job)
    tier = tier_named(job, assignment.tier)
    _Process.judge = judge_for(
        job,
        tier,
        settings,
        threads=assignment.threads,
        redis_url=settings.redis_url.get_secret_value(),
        database_url=settings.database_url.get_secret_value(),
    )
    telemetry.logger().info("engine_ready", tier=tier.name, pool=tier.pool, model=_Process.judge.engine.model)
    decision = fuse_decisions(job, settings).get(job.tiers.index(tier))
    if decision is not None:
        tell_decision(tier.name, decision)


def current_judge() -> Judge:
    """Return this process's judge; raises ConfigError before it is loaded."""
    if _Process.judge is None:
        raise ConfigError("this process is no Headrace worker: start one with `headrace worker`")
    return _Process.judge


@worker_process_init.connect
def _on_start(**_: object) -> None:
    assigned = load_settings().assignment
    if assigned is None:
        return
    settings = load_settings()
    telemetry.configure(level=settings.log_level or "info", style=settings.log_format)
    try:
        load(Assignment(**json.loads(assigned)))
    except Exception as error:  # noqa: BLE001 — a child without its engine would fail every chunk
        reason = str(error) if isinstance(error, HeadraceError) else type(error).__name__
        telemetry.logger().error("engine_failed", reason=reason)
        # Celery would start this child again for ever: the parent is told to end instead.
        os.kill(os.getppid(), signal.SIGTERM)


@worker_process_shutdown.connect
def _on_stop(**_: object) -> None:
    if _Process.judge is not None:
        _Process.judge.engine.close()
        _Process.judge.queue.close()
