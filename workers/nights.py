"""Celery beat's side of log jobs: `celery -A workers.nights beat`, and the worker of its queue.

The message names a log job file. The night itself is a command of its own, so that nothing of it stays in this process;
it does what is due and nothing else, so that a message that is lost or comes twice changes nothing.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready

from pipeline import telemetry
from pipeline.adapters.celery_queue import celery_settings, pool_queue
from pipeline.domain.errors import ConfigError
from pipeline.settings import load_settings
from pipeline.wiring.exposure import refuse_exposed
from pipeline.wiring.nights import Schedule, log_job
from workers.closing import closed

QUEUE = "nights"
TASK = "headrace.night"
_EXPIRES_S = 12 * 3600
"""A message that waited so long behind other nights is not needed: the next one does that night, too."""


def make_app() -> Celery:
    """Return the app, with an entry of the schedule for each job file that the environment names."""
    settings = load_settings()
    if settings.redis_url is None:
        raise ConfigError("`headrace logs nightly` starts this, with HEADRACE_REDIS_URL set")
    refuse_exposed(settings)
    made = Celery("headrace-nights")
    made.conf.update(
        celery_settings(settings.redis_url.get_secret_value()),
        task_queues=(pool_queue(QUEUE),),
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone=next((log_job(Path(path)).timezone for path in job_files()), "UTC"),
        beat_schedule={path: _entry(path) for path in job_files()},
    )
    return closed(made)


def job_files() -> list[str]:
    """Return the log job files that this process keeps the schedule of."""
    return list(load_settings().nights)


def _entry(path: str) -> dict[str, Any]:
    job = log_job(Path(path))
    return {
        "task": TASK,
        "schedule": Schedule(job.at, job.timezone).beat,
        "kwargs": {"job": path},
        "options": {"queue": QUEUE, "expires": _EXPIRES_S},
    }


@setup_logging.connect
def _configure_logging(**_: object) -> None:
    settings = load_settings()
    telemetry.configure(level=settings.log_level or "info", style=settings.log_format)


app = make_app()


@worker_ready.connect
def _make_up(**_: object) -> None:
    """Ask for every night that may have been missed while nothing ran; one that was not has nothing to do."""
    for path in job_files():
        app.send_task(TASK, kwargs={"job": path}, queue=QUEUE, expires=_EXPIRES_S)


@app.task(name=TASK, ignore_result=True)
def night(job: str) -> None:
    """Do the night of a log job file."""
    if job not in job_files():
        telemetry.logger().error("night_refused", reason="no job file of this process")
        return
    started = time.monotonic()
    argv = [sys.executable, "-m", "pipeline.cli", "logs", "night", job, "--json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)  # noqa: S603 — our own module, no shell
    seconds = round(time.monotonic() - started, 1)
    log = telemetry.logger()
    if not done.stdout:
        log.error("night_failed", job=job, exit_code=done.returncode, seconds=seconds)
        return
    tell = log.info if done.returncode == 0 else log.warning  # done all the same: its report names the problems
    nights = len(json.loads(done.stdout)["nights"])
    tell("night_done", job=job, nights=nights, exit_code=done.returncode, seconds=seconds)
