"""Log files, as their user looks at them."""

import contextlib
import datetime as dt
import functools
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from pipeline.adapters.system_clock import SystemClock
from tests.acceptance.conftest import Shell, lines_of

LINES = [f"Jun 14 15:16:{n:02} combo app[{n}]: request {n} of 10.0.0.{n} took {n}ms" for n in range(40)]


def test_kinds_of_lines_are_counted_in_plain_and_gzipped_files(shell: Shell) -> None:
    plain = shell.file("app.log", "\n".join([*LINES, "Jun 14 15:17:00 combo app[1]: bye"]))
    packed = shell.folder / "old.log.gz"
    packed.write_bytes(gzip.compress("\n".join(LINES).encode()))
    seen = shell.json("logs", "templates", plain, packed)
    assert seen["lines"] == 81
    assert seen["layouts"] == {str(plain): "syslog", str(packed): "syslog"}
    assert [(one["template"], one["lines"]) for one in seen["templates"]] == [
        ("request <*> of <*> took <*>ms", 80),
        ("bye", 1),
    ]
    assert "request <*> of <*> took <*>ms" in shell.run("logs", "templates", plain)


def test_entities_are_written_line_by_line(shell: Shell) -> None:
    file = shell.file("app.log", "\n".join(LINES))
    lines = [json.loads(line) for line in shell.run("logs", "entities", file).splitlines()]
    assert len(lines) == 40
    assert lines[7]["header"]["pid"] == "7"
    assert [one["kind"] for one in lines[7]["values"]] == ["number", "ip", "number"]


def test_lines_that_are_no_text_are_counted_and_stop_nothing(shell: Shell) -> None:
    file = shell.folder / "app.log"
    file.write_bytes(b"\n".join([*(line.encode() for line in LINES), b"\xff\xfe\x00 binary", LINES[0].encode()]))
    seen = shell.json("logs", "templates", file)
    assert (seen["lines"], seen["rejected"]) == (41, 1)


