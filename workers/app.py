"""The Celery app of workers and Flower. Importing it reads the environment and connects to nothing."""

from celery import Celery
from celery.signals import setup_logging

from pipeline import telemetry
from pipeline.adapters.celery_queue import celery_settings
from pipeline.domain.errors import ConfigError
from pipeline.settings import load_settings
from pipeline.wiring.exposure import refuse_exposed
from workers.closing import closed

_SOFT_SHUTDOWN_S = 15
_START_WITHIN_S = 900  # a model of many GB is hashed and loaded before the child says that it is up


def make_app() -> Celery:
    """Return the app, with Celery's rules for long inference (see the README's decisions)."""
    settings = load_settings()
    if settings.redis_url is None:
        raise ConfigError("a worker needs HEADRACE_REDIS_URL and HEADRACE_DATABASE_URL; `headrace up` sets them itself")
    refuse_exposed(settings)
    made = Celery("headrace")
    made.conf.update(
        celery_settings(settings.redis_url.get_secret_value()),
        imports=("workers.tasks", "workers.lifecycle"),
        # One chunk at a time, acknowledged when done; what a dead worker held comes back by its lease in Postgres.
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        # A context of llama.cpp does not survive a fork.
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=_START_WITHIN_S,
        worker_soft_shutdown_timeout=_SOFT_SHUTDOWN_S,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=True,  # Flower asks by it; see `closing` for what is left of it
        event_queue_ttl=60,
        event_queue_expires=60,
    )
    return closed(made)


@setup_logging.connect
def _configure_logging(**_: object) -> None:
    settings = load_settings()
    telemetry.configure(level=settings.log_level or "info", style=settings.log_format)


app = make_app()
