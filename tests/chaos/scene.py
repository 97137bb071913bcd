"""A run under fire: `headrace up` with its servers and workers in a home of its own, and what may be done to them."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg

from pipeline.adapters.embedded import open_home
from tests.acceptance.conftest import Shell, lines_of
from tests.chaos.endpoint import Endpoint

LEASE_S = 3.0
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


@dataclass
class Scene:
    """One run in one home."""

    shell: Shell
    endpoint: Endpoint
    items: int
    lease_s: float = LEASE_S
    up: "subprocess.Popen[bytes] | None" = None
    ended: list[str] = field(default_factory=list)
    """Why `up` ended, each time that nobody had asked for it."""

    def begin(self, *, wait_s: float) -> None:
        """Start everything and put the items in."""
        self.shell.extra.update(CHAOS_KEY="any", HEADRACE_LEASE_S=str(self.lease_s), HEADRACE_SWEEP_EVERY_S="1")
        self.job = self.shell.file("job.toml", JOB.format(url=self.endpoint.base_url, wait_s=wait_s))
        self.start()
        source = self.shell.file("in.log", lines_of(self.items))
        self.run = self.shell.json("submit", self.job, source)["run"]

    def start(self) -> None:
        """Start `up`, and wait until its servers answer."""
        self.up = self.shell.start("up", self.job)
        self.shell.wait_until(lambda: self._alive() and self._database_answers(), "up answers")

    def _alive(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, self.shell.output(self.up)[-2000:]
        return True

    def _database_answers(self) -> bool:
        try:
            self.rows("SELECT 1")
        except (psycopg.Error, AssertionError):
            return False
        return True

    def look_after(self) -> None:
        """Start `up` again if it has ended, as a service manager would."""
        if self.up is not None and self.up.poll() is not None:
            self.ended.append(self.shell.output(self.up).strip().splitlines()[-1][:200])
            self.start()

    @contextlib.contextmanager
    def connected(self) -> "Iterator[psycopg.Connection[Any]]":
        """Connect to the scene's Postgres."""
        running = open_home(self.shell.home).running()
        assert running is not None
        url = running.database_url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            yield connection

    def rows(self, query: str) -> list[Any]:
        with self.connected() as connection:
            return connection.execute(query.encode()).fetchall()

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
        message = f"nothing was answered for {patience_s} s: {self.shell.output(self.up)[-3000:] if self.up else ''}"
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
        assert self.up is not None
        return self.up.pid in {parent.pid for parent in process.parents()}

    def stop(self) -> None:
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)  # a background job ignores SIGINT
            self.up.wait(60)
