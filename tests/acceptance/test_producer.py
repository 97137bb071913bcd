"""Items enqueued from other people's Python code."""

import subprocess
import sys

from tests.acceptance.conftest import Shell

PROGRAM = """
import sys
from pipeline import Producer

with Producer(sys.argv[1], name="helpdesk") as producer:
    first = producer.add_many([{"id": n, "text": f"ticket number {n}"} for n in range(20)])
    again = producer.add_many([{"id": n, "text": f"ticket number {n}"} for n in range(25)])
    one = producer.add({"id": "x", "text": "one more"})
    bad = producer.add_many([{"id": "y"}, {"id": "x", "text": "another text"}, {"id": "z", "text": "  "}])
    assert (first.items, first.known) == (20, 0), first
    assert (again.items, again.known) == (5, 20), again
    assert (one.items, one.known) == (1, 0), one
    assert [row.reason.value for row in bad.rejected] == ["missing_column", "empty_text", "key_conflict"], bad
print(producer.run)
"""
CANCELLED = """
import subprocess, sys
from pipeline import Producer
from pipeline.domain.errors import ConfigError

with Producer(sys.argv[1], name="cancelled") as producer:
    producer.add({"id": 1, "text": "one"})
    cancel = [sys.executable, "-m", "pipeline.cli", "cancel", producer.run]
    subprocess.run(cancel, check=True, stdout=subprocess.DEVNULL)
    try:
        producer.add({"id": 2, "text": "two"})
    except ConfigError as error:
        print(error)
"""


def test_a_producer_adds_each_item_once_in_any_number_of_calls_and_processes(shell: Shell) -> None:
    job = shell.job().read_text(encoding="utf-8").replace('text = "{text}"', 'text = "{text}"\nkey = "id"')
    path = shell.file("keyed.toml", job)
    up = shell.start("up", path)
    shell.wait_until(lambda: "engine_ready" in shell.log("worker-small"), "the worker is up")
    argv = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(argv, env=shell.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    run = done.stdout.strip()
    shell.wait_until(lambda: shell.json("status", run)["state"] == "done", "the run is done")
    seen = shell.json("status", run)
    assert (seen["items"], seen["rejected"], seen["duplicates"]) == (26, 3, 0)
    assert seen["steps"]["mood"]["verdicts"]["small"] == 26
    more = (
        PROGRAM.split("    first =", maxsplit=1)[0]
        + '    assert producer.add({"id": 99, "text": "later"}).items == 1\n'
    )
    done = subprocess.run(
        [*argv[:2], more, str(path)], env=shell.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    shell.wait_until(lambda: shell.json("status", run)["items"] == 27, "the run was opened again")
    shell.wait_until(lambda: shell.json("status", run)["state"] == "done", "and is done again")
    done = subprocess.run(
        [*argv[:2], CANCELLED, str(path)],
        env=shell.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "is cancelled; take it up with: headrace retry" in done.stdout, done.stderr
    assert up.poll() is None
