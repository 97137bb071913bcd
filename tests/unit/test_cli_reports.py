"""Reports and orders on a store in memory: what they print, for people and for scripts, and how they end."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import pytest

from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.cli import demo, reports
from pipeline.cli import run as run_module
from pipeline.domain.runs import RunState
from pipeline.ports.store import Store
from tests.contract.store_cases import Rig, items, rejected

ExitCode = Callable[..., int]
Told = pytest.CaptureFixture[str]
JOB = """
name = "tickets"
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "small"
engine = "instant"
model = "score=0.99"
"""


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Return the store that the commands open."""
    made = Rig(store=MemoryStore(FakeClock()))

    @contextlib.contextmanager
    def opened() -> Iterator[Store]:
        yield made.store

    monkeypatch.setattr(reports, "opened_store", opened)
    return made


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(JOB, encoding="utf-8")
    return path


def never(*_: object, **__: object) -> Never:
    raise AssertionError("work began before the output was looked at")


def test_cancel_takes_no_run_unasked(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    assert exit_code("cancel") == 2
    assert "Missing argument 'RUN'" in capsys.readouterr().err
    assert rig.store.run(run.id).state is not RunState.CANCELLED


def test_cancel_says_how_much_was_open(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    assert exit_code("cancel", "last") == 0
    assert capsys.readouterr().out == f"{run.name} is cancelled; 1 chunks were open\n"


def test_cancelling_twice_says_so_and_does_no_harm(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    assert exit_code("cancel", "last") == 0
    capsys.readouterr()
    assert exit_code("cancel", run.name) == 0
    assert capsys.readouterr().out.startswith(f"{run.name} is cancelled already")
    assert exit_code("cancel", "last", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"run": run.name, "state": "cancelled", "stopped_chunks": 0}


def test_a_run_that_is_done_is_not_called_cancelled(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    assert exit_code("cancel", "last") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"headrace: {run.name} is done already: there is nothing left to cancel\n"


def test_scripts_are_told_the_state_of_what_they_could_not_cancel(rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    assert exit_code("cancel", "last", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"run": run.name, "state": "done", "stopped_chunks": 0}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rejected_rows_are_one_document_for_scripts(count: int, rig: Rig, exit_code: ExitCode, capsys: Told) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, [*items("a"), *(rejected(line) for line in range(2, 2 + count))], at=0, keyed=False)
    assert exit_code("rejects", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == run.name
    assert [row["line"] for row in document["rows"]] == list(range(2, 2 + count))
    assert all(row.keys() == {"source", "line", "reason", "detail"} for row in document["rows"])


@pytest.mark.parametrize(
    "output", ["nowhere/out.jsonl", "out.xlsx", "out", "job.toml/out.jsonl", "folder.jsonl", "pipe.jsonl"]
)
@pytest.mark.parametrize("command", ["run", "results"])
def test_an_output_that_cannot_be_written_is_refused_before_anything_begins(
    command: str, output: str, job_file: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    (job_file.parent / "folder.jsonl").mkdir()
    os.mkfifo(job_file.parent / "pipe.jsonl")
    (job_file.parent / "in.log").write_text("a\n")
    monkeypatch.chdir(job_file.parent)
    monkeypatch.setattr(run_module, "run_job", never)
    monkeypatch.setattr(reports, "opened_store", never)
    words = ("run", "job.toml", "in.log") if command == "run" else ("results", "last")
    assert exit_code(*words, "--output", output) == 2
    assert "\n" not in capsys.readouterr().err.rstrip("\n")
    assert {path.name for path in job_file.parent.iterdir()} == {*("job.toml", "in.log", "folder.jsonl", "pipe.jsonl")}


def test_parquet_for_a_terminal_is_refused_before_anything_begins(
    exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "opened_store", never)
    assert exit_code("results", "--format", "parquet") == 2


@pytest.mark.parametrize("read", ["job.csv", "in.csv"])
def test_what_a_run_reads_is_not_written_over(
    read: str, job_file: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    job_file = job_file.rename(job_file.with_name("job.csv"))
    (job_file.parent / "in.csv").write_text("text\na\n")
    monkeypatch.chdir(job_file.parent)
    monkeypatch.setattr(run_module, "run_job", never)
    assert exit_code("run", "job.csv", "in.csv", "--output", read) == 2
    assert "written over" in capsys.readouterr().err


def test_where_the_demo_keeps_its_files_is_looked_at_first(
    tmp_path: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    monkeypatch.setattr(demo, "missing_models", never)
    (tmp_path / "file").touch()
    assert exit_code("demo", "--keep", str(tmp_path / "file" / "try")) == 2
    assert "--keep" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["score=", "score=7", "score=nan"])
def test_an_instant_tier_that_states_no_score_is_refused_by_submit(
    model: str, job_file: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    job_file.write_text(JOB.replace("score=0.99", model), encoding="utf-8")
    (job_file.parent / "in.log").write_text("a\n")
    monkeypatch.setattr(run_module, "open_tools", never)
    assert exit_code("submit", str(job_file), str(job_file.parent / "in.log")) == 2
    assert "tiers.small.model" in capsys.readouterr().err


def gold_file(folder: Path, *keys: str) -> str:
    path = folder / "gold.jsonl"
    path.write_text("".join(json.dumps({"key": key, "mood": "neutral"}) + "\n" for key in keys), encoding="utf-8")
    return str(path)


def test_results_are_held_against_gold_by_their_keys(
    rig: Rig, tmp_path: Path, exit_code: ExitCode, capsys: Told
) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    gold = gold_file(tmp_path, "k0", "k1", "elsewhere")
    assert exit_code("results", "--gold", gold, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["items"], found["missing"]) == (run.name, 3, 1)
    assert (found["steps"]["mood"]["right"], found["steps"]["mood"]["of"]) == (2, 3)
    assert exit_code("results", "last", "--gold", gold) == 0
    shown = capsys.readouterr().out
    assert "67%" in shown
    assert "1 of them are not in the run, and count as wrong" in shown


def test_gold_that_fits_no_item_of_the_run_is_refused(
    rig: Rig, tmp_path: Path, exit_code: ExitCode, capsys: Told
) -> None:
    rig.filled("ab")
    assert exit_code("results", "--gold", gold_file(tmp_path, "T-1")) == 2
    assert "no key of" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--json"], ["--gold", "GOLD", "--format", "csv"], ["--gold", "GOLD", "--output"]])
def test_counting_and_writing_of_answers_do_not_go_together(
    words: list[str], tmp_path: Path, exit_code: ExitCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "opened_store", never)
    named = [gold_file(tmp_path, "k0") if word == "GOLD" else word for word in words]
    assert exit_code("results", *named, *(["out.csv"] if words[-1] == "--output" else [])) == 2
