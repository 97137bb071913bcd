"""How fast items travel from submit to verdict when the engine costs nothing: real Redis, real Postgres, one worker.

    python tests/bench/pipeline.py                    # the rate and the ingest, a few minutes
    python tests/bench/pipeline.py --million          # one run of a million items, stopped twice half-way and resumed

Prints a table and, with --json, one JSON document. Uses a home of its own in a temporary folder.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

_JOB = """
name = "bench"
text = "{{subject}}\\n\\n{{body}}"
key = "ticket_id"
{steps}
[[tiers]]
name = "small"
engine = "instant"
model = "score=1.0"
price = "local-2-core"
chunk_items = {chunk}
"""
_CATEGORY = '[[steps]]\nname = "category"\nkind = "classify"\nlabels = ["billing", "technical", "account", "other"]\n'
_MOOD = '[[steps]]\nname = "mood"\nkind = "sentiment"\n'
_WORDS = [
    "refund",
    "invoice",
    "login",
    "error",
    "crash",
    "password",
    "order",
    "late",
    "charged",
    "twice",
    "thanks",
    "please",
    "help",
    "card",
    "update",
]


def write_rows(path: Path, rows: int) -> None:
    """Write a CSV of made-up tickets, each text different, about 130 characters a row."""
    pick = random.Random(7).choice
    with path.open("w", encoding="utf-8") as file:
        file.write("ticket_id,subject,body\n")
        for number in range(rows):
            body = " ".join(pick(_WORDS) for _ in range(14))
            file.write(f"T-{number:08},{pick(_WORDS)} {pick(_WORDS)},{body} #{number}\n")


def environment(home: Path) -> dict[str, str]:
    """Return an environment with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**kept, "HEADRACE_HOME": str(home)}


def headrace(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    argv = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(argv, env=environment(home), check=True, capture_output=True, text=True)


def status(home: Path) -> dict[str, Any]:
    """Return the last run's counts."""
    document: dict[str, Any] = json.loads(headrace(home, "status", "last", "--json").stdout)
    return document


class Up:
    """`headrace up JOB` in the background, ready when its worker is."""

    def __init__(self, home: Path, job: Path) -> None:
        argv = [sys.executable, "-m", "pipeline.cli", "up", str(job)]
        self._process = subprocess.Popen(argv, env=environment(home), stderr=subprocess.DEVNULL)
        log = home / "logs" / "worker-small.log"
        until = time.monotonic() + 60
        while not (log.exists() and "engine_ready" in log.read_text(encoding="utf-8")):
            if time.monotonic() > until:
                raise TimeoutError("the worker did not come up")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)


def measure_rate(folder: Path, rows: int, *, chunk: int, steps: str, label: str) -> dict[str, Any]:
    """Return items/s from the start of `submit` to the last verdict, with a worker that waits."""
    job = folder / f"{label}.toml"
    job.write_text(_JOB.format(steps=steps, chunk=chunk), encoding="utf-8")
    source = folder / f"rows-{rows}.csv"
    if not source.exists():
        write_rows(source, rows)
    home = folder / f"home-{label}"
    with Up(home, job):
        headrace(home, "submit", str(job), str(source))
        headrace(home, "watch", "last", "--json")
        seen = status(home)
    assert seen["state"] == "done", seen
    assert all(sum(step["verdicts"].values()) == rows for step in seen["steps"].values()), seen
    return {"items": rows, "chunk_items": chunk, "seconds": seen["seconds"], "items_per_s": rows / seen["seconds"]}


def measure_ingest(folder: Path, rows: int) -> dict[str, Any]:
    """Return rows/s and peak memory of `submit` alone: no worker runs."""
    job = folder / "ingest.toml"
    job.write_text(_JOB.format(steps=_CATEGORY, chunk=256), encoding="utf-8")
    found: dict[str, Any] = {"rows": rows, "peak_mib": {}}
    for part in (rows // 10, rows):
        source = folder / f"rows-{part}.csv"
        if not source.exists():
            write_rows(source, part)
        home = folder / f"home-ingest-{part}"
        up = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "up"], env=environment(home), stderr=subprocess.PIPE
        )
        assert up.stderr is not None
        while b"Postgres" not in up.stderr.readline():
            pass
        started = time.monotonic()
        argv = [sys.executable, "-m", "pipeline.cli", "submit", str(job), str(source), "--json"]
        submit = subprocess.Popen(argv, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        _, code, usage = os.wait4(submit.pid, 0)
        seconds = time.monotonic() - started
        assert code == 0
        found["peak_mib"][part] = round(usage.ru_maxrss / 1024)
        found["seconds"], found["rows_per_s"] = seconds, part / seconds
        up.send_signal(signal.SIGINT)
        up.wait(60)
    return found


def measure_million(folder: Path, rows: int) -> dict[str, Any]:
    """Run `rows` items through `headrace run`, stopped by Ctrl-C at a third and by kill -9 at two thirds."""
    job = folder / "million.toml"
    job.write_text(_JOB.format(steps=_CATEGORY, chunk=256), encoding="utf-8")
    source = folder / f"rows-{rows}.csv"
    if not source.exists():
        write_rows(source, rows)
    home = folder / "home-million"
    stops: list[dict[str, Any]] = []
    started = time.monotonic()
    for share, how in ((1 / 3, signal.SIGINT), (2 / 3, signal.SIGKILL)):
        argv = [sys.executable, "-m", "pipeline.cli", "run", str(job), str(source), "--json"]
        run = subprocess.Popen(argv, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            time.sleep(2)
            assert run.poll() is None, "the run ended before it was stopped"
            try:
                seen = status(home)
            except subprocess.CalledProcessError:
                continue
            if sum(seen["steps"]["category"]["verdicts"].values()) >= rows * share:
                break
        run.send_signal(how)
        run.wait(120)
        stops.append({"by": how.name, "answered": sum(seen["steps"]["category"]["verdicts"].values())})
    last = headrace(home, "run", str(job), str(source), "--json")
    seconds = time.monotonic() - started
    seen = json.loads(last.stdout)
    lines = sum(1 for _ in headrace(home, "results", "last").stdout.splitlines())
    right = seen["state"] == "done" and seen["items"] == rows == lines and seen["rejected"] == 0
    right = right and sum(seen["steps"]["category"]["verdicts"].values()) == rows
    return {
        "rows": rows,
        "stops": stops,
        "seconds": seconds,
        "result_lines": lines,
        "counts_right": right,
        "status": seen,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000, help="items of a rate run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ingest-rows", type=int, default=1_000_000)
    parser.add_argument("--million", action="store_true", help="only the run that is stopped twice")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    # A shell's background job ignores Ctrl-C, and so would the commands that we stop by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    }
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        if options.million:
            found["million"] = measure_million(folder, options.ingest_rows)
        else:
            for label, chunk, steps in (
                ("one-step-256", 256, _CATEGORY),
                ("one-step-32", 32, _CATEGORY),
                ("two-steps-256", 256, _CATEGORY + _MOOD),
            ):
                runs = [
                    measure_rate(folder, options.rows, chunk=chunk, steps=steps, label=f"{label}-{number}")
                    for number in range(options.repeat)
                ]
                rates = [run["items_per_s"] for run in runs]
                found[label] = {"items_per_s_median": statistics.median(rates), "all": [round(rate) for rate in rates]}
            found["ingest"] = measure_ingest(folder, options.ingest_rows)
    found["bench_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
