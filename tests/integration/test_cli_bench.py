"""`headrace bench engine` and the samples of `models tune` and `compare`, typed as users do, on the smallest model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.settings import load_settings
from pipeline.wiring.fusing import fuse_decisions
from pipeline.wiring.inputs import written_job
from tests.integration.conftest import Run

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]
NAME = "smollm2-135m-instruct"
JOB = f"""
name = "tickets"
key = "id"
[[steps]]
name = "mood"
kind = "sentiment"
[[steps]]
name = "refund"
kind = "yes_no"
question = "Does the customer want money back?"
[[tiers]]
name = "small"
engine = "llama"
model = "{NAME}"
context_tokens = 512
chunk_items = 4
[[tiers]]
name = "large"
engine = "openai"
model = "m"
"""
WORDS = ["I love it", "It broke, money back please", "It is a lamp", "Where is my parcel?", "Refund me now"]
ROWS = [f"{WORDS[number % 5]} ({number // 5})" for number in range(104)] + ["I love it (0)"]


@pytest.fixture
def folder(tmp_path: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a job, an input and gold answers, beside a home whose models hold the smallest one."""
    original = model_path(NAME)
    (tmp_path / "home" / "models").mkdir(parents=True)
    (tmp_path / "home" / "models" / original.name).symlink_to(original)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADRACE_MODELS", raising=False)
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    rows = [json.dumps({"id": f"T-{number}", "text": text}) for number, text in enumerate(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    gold = [json.dumps({"key": f"T-{number}", "mood": "neutral"}) for number in range(len(ROWS))]
    (tmp_path / "gold.jsonl").write_text("\n".join(gold), encoding="utf-8")
    return tmp_path


def test_a_tier_is_measured_both_ways_and_its_evidence_decides_the_next_run(folder: Path, headrace: Run) -> None:
    job, rows = folder / "job.toml", folder / "rows.jsonl"
    code, out, err = headrace("bench", "engine", job, rows, "--gold", folder / "gold.jsonl", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (found["tier"], found["model"].partition("@")[0]) == ("small", NAME)
    apart = found["apart"]
    assert apart["items"] == 104, "a text that comes twice is asked once, as in a run"
    assert [one["steps"] for one in apart["readings"]] == [["mood"], ["refund"]]
    assert all(one["items"] == 104 and one["read_tokens_per_s"] > 0 for one in apart["readings"])
    assert 0 < apart["share_of_prefill"] <= 1.5
    assert set(apart["accuracy"]) == {"mood", "refund"}
    assert apart["accuracy"]["refund"] is None
    first = found["one_reading"][0]
    assert [one["step"] for one in first["steps"]] == ["mood", "refund"]
    assert [one["steps"] for one in first["readings"]] == [["mood", "refund"]]
    decided = fuse_decisions(written_job(job), load_settings())[0]
    assert (list(decided.steps), decided.reason) == (found["auto"]["steps"], found["auto"]["reason"])
    assert found["auto"]["kept"]
    code, out, _ = headrace("bench", "engine", job, rows, "--items", "2")
    assert code == 0
    assert fuse_decisions(written_job(job), load_settings())[0] == decided, "two items are no evidence"
    assert "too few items" in out
    assert "all, apart" in out
    assert 'fuse = "auto" reads together' in out


def test_a_tier_of_an_endpoint_is_not_measured(folder: Path, headrace: Run) -> None:
    code, _, err = headrace("bench", "engine", folder / "job.toml", folder / "rows.jsonl", "--tier", "large")
    assert code == 2
    assert "tier large has the engine openai" in err


def test_a_line_of_a_sample_that_cannot_be_used_is_named(folder: Path, headrace: Run) -> None:
    mine = folder / "mine.jsonl"
    mine.write_text('{"text": "a", "label": "x"}\n{"label": "y"}\n', encoding="utf-8")
    for command in ("tune", "compare"):
        code, _, err = headrace("models", command, NAME, "--sample", mine)
        assert code == 2
        assert ", line 2: `text` must be there" in err


@pytest.mark.parametrize("words", [["rows.jsonl"], ["--gold", "gold.jsonl"], ["--job", "job.toml"]])
def test_a_comparison_on_a_job_needs_the_job_and_its_input(folder: Path, headrace: Run, words: list[str]) -> None:
    code, _, err = headrace("models", "compare", NAME, *[word if word[:2] == "--" else folder / word for word in words])
    assert code == 2
    assert "--job" in err


def test_formats_are_compared_on_a_job_step_by_step(folder: Path, headrace: Run) -> None:
    job = ["--items", "3", "--job", folder / "job.toml", "--gold", folder / "gold.jsonl", folder / "rows.jsonl"]
    code, out, err = headrace("models", "compare", NAME, "--formats", "q8_0", *job, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [one["format"] for one in found["formats"]] == ["shipped", "q8_0"]
    (mood,) = found["formats"][1]["steps"]
    assert (mood["step"], mood["answers"]) == ("mood", 3), "only the items and steps that have gold"
    assert mood["accuracy"] is not None
    assert mood["ece"] is not None
