"""Secrets and ticket text stay where they belong: nowhere that people or programs watch."""

import base64
import json
import re
import urllib.request
from pathlib import Path

import psutil
import redis

from pipeline.adapters.embedded import open_home
from tests.acceptance.conftest import Shell
from tests.integration.openai_server import Scripted, completion, scripted

CANARY = "quokka-7391-marmalade"
KEY = "sk-canary-5528-walrus"
JOB = """
name = "secrets"
text = "{{subject}} {{body}}"
key = "id"
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "small"
engine = "instant"
model = "score=0.1"
chunk_items = 2
[[tiers]]
name = "large"
engine = "openai"
model = "served"
base_url = "{url}"
api_key_env = "ACCEPTANCE_KEY"
on_unknown_confidence = "accept"
retries = 0
chunk_items = 2
"""


def _page(url: str, password: str) -> str:
    login = base64.b64encode(f"headrace:{password}".encode()).decode()
    asked = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})  # noqa: S310 — loopback
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 — loopback
        return str(answer.read().decode())


def _command_lines(processes: list[psutil.Process]) -> str:
    return "\n".join(" ".join(process.cmdline()) for process in processes if process.is_running())


def _files_holding(folder: Path, words: dict[str, str], *, skip: tuple[str, ...]) -> list[str]:
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and not any(part in skip for part in file.relative_to(folder).parts):
            content = file.read_bytes()
            found += [
                f"{name} in {file.relative_to(folder)}" for name, word in words.items() if word.encode() in content
            ]
    return found


def test_no_log_queue_page_error_or_command_line_shows_a_secret_or_a_ticket(shell: Shell) -> None:
    rows = "".join(f"T-{n},{CANARY} {n},body {CANARY} number {n}\n" for n in range(8))
    source = shell.file(
        "in.csv", f"id,subject,body\n{rows}T-8,{CANARY}\nT-9,{CANARY},extra,{CANARY}\nT-1,{CANARY} other,x\n"
    )
    # The endpoint quotes the text and the key in its errors, answers nonsense, then behaves.
    quoting = {"error": {"message": f"cannot read {CANARY} with {KEY}", "type": "server_error"}}
    faults = (Scripted(status=500, body=quoting), Scripted(status=200, body={"strange": CANARY}))
    with scripted(*faults, completion(CANARY), completion(json.dumps({"answer": "neutral"}))) as endpoint:
        shell.extra |= {"ACCEPTANCE_KEY": KEY, "HEADRACE_LOG_LEVEL": "debug"}
        job = shell.file("job.toml", JOB.format(url=endpoint.base_url))
        up = shell.start("up", job)
        shell.wait_until(lambda: "engine_ready" in shell.log("worker-large"), "the workers are up")
        shell.run("submit", job, source)
        stderr = shell.last_stderr
        shell.wait_until(lambda: shell.json("status", "last")["state"] == "done", "the run is done")
        home = open_home(shell.home)
        password = home.secret("flower-password")
        address = re.search(r"http://127\.0\.0\.1:\d+", shell.output(up))
        assert address is not None
        pages = "".join(
            _page(f"{address[0]}{path}", password) for path in ("/api/tasks", "/workers", "/tasks", "/metrics")
        )
        assert "headrace.judge" in pages
        running = home.running()
        assert running is not None
        broker = redis.Redis.from_url(running.redis_url)
        broker.save()
        queued = repr([broker.dump(key) for key in broker.scan_iter()])
        broker.close()
        lines = _command_lines(shell.processes())
        rejects = shell.run("rejects", "last")
    assert len(endpoint.received) > 4, "the endpoint was asked, and asked again after its faults"
    secrets = {name: home.secret(name) for name in ("redis-password", "postgres-password")}
    words = {"ticket text": CANARY, "API key": KEY, **secrets}
    for where, text in {
        "Flower": pages,
        "queue": queued,
        "command line": lines,
        "status and watch": stderr + shell.run("status", "last"),
        "rejects": rejects,
        "up": shell.output(up),
    }.items():
        for name, word in words.items():
            assert word not in text, f"{name} in {where}"
    # Postgres holds the texts, that is its purpose; everything else in the home is searched.
    private = {name: word for name, word in words.items() if name not in secrets}
    assert _files_holding(shell.home, private, skip=("postgres",)) == []
    assert _files_holding(shell.home / "logs", words, skip=()) == []
    assert password not in lines
    assert rejects.count("\n") == 3
