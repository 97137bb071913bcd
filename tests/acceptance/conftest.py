"""Headrace as its users meet it: the command line in a home of its own, real servers, real worker processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.adapters.embedded import open_home, start_services
from pipeline.adapters.postgres import migrate

PATIENCE_S = 120.0

JOB = """
name = "acceptance"
text = "{{text}}"
flush_after_s = 1.0
[[steps]]
name = "category"
kind = "classify"
labels = ["billing", "technical", "other"]
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "small"
engine = "instant"
model = "{small}"
price = "per-token-small"
chunk_items = {chunk}
[[tiers]]
name = "large"
engine = "instant"
model = "{large}"
price = "per-token-large"
chunk_items = {chunk}
"""
# One dollar and ten dollars a token: money that can be checked in one's head.
PRICES = """
[[prices]]
name = "per-token-small"
valid_from = 2026-01-01
usd_per_mtok_in = "1000000"
usd_per_mtok_out = "1000000"
[[prices]]
name = "per-hour"
valid_from = 2026-01-01
usd_per_hour = "0.000001"
[[prices]]
name = "per-token-large"
valid_from = 2026-01-01
usd_per_mtok_in = "10000000"
usd_per_mtok_out = "10000000"
"""


@dataclass
class Shell:
    """Runs `headrace` with a home of its own."""

    folder: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "a home"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        prices = self.file("prices.toml", PRICES)
        ours = {"HEADRACE_HOME": str(self.home), "HEADRACE_PRICE_BOOK": str(prices), "HEADRACE_LEASE_S": "3"}
        models = os.environ.get("HEADRACE_MODELS")
        return {**kept, **ours, **({"HEADRACE_MODELS": models} if models else {}), **self.extra}

    def file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return path

    def job(self, *, small: str = "score=0.99", large: str = "score=0.99", chunk: int = 16) -> Path:
        return self.file("job.toml", JOB.format(small=small, large=large, chunk=chunk))

    def run(self, *arguments: object, code: int = 0, stdin: bytes | None = None) -> str:
        """Run a command to its end; returns its standard output."""
        argv = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
        done = subprocess.run(
            argv, env=self.environment(), input=stdin, capture_output=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
        self.last_stderr = done.stderr.decode()
        return done.stdout.decode()

    def json(self, *arguments: object, code: int = 0) -> Any:  # noqa: ANN401 — JSON
        return json.loads(self.run(*arguments, "--json", code=code))

    def results(self, run: str = "last") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("results", run).splitlines()]

    def start(self, *arguments: object) -> "subprocess.Popen[bytes]":
        """Start a command that goes on; it is ended after the test."""
        argv = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
        out = (self.folder / f"out-{len(self.started)}").open("wb")
        process = subprocess.Popen(argv, env=self.environment(), stdout=out, stderr=subprocess.STDOUT)
        out.close()
        self.started.append(process)
        return process

    def output(self, process: "subprocess.Popen[bytes]") -> str:
        return (self.folder / f"out-{self.started.index(process)}").read_text(encoding="utf-8", errors="replace")

    def log(self, name: str) -> str:
        path = self.home / "logs" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again and again, with an end."""
        until = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until, f"waited {PATIENCE_S} s for: {what}"
            time.sleep(0.05)

    def answered(self) -> int:
        """Outcomes of the last run so far; 0 while the servers are still coming up."""
        argv = [sys.executable, "-m", "pipeline.cli", "status", "last", "--json"]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, timeout=PATIENCE_S, check=False)
        if done.returncode != 0:
            return 0
        return sum(sum(s["verdicts"].values()) + s["unresolved"] for s in json.loads(done.stdout)["steps"].values())

    def processes(self) -> list[psutil.Process]:
        """Return every process that belongs to this home, by its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("HEADRACE_HOME") == str(self.home):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def worker(self, tier: str) -> psutil.Process:
        """Return a tier's Celery worker."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if "workers" in line and line[line.index("--tier") + 1] == tier:
                    return process
        message = f"no worker of tier {tier}"
        raise AssertionError(message)

    def worker_child(self, tier: str) -> psutil.Process:
        """Return the process that holds a tier's engine."""
        children = [one for one in self.worker(tier).children() if "spawn_main" in " ".join(one.cmdline())]
        assert children, f"the worker of tier {tier} has no child"
        return children[0]

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="session")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home whose servers ran once and hold no run: making it takes a test longer than all that it asks."""
    home = open_home(tmp_path_factory.mktemp("used") / "a home")
    with start_services(home) as running:
        migrate(running.database_url)
    return home.path


@pytest.fixture
def shell(used_home: Path, tmp_path: Path) -> Iterator[Shell]:
    """Return a shell with a copy of that home."""
    made = Shell(tmp_path)
    # As root, a home that PostgreSQL's account cannot reach keeps its data elsewhere: a copy would share them.
    if not (used_home / "postgres-folder").exists():
        subprocess.run(["cp", "-a", str(used_home), str(made.home)], check=True)
    yield made
    made.end()


@pytest.fixture
def fresh_shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a shell whose home is still to be made, as on a user's first day."""
    made = Shell(tmp_path)
    yield made
    made.end()


def lines_of(count: int, start: int = 0) -> str:
    """Return that many different made-up log lines."""
    return "".join(f"service {number % 7} answered request {number} slowly\n" for number in range(start, start + count))
