"""The processes of a job: one Celery worker per tier, and Flower; started, watched and stopped together."""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.embedded import Child, Supervisor
from pipeline.adapters.embedded.ports import LOOPBACK, pick_port
from pipeline.domain.job import Job
from pipeline.settings import Settings, child_environment
from pipeline.wiring.servers import Servers
from pipeline.wiring.watch import Watch

_WORKER_GRACE_S = 20.0
FLOWER_USER = "headrace"


@dataclass(frozen=True, kw_only=True)
class FlowerAddress:
    """Where Flower is and how to get in."""

    url: str
    user: str
    password: str = field(repr=False)


def threads_of(job: Job, granted: int) -> dict[str, int]:
    """Return each tier's share of the granted CPUs: local models that work at the same time divide them.

    Where every step with several tiers has a target, the last tiers begin when those below them are through, since
    answers are held until then: both get all CPUs.
    """
    ladders = [job.ladder(number) for number in range(len(job.steps))]
    tops = {ladder[-1] for ladder in ladders}
    certified = all(len(ladder) == 1 or number in job.certified_steps for number, ladder in enumerate(ladders))
    below = {number for ladder in ladders for number in ladder[:-1]}
    in_turns = certified and bool(job.certified_steps) and not tops & below
    groups = [tops, below] if in_turns else [tops | below]
    shares = dict.fromkeys((tier.name for tier in job.tiers), 1)
    for group in groups:
        models = [job.tiers[number].name for number in group if job.tiers[number].model_file is not None]
        shares |= dict.fromkeys(models, max(1, granted // max(1, len(models))))
    return shares


class Stack:
    """A context manager: all processes end with it."""

    def __init__(self, job: Job, settings: Settings, servers: Servers) -> None:
        """Prepare; nothing runs until `start_workers`."""
        self._job = job
        self._settings = settings
        self._servers = servers
        # Beside a running `up` in the same home, our children need names of their own.
        self._prefix = "" if servers.services is not None else f"run{os.getpid()}-"
        self._supervisor = Supervisor(run_folder=servers.home.run_folder, log_folder=servers.home.log_folder)
        self._watch = Watch(self._supervisor, servers.services)

    def __enter__(self) -> Self:
        """Return the stack itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, in order."""
        self._supervisor.stop()
        self._job_file().unlink(missing_ok=True)

    def start_workers(self) -> None:
        """Start one worker per tier; each loads its model while the source is being read."""
        self._job_file().write_text(self._job.model_dump_json(), encoding="utf-8")
        shares = threads_of(self._job, granted_cpus())
        for tier in self._job.tiers:
            argv = (
                *(sys.executable, "-m", "workers"),
                *("--job", str(self._job_file()), "--tier", tier.name, "--threads", str(shares[tier.name])),
            )
            self._supervisor.start(
                Child(
                    name=f"{self._prefix}worker-{tier.name}",
                    argv=argv,
                    env=child_environment({**self._servers.environment, "HEADRACE_LOG_FORMAT": "json"}),
                    cwd=Path.cwd(),
                    stop_signal=signal.SIGTERM,
                    grace_s=_WORKER_GRACE_S,
                    restart="always",
                )
            )

    def start_flower(self) -> FlowerAddress:
        """Start Flower behind a generated password, on 127.0.0.1 and read-only."""
        port = pick_port(self._settings.flower_port)
        password = self._servers.home.secret("flower-password")
        flower = {
            "FLOWER_ADDRESS": LOOPBACK,
            "FLOWER_PORT": str(port),
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}",
            "FLOWER_READ_ONLY": "true",
            "FLOWER_MAX_TASKS": "5000",
            "FLOWER_PURGE_OFFLINE_WORKERS": "300",
        }
        self._supervisor.start(
            Child(
                name=f"{self._prefix}flower",
                argv=(sys.executable, "-m", "celery", "-A", "workers.app", "flower"),
                env=child_environment({**self._servers.environment, **flower}),
                cwd=Path.cwd(),
                grace_s=5.0,
                restart="always",
                facts={"port": port},
            )
        )
        return FlowerAddress(url=f"http://{LOOPBACK}:{port}", user=FLOWER_USER, password=password)

    def poll(self) -> None:
        """Look after the processes; raises ServiceError when one keeps ending, with its log's name."""
        self._watch.poll()

    def pids(self) -> dict[str, int | None]:
        """Return the process of each worker, by tier."""
        return {tier.name: self._supervisor.pid(f"{self._prefix}worker-{tier.name}") for tier in self._job.tiers}

    def _job_file(self) -> Path:
        return self._servers.home.run_folder / f"{self._prefix}job-{self._job.digest[:12]}.json"
