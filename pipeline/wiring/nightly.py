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
from pipeline.domain.errors import ConfigError
from pipeline.ports.clock import Clock
from pipeline.settings import NIGHTS, Settings, child_environment
from pipeline.wiring.nights import log_job
from pipeline.wiring.servers import Role, servers
from pipeline.wiring.watch import Watch

_GRACE_S = 20.0
_LOOK_EVERY_S = 0.25


class Nightly:
    """A context manager: all processes end with it."""

    def __init__(self, files: Sequence[Path], settings: Settings) -> None:
        """Read the job files; raises ConfigError for what is wrong in one, or for two that fill the same log."""
        self._files, self._settings = list(files), settings
        self._cleanup = contextlib.ExitStack()
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
        home = found.home
        self._supervisor = Supervisor(run_folder=home.run_folder, log_folder=home.log_folder)
        self._cleanup.callback(self._supervisor.stop)
        self._watch = Watch(self._supervisor, found.services)
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
                self._watch.poll()
                clock.sleep(_LOOK_EVERY_S)


def _forget(beat_file: Path) -> None:
    for path in beat_file.parent.glob(f"{beat_file.name}*"):
        path.unlink(missing_ok=True)
