"""The processes that keep log jobs' schedules: Celery beat, and one worker that does a night at a time."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pipeline.adapters.embedded import Child, Supervisor
from pipeline.domain.errors import ConfigError, ServiceError
from pipeline.ports.clock import Clock
from pipeline.settings import NIGHTS, Settings, child_environment
from pipeline.telemetry import logger
from pipeline.wiring.nights import log_job
from pipeline.wiring.servers import Role, servers

_GRACE_S = 20.0
_CRASHES_ALLOWED = 4
_LOOK_EVERY_S = 0.25


class Nightly:
    """A context manager: all processes end with it."""

    def __init__(self, files: Sequence[Path], settings: Settings) -> None:
        """Read the job files; raises ConfigError for what is wrong in one, or for two that fill the same log."""
        self._files, self._settings = list(files), settings
        self._cleanup = contextlib.ExitStack()
        self._crashes: dict[str, int] = {}
        self.schedules: dict[str, str] = {}
        """Log → when."""
        zones: set[str] = set()
        for path in files:
            job = log_job(path)
            if job.log in self.schedules:
                raise ConfigError(f"{path}: another of these files fills the log {job.log} already")
            if zones and zones != {job.timezone}:
                raise ConfigError(f"{path}: another of these files has another timezone: keep them with two commands")
            zones.add(job.timezone)
            self.schedules[job.log] = f"{job.at} ({job.timezone})"

    def __enter__(self) -> Self:
        """Start the servers if nobody keeps them, the worker and the beat."""
        found = self._cleanup.enter_context(servers(self._settings, Role.UP, migrated=True, joining=True))
        self._servers = found
        home = found.home
        self._supervisor = Supervisor(run_folder=home.run_folder, log_folder=home.log_folder)
        self._cleanup.callback(self._supervisor.stop)
        nights = {NIGHTS: json.dumps([str(path) for path in self._files]), "HEADRACE_LOG_FORMAT": "json"}
        environment = child_environment({**found.environment, **nights})
        celery = (sys.executable, "-m", "celery", "-A", "workers.nights")
        beat_file = home.run_folder / f"nights{os.getpid()}-beat"
        self._cleanup.callback(_forget, beat_file)
        self._start("nights-worker", (*celery, "worker", "--pool", "solo", "--queues", "nights"), environment)
        self._start("nights-beat", (*celery, "beat", "--schedule", str(beat_file)), environment)
        return self

    def _start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._supervisor.start(
            Child(
                name=name,
                argv=(*argv, "--loglevel", "WARNING"),
                env=dict(environment),
                cwd=Path.cwd(),
                stop_signal=signal.SIGTERM,
                grace_s=_GRACE_S,
                restart="always",
            )
        )

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._cleanup.close()

    def wait(self, clock: Clock) -> None:
        """Look after the processes until Ctrl-C; raises ServiceError when one keeps ending."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self._poll()
                clock.sleep(_LOOK_EVERY_S)

    def _poll(self) -> None:
        ended = list(self._supervisor.poll())
        if self._servers.services is not None:
            ended += self._servers.services.poll()
        for one in ended:
            logger().warning("child_ended", child=one.name, exit_code=one.exit_code, uptime_s=round(one.uptime_s, 1))
            self._crashes[one.name] = self._crashes.get(one.name, 0) + 1
            if self._crashes[one.name] >= _CRASHES_ALLOWED:
                raise ServiceError(f"{one.name} keeps ending; see its log {self._supervisor.log_path(one.name)}")


def _forget(beat_file: Path) -> None:
    for path in beat_file.parent.glob(f"{beat_file.name}*"):
        path.unlink(missing_ok=True)
