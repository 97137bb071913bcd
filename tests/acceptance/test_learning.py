"""Tiers that learn, as their user meets them: taught, used in a run with a promise, evaluated, and bound for good."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shell
from tests.learning_cases import tickets

JOB = """
name = "learning"
text = "{text}"
key = "id"
flush_after_s = 1.0
[[steps]]
name = "topic"
kind = "classify"
labels = ["billing", "technical", "account"]
[[tiers]]
name = "words"
engine = "classical"
model = "cheap-words"
price = "per-token-small"
chunk_items = 64
[[tiers]]
name = "reference"
engine = "classical"
model = "reference-words"
price = "per-token-large"
chunk_items = 64
"""
TARGET = """
[target]
agreement = 0.9
"""
ROWS = tickets("billing", "technical", "account")
TAUGHT = 120


@pytest.fixture
def taught(shell: Shell) -> Shell:
    """Return a home whose reference has learned from 120 labelled tickets, and whose cheap tier has not."""
    shell.extra["HEADRACE_MODELS"] = str(shell.folder / "models")
    shell.file("job.toml", JOB + TARGET)
    rows = [{"id": f"T{number}", "text": text} for number, (text, _) in enumerate(ROWS)]
    gold = [{"key": f"T{number}", "topic": topic} for number, (_, topic) in enumerate(ROWS)]
    shell.file("all.jsonl", _lines(rows))
    shell.file("known.jsonl", _lines(rows[:TAUGHT]))
    shell.file("gold.jsonl", _lines(gold))
    learn(shell, "known.jsonl", "--labels", "gold.jsonl", "--tier", "reference")
    return shell


def _lines(rows: list[dict[str, str | None]] | list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def path(shell: Shell, name: str) -> Path:
    return shell.folder / name


def learn(shell: Shell, source: str, *words: str) -> None:
    files = [path(shell, word) if word.endswith(".jsonl") else word for word in words]
    shell.json("learn", path(shell, "job.toml"), path(shell, source), *files)


def test_a_tier_learns_from_the_reference_and_is_then_certified_against_it(taught: Shell) -> None:
    job, source = path(taught, "job.toml"), path(taught, "all.jsonl")
    # Nobody has taught the cheap tier: the run goes on without it, and says so.
    first = taught.json("run", job, path(taught, "known.jsonl"))
    assert first["steps"]["topic"]["verdicts"] == {"reference": TAUGHT}
    assert "nothing_learned_yet" in taught.last_stderr
    learn(taught, "known.jsonl", "--run", "last", "--tier", "words")
    seen = taught.json("run", job, source)
    assert seen["state"] == "done"
    (window,) = taught.json("certificates", "last")["windows"]
    assert window["certified"]
    verdicts = seen["steps"]["topic"]["verdicts"]
    assert verdicts["words"] > len(ROWS) / 2
    assert verdicts["words"] + verdicts["reference"] == len(ROWS)
    said = {one["key"]: one["answers"]["topic"] for one in taught.results()}
    right = sum(said[f"T{number}"]["value"] == topic for number, (_, topic) in enumerate(ROWS))
    assert right / len(ROWS) > 0.9
    assert all(one["calibrated"] for one in said.values())


def test_a_run_goes_on_with_what_it_began_with_and_another_learning_is_another_run(taught: Shell) -> None:
    job, source = path(taught, "job.toml"), path(taught, "all.jsonl")
    learn(taught, "all.jsonl", "--labels", "gold.jsonl", "--tier", "words")
    first = taught.json("run", job, source)["run"]
    assert taught.json("run", job, source)["run"] == first
    learn(taught, "known.jsonl", "--labels", "gold.jsonl", "--tier", "words")
    assert taught.json("run", job, source)["run"] != first


def test_an_evaluation_is_shown_kept_and_compared(taught: Shell) -> None:
    job, source = path(taught, "job.toml"), path(taught, "all.jsonl")
    labels = ("--labels", path(taught, "gold.jsonl"))
    learn(taught, "known.jsonl", "--labels", "gold.jsonl", "--tier", "words")
    hard = taught.file("hard.txt", "T5\nT6\nT7\n")
    page = path(taught, "report.html")
    found = taught.json("eval", job, source, *labels, "--hard", hard, "--html", page)
    (step,) = found["steps"]
    assert [way["name"] for way in step["ways"]] == ["words", "reference", "cascade"]
    assert all(way["accuracy"] > 0.9 for way in step["ways"])
    assert step["ways"][0]["slices"] == {"hard": 1.0}
    assert step["target"] == 0.9
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 3
    assert "http" not in html.replace("http-equiv", "")
    assert not [text for text, _ in ROWS if text in html], "no text of an item stands in a report"
    assert "words" in taught.run("eval", job, source, *labels)
    moved = taught.json("eval", "diff", found["name"])["moved"]
    assert {(one["way"], one["change"], one["items"]) for one in moved} == {
        (way, 0.0, len(ROWS)) for way in ("words", "reference", "cascade")
    }
    kept = next((taught.home / "evaluations").glob("*.json")).read_text(encoding="utf-8")
    assert not [text for text, _ in ROWS if text in kept]
    taught.run("eval", job, source, *labels, "--quant", code=2)
    assert "there are no number formats to compare" in taught.last_stderr
    taught.run("eval", "show", "nothing", code=2)
    assert "no evaluation is called nothing" in taught.last_stderr


def test_a_plan_leaves_out_a_tier_that_earns_nothing_and_writes_the_ladder(taught: Shell) -> None:
    job, source = path(taught, "job.toml"), path(taught, "all.jsonl")
    learn(taught, "known.jsonl", "--labels", "gold.jsonl", "--tier", "words")
    job.write_text("# kept\n" + job.read_text(encoding="utf-8").replace(TARGET, ""), encoding="utf-8")
    words = ("plan", job, source, "--labels", path(taught, "gold.jsonl"), "--for", "1000000")
    found = taught.json(*words)
    (step,) = found["steps"]
    assert step["chosen"]["tiers"] == ["words"]
    assert found["spare"] == ["reference"]
    said = taught.run(*words, "--apply")
    assert "job learning could do without: reference" in said
    text = job.read_text(encoding="utf-8")
    assert text.startswith("# kept\n")
    assert 'ladder = ["words"]' in text
    assert taught.json("run", job, source)["steps"]["topic"]["verdicts"] == {"words": len(ROWS)}


def test_thresholds_are_proposed_applied_and_remembered(taught: Shell) -> None:
    job, source = path(taught, "job.toml"), path(taught, "all.jsonl")
    learn(taught, "known.jsonl", "--labels", "gold.jsonl", "--tier", "words")
    text = job.read_text(encoding="utf-8").replace(TARGET, "")
    # Words read no tokens, so that a price per token makes all ways cost nothing: without prices seconds count.
    unpriced = text.replace('price = "per-token-large"\n', "").replace('price = "per-token-small"', "accept_at = 1.0")
    job.write_text(f"# kept\n{unpriced}", encoding="utf-8")
    assert taught.json("policy", "show", job)["thresholds"] == [
        {"step": "topic", "tier": "words", "threshold": 1.0, "from": "job"},
        {"step": "topic", "tier": "reference", "threshold": None, "from": "default"},
    ]
    taught.run("policy", "propose", job, code=2)
    assert "no evaluation is called last" in taught.last_stderr
    taught.json("eval", job, source, "--labels", path(taught, "gold.jsonl"))
    proposal = path(taught, "proposal.toml")
    (change,) = taught.json("policy", "propose", job, "--output", proposal)["change"]
    assert (change["step"], change["tier"], change["now"]) == ("topic", "words", 1.0)
    assert change["proposed"] < 1.0
    assert taught.json("policy", "history", job)["applied"] == []
    proposal.write_text(
        proposal.read_text(encoding="utf-8").replace('tier = "words"', 'tier = "huge"'), encoding="utf-8"
    )
    taught.run("policy", "apply", proposal, job, code=2)
    assert "has no tiers called huge" in taught.last_stderr
    proposal.write_text(
        proposal.read_text(encoding="utf-8").replace('tier = "huge"', 'tier = "words"'), encoding="utf-8"
    )
    taught.json("policy", "apply", proposal, job)
    assert taught.json("policy", "show", job)["thresholds"][0]["threshold"] == change["proposed"]
    assert job.read_text(encoding="utf-8").startswith("# kept\n")
    (applied,) = taught.json("policy", "history", job)["applied"]
    assert applied["change"] == [change]
    taught.json("eval", job, source, "--labels", path(taught, "gold.jsonl"))
    assert taught.json("policy", "propose", job)["change"] == []
