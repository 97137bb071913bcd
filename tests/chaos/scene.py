"""A run under fire: servers of one `headrace up`, workers of another, the network between them, and their undoing."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from pipeline.adapters.embedded import open_home
from tests.acceptance.conftest import Shell, lines_of
from tests.chaos.endpoint import Endpoint
from tests.chaos.memory import memory_mib
from tests.chaos.proxy import proxied

LEASE_S, SWEEP_S = 3.0, 1.0
JOB = """
name = "chaos"
text = "{{text}}"
flush_after_s = 1.0
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "small"
engine = "instant"
model = "score=0.10 wait_s={wait_s}"
price = "per-token-small"
chunk_items = 16
[[tiers]]
name = "large"
engine = "openai"
model = "served"
base_url = "{url}"
api_key_env = "CHAOS_KEY"
on_unknown_confidence = "accept"
price = "per-token-large"
chunk_items = 16
timeout_s = 2
retries = 1
"""


DISK = "1g"
"""Of the disk of Postgres, where one can be mounted."""


@dataclass
class Scene:
    """One run. The servers are in one home, the workers in another, and proxies between them."""

    shell: Shell
    endpoint: Endpoint
    items: int
    lease_s: float = LEASE_S
    sweep_s: float = SWEEP_S
    clock: Path | None = None
    """A library to load before others into workers, which takes the time from a file (libfaketime)."""
    servers: "subprocess.Popen[bytes] | None" = None
    up: "subprocess.Popen[bytes] | None" = None
    ended: list[str] = field(default_factory=list)
    """Why one of them ended, each time that nobody had asked for it."""
    has_disk: bool = False
    _cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def begin(self, *, wait_s: float) -> None:
        """Start everything and put the items in."""
        ports = free_ports(2)
        self.shell.extra.update(
            CHAOS_KEY="any",
            HEADRACE_LEASE_S=str(self.lease_s),
            HEADRACE_SWEEP_EVERY_S=str(self.sweep_s),
            HEADRACE_REDIS_PORT=str(ports[0]),
            HEADRACE_POSTGRES_PORT=str(ports[1]),
        )
        self._mount()
        self.job = self.shell.file("job.toml", JOB.format(url=self.endpoint.base_url, wait_s=wait_s))
        self.start_servers()
        self.to_redis, self.to_postgres = (self._cleanup.enter_context(proxied(port)) for port in ports)
        (self.shell.folder / "workers").mkdir()
        self.app = Shell(self.shell.folder / "workers", extra=self._app_environment(ports))
        self.start()
        source = self.shell.file("in.log", lines_of(self.items))
        self.run = self.shell.json("submit", self.job, source)["run"]

    def _app_environment(self, ports: Sequence[int]) -> dict[str, str]:
        running = open_home(self.shell.home).running()
        assert running is not None
        urls = {
            "HEADRACE_REDIS_URL": running.redis_url.replace(f":{ports[0]}/", f":{self.to_redis.port}/"),
            "HEADRACE_DATABASE_URL": running.database_url.replace(f":{ports[1]}/", f":{self.to_postgres.port}/"),
        }
        extra = {**self.shell.extra, **urls}
        if self.clock is not None:
            self.clock_file.write_text("+0")
            extra |= {
                "LD_PRELOAD": str(self.clock),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return extra

    @property
    def clock_file(self) -> Path:
        return self.shell.folder / "clock"

    @property
    def disk(self) -> Path:
        return self.shell.home / "postgres"

    def _mount(self) -> None:
        """Give Postgres a disk of its own, which can be filled; without the right to mount it has none."""
        self.disk.mkdir(mode=0o700, parents=True)
        self.shell.home.chmod(0o700)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "headrace-chaos", str(self.disk)],
            capture_output=True,
            check=False,
        )
        self.has_disk = done.returncode == 0
        if self.has_disk:
            self._cleanup.callback(subprocess.run, ["umount", "-l", str(self.disk)], check=False)
        else:
            shutil.rmtree(self.shell.home)

    def start_servers(self) -> None:
        """Start the servers, and wait until they answer."""
        self.servers = self.shell.start("up")
        self.shell.wait_until(lambda: self._alive(self.servers) and self._database_answers(), "the servers answer")

    def start(self) -> None:
        """Start the workers."""
        self.up = self.app.start("up", self.job)

    def _alive(self, process: "subprocess.Popen[bytes] | None") -> bool:
        assert process is not None
        assert process.poll() is None, self.shell.output(process)[-2000:]
        return True

    def _database_answers(self) -> bool:
        try:
            self.rows("SELECT 1")
        except (psycopg.Error, AssertionError):
            return False
        return True

    def look_after(self) -> None:
        """Start again what has ended, as a service manager would."""
        if self.servers is not None and self.servers.poll() is not None:
            self.ended.append(f"servers: {_last_line(self.shell.output(self.servers))}")
            self.start_servers()
        if self.up is not None and self.up.poll() is not None:
            self.ended.append(f"workers: {_last_line(self.app.output(self.up))}")
            self.start()

    @contextlib.contextmanager
    def connected(self) -> "Iterator[psycopg.Connection[Any]]":
        """Connect to the scene's Postgres, not by the network under fire."""
        running = open_home(self.shell.home).running()
        assert running is not None
        url = running.database_url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield connection

    @contextlib.contextmanager
    def redis(self) -> "Iterator[redis.Redis]":
        """Connect to the scene's Redis, not by the network under fire."""
        running = open_home(self.shell.home).running()
        assert running is not None
        with redis.Redis.from_url(running.redis_url, socket_timeout=5) as client:
            yield client

    def rows(self, query: str) -> list[Any]:
        with self.connected() as connection:
            found = connection.execute(query.encode())
            return found.fetchall() if found.description else []

    def verdicts(self) -> int:
        """Return how many questions have their outcome; -1 while Postgres does not answer."""
        try:
            return int(self.rows("SELECT count(*) FROM verdicts")[0][0])
        except (psycopg.Error, AssertionError):
            return -1

    def state(self) -> str:
        """Return the run's state; empty while Postgres does not answer."""
        try:
            found = self.rows("SELECT state FROM runs")
        except (psycopg.Error, AssertionError):
            return ""
        return str(found[0][0]) if found else ""

    def recover(self, *, patience_s: float) -> float:
        """Wait until something is answered again; returns after how many seconds."""
        started_s, before = time.monotonic(), -1
        while time.monotonic() < started_s + patience_s:
            self.look_after()
            now = self.verdicts()
            if before < 0:
                before = now
            elif now > before or self.state() == "done":
                return time.monotonic() - started_s
            time.sleep(0.1)
        logs = sorted((self.app.home / "logs").glob("*worker-*.log"))
        told = "\n".join(f"--- {path.stem}\n{path.read_text(errors='replace')[-3000:]}" for path in logs)
        message = f"nothing was answered for {patience_s} s; the run is {self.state()}\n{told}"
        raise AssertionError(message)

    def claimed(self) -> list[int]:
        """Return the chunks that are being answered."""
        return [int(row[0]) for row in self.rows("SELECT id FROM chunks WHERE state = 'claimed'")]

    def answered(self, chunks: Sequence[int], *, patience_s: float) -> float:
        """Wait until these chunks are done; returns after how many seconds."""
        started_s = time.monotonic()
        wanted = ", ".join(map(str, chunks)) or "0"
        while time.monotonic() < started_s + patience_s:
            self.look_after()
            with contextlib.suppress(psycopg.Error, AssertionError):
                if not self.rows(f"SELECT id FROM chunks WHERE state <> 'done' AND id IN ({wanted})"):  # noqa: S608 — numbers
                    return time.monotonic() - started_s
            time.sleep(0.1)
        message = f"chunks {wanted} were not answered for {patience_s} s"
        raise AssertionError(message)

    def finish(self, *, patience_s: float) -> None:
        """Wait for the end of the run, and stop everything."""
        until_s = time.monotonic() + patience_s
        while self.state() != "done":
            assert time.monotonic() < until_s, f"the run is {self.state()} with {self.verdicts()} of {self.items}"
            self.look_after()
            time.sleep(0.2)

    def processes(self, wanted: Callable[[str], bool]) -> list[psutil.Process]:
        """Return the scene's processes, the guards' children only, whose command line is wanted."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                line = " ".join(process.cmdline())
                if str(self.shell.home) in line + process.cwd() and wanted(line) and "guard.py" not in line:
                    found.append(process)
        return found

    def server(self, name: str) -> psutil.Process:
        """Return `valkey` or `postgres`, by the guard that keeps it."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                parent = process.parent()
                is_ours = parent is not None and "guard.py" in " ".join(parent.cmdline())
                if is_ours and name in process.name() and self._belongs(process):
                    return process
        message = f"no {name} runs"
        raise AssertionError(message)

    def _belongs(self, process: psutil.Process) -> bool:
        assert self.servers is not None
        return self.servers.pid in {parent.pid for parent in process.parents()}

    def memory_mib(self) -> dict[str, float]:
        """Return what each of our processes takes, by what it is."""
        roots = {"servers": self.servers, "workers": self.up}
        return memory_mib({name: root.pid for name, root in roots.items() if root is not None})

    def stop(self) -> None:
        for process in (self.up, self.servers):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)  # a background job ignores SIGINT
                process.wait(60)
        self._cleanup.close()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it wrote nothing"])[-1][:200]


def can_mount() -> bool:
    """Whether a disk can be mounted here."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "headrace-try", folder], capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=False)
        return done.returncode == 0


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