def test_a_log_is_loaded_night_after_night_and_searched(shell: Shell) -> None:
    file = shell.file("app.log", "\n".join(LINES) + "\n")
    (first,) = shell.json("logs", "load", "web", file)["files"]
    assert (first["events"], first["layout"], first["until_line"]) == (40, "syslog", 40)
    with file.open("a", encoding="utf-8") as more:
        more.write("Jun 14 15:17:00 combo app[1]: bye\n    trace\n")
    (second,) = shell.json("logs", "load", "web", file)["files"]
    assert (second["events"], second["from_line"]) == (1, 41)
    (third,) = shell.json("logs", "load", "web", file)["files"]
    assert third["events"] == 0
    seen = shell.json("logs", "kinds", "web")
    assert [(one["template"], one["events"]) for one in seen["kinds"]] == [
        ("request <*> of <*> took <*>ms", 40),
        ("bye", 1),
    ]
    lines = [json.loads(line) for line in shell.run("logs", "search", "web", "10.0.0.7", "--json").splitlines()]
    assert [(one["line"], one["values"]) for one in lines] == [(8, ["7", "10.0.0.7", "7"])]
    assert {"name": "ip", "type": "ip", "text": "10.0.0.7"} in lines[0]["entities"]
    assert shell.run("logs", "search", "web", "--where", "ip=10.0.0.7").count("\n") == 1
    assert shell.run("logs", "search", "web", "--where", "user=10.0.0.7") == ""
    shown = shell.run("logs", "search", "web", "--template", "bye")
    assert "combo" not in shown
    assert "bye\n    trace" in shown
    assert shell.run("logs", "search", "web", "--field", "pid=39").count("\n") == 1
    assert shell.run("logs", "search", "web", "--field", "colour=red") == ""
    assert "no recent event of web has a field colour; they have:" in shell.last_stderr
    with file.open("a", encoding="utf-8") as more:
        more.write("".join(f"Jun 15 15:16:{n:02} combo app[1]: disk {n} is full\n" for n in range(30)))
    shell.run("logs", "load", "web", file)
    told = shell.json("logs", "report", "web")
    assert (told["events"], told["kinds"], told["against"]) == (30, 1, 1)
    assert [one["template"] for one in told["new"]] == ["disk <*> is full"]
    assert {one["template"] for one in told["vanished"]} == {"bye", "request <*> of <*> took <*>ms"}
    assert "disk <*> is full" in shell.run("logs", "report", "web")
    assert shell.run("logs", "tail", "web", "-n", "2").split()[-4:] == ["disk", "29", "is", "full"]
    shell.run("logs", "export", "web", shell.folder / "all.parquet")
    table = pq.read_table(shell.folder / "all.parquet")
    assert (table.num_rows, table.column_names[:3]) == (71, ["file", "line", "at"])
    first = table.slice(0, 1).to_pylist()[0]
    assert first["at"].isoformat() == "2026-06-14T15:16:00+00:00"
    assert (first["values"], json.loads(first["header"])["pid"]) == (["0", "10.0.0.0", "0"], "0")
    shell.run("logs", "export", "web", shell.folder / "some.jsonl", "--template", "bye")
    (line,) = (shell.folder / "some.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["following"] == "    trace"
    assert ".parquet or .jsonl" in _failed(shell, "logs", "export", "web", shell.folder / "all.csv")
    assert "nothing of a log other" in _failed(shell, "logs", "kinds", "other")
    assert "nothing of a log other" in _failed(shell, "logs", "search", "other", "x")
    assert "nothing of a log other" in _failed(shell, "logs", "tail", "other")
    assert "nothing of a log other" in _failed(shell, "logs", "export", "other", shell.folder / "no.jsonl")
    assert "1900" in _failed(shell, "logs", "report", "web", "--day", "0001-01-03")
    assert shell.run("logs", "search", "web", "--where", "pid=39").count("\n") == 1
    assert "has no kind" in _failed(shell, "logs", "search", "web", "--template", "hello")
    assert "write NAME=TEXT" in _failed(shell, "logs", "search", "web", "--field", "pid")


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_loaded(shell: Shell) -> None:
    file = shell.file("app.log", "\n".join(LINES) + "\n")
    broken = shell.folder / "old.gz"
    broken.write_bytes(gzip.compress(b"x" * 100_000)[:50])
    shell.run("logs", "load", "web", file, broken, code=2)
    assert "1 of 2 files could not be read to their end" in shell.last_stderr
    assert shell.json("logs", "kinds", "web")["events"] == 40


def _failed(shell: Shell, *words: object) -> str:
    shell.run(*words, code=2)
    return shell.last_stderr


def test_a_loading_that_is_killed_again_and_again_ends_with_each_line_once(shell: Shell) -> None:
    count = 80_000
    file = shell.file("app.log", "".join(f"Jun 14 15:16:01 combo app[1]: request {n} done\n" for n in range(count)))
    for _ in range(3):
        loading = shell.start("logs", "load", "web", file)
        shell.wait_until(functools.partial(_is_at_work, shell, loading), "a batch")
        loading.kill()
        loading.wait()
    shell.run("logs", "load", "web", file)
    assert shell.json("logs", "kinds", "web")["events"] == count
    found = shell.run("logs", "search", "web", "--limit", 2 * count, "--json").splitlines()
    assert [json.loads(line)["line"] for line in found] == list(range(1, count + 1))


def _is_at_work(shell: Shell, loading: "subprocess.Popen[bytes]") -> bool:
    return "loading" in shell.output(loading) or loading.poll() is not None


NIGHT = """
log = "web"
files = ["app.log*"]
at = "{at}"
reports = "reports"
ask = "job.toml"
"""


def test_what_is_loaded_later_is_followed(shell: Shell) -> None:
    file = shell.file("app.log", LINES[0] + "\n")
    shell.start("up")
    shell.wait_until(
        lambda: "stops everything" in shell.output(shell.started[0]) or "Postgres" in shell.output(shell.started[0]),
        "servers",
    )
    shell.run("logs", "load", "web", file)
    following = shell.start("logs", "tail", "web", "-f")
    shell.wait_until(lambda: "request 0 of" in shell.output(following), "the first event")
    with file.open("a", encoding="utf-8") as more:
        more.write(LINES[5] + "\n")
    shell.run("logs", "load", "web", file)
    shell.wait_until(lambda: "request 5 of" in shell.output(following), "the later event")
    assert shell.output(following).count("request 0 of") == 1


def _night(shell: Shell, at: str = "0 0 * * *") -> Path:
    job = shell.job(small="score=0.99")
    job.write_text(job.read_text().replace('text = "{text}"', 'text = "{template}"'), encoding="utf-8")
    return shell.file("night.toml", NIGHT.format(at=at))


def test_a_night_loads_asks_about_each_new_kind_once_and_reports(shell: Shell) -> None:
    yesterday = SystemClock().now() - dt.timedelta(days=1)
    shell.file("app.log", "".join(f"{yesterday:%b %d} 12:00:00 combo app[1]: request {n} done\n" for n in range(9)))
    file = _night(shell)
    (done,) = shell.json("logs", "night", file)["nights"]
    assert (done["loaded"], done["events"], done["kinds"]) == (9, 9, 1)
    assert done["asked"]["kinds"] == 1
    assert done["asked"]["calls"] >= 1
    assert Decimal(done["asked"]["known_usd"]) > 0
    (again,) = shell.json("logs", "night", file)["nights"]
    assert again == done
    shell.run("logs", "night", file)
    assert "no night of web is due" in shell.last_stderr
    (kind,) = shell.json("logs", "kinds", "web")["kinds"]
    assert kind["answers"] == {"category": "billing", "mood": kind["answers"]["mood"]}
    assert shell.run("logs", "search", "web", "--answer", "category=billing").count("\n") == 9
    assert shell.run("logs", "search", "web", "--answer", "category=other") == ""
    (listed,) = shell.json("logs", "nights", "web")["nights"]
    assert listed == done
    pages = sorted(one.name for one in (shell.folder / "reports").iterdir())
    assert [one.rsplit(".")[-1] for one in pages] == ["html", "json"]


def test_a_night_reports_even_where_no_model_answers_and_the_next_asks_again(shell: Shell) -> None:
    shell.file("app.log", "\n".join(LINES) + "\n")
    file = _night(shell)
    kinds = (shell.folder / "job.toml").read_text(encoding="utf-8")
    (shell.folder / "job.toml").write_text(kinds.replace('engine = "instant"', 'engine = "llama"'), encoding="utf-8")
    done = shell.json("logs", "night", file, code=2)["nights"]
    assert (done[0]["loaded"], done[0]["asked"]["kinds"]) == (40, 0)
    assert "could not be asked about" in done[0]["problems"][0]
    (shell.folder / "job.toml").write_text(kinds, encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8").replace('at = "0 0 * * *"', 'at = "* * * * *"'), encoding="utf-8")
    assert shell.json("logs", "night", file)["nights"][-1]["asked"]["kinds"] == 1


def test_beat_and_its_worker_do_a_night_that_was_missed_at_once(shell: Shell) -> None:
    shell.file("app.log", "\n".join(LINES) + "\n")
    file = _night(shell)
    keeping = shell.start("logs", "nightly", file)
    shell.wait_until(lambda: "night_done" in shell.log("nights-worker"), "a night")
    (night,) = shell.json("logs", "nights", "web")["nights"]
    assert (night["loaded"], night["asked"]["kinds"]) == (40, 1)
    shell.run("run", shell.job(), shell.file("few.txt", lines_of(3)))  # others may use the servers meanwhile
    keeping.send_signal(signal.SIGINT)
    assert keeping.wait(60) == 0
    assert shell.processes() == []


def test_a_night_whose_processes_are_killed_goes_on_and_its_tables_are_those_of_a_quiet_one(
    shell: Shell, tmp_path: Path
) -> None:
    count = 60_000
    shell.file("app.log", "".join(f"Jun 14 15:16:01 combo app[1]: request {n} done\n" for n in range(count)))
    file = _night(shell)
    for _ in range(3):
        working = shell.start("logs", "night", file)
        shell.wait_until(functools.partial(_is_at_work, shell, working), "a block")
        for process in [*psutil.Process(working.pid).children(recursive=True), psutil.Process(working.pid)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        working.wait()
    shell.run("logs", "night", file)
    troubled = _tables(shell)
    shell.end()
    quiet = Shell(tmp_path / "quiet")
    quiet.folder.mkdir()
    shutil.copy(shell.folder / "app.log", quiet.folder / "app.log")
    os.utime(quiet.folder / "app.log", ns=(0, (shell.folder / "app.log").stat().st_mtime_ns))
    quiet.run("logs", "night", _night(quiet))
    assert troubled == _tables(quiet)
    assert troubled[0] == count
    quiet.end()


def _tables(shell: Shell) -> tuple[int, list[dict[str, Any]], bytes]:
    kinds = shell.json("logs", "kinds", "web")
    shell.run("logs", "export", "web", shell.folder / "all.jsonl")
    events = (shell.folder / "all.jsonl").read_text(encoding="utf-8").replace(str(shell.folder), "")
    told = [{name: one[name] for name in ("template", "events", "first_at", "last_at")} for one in kinds["kinds"]]
    return kinds["events"], told, hashlib.sha256(events.encode()).digest()
