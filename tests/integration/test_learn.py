"""`headrace learn` as its user meets it: on files, with a real model, and in a run afterwards."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.domain.answers import Label
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import question_of
from pipeline.settings import load_settings
from pipeline.wiring import engine_for
from pipeline.wiring.inputs import job_from, warn_of_gaps, written_job
from tests.integration.conftest import Run
from tests.learning_cases import tickets

SMALL = "smollm2-135m-instruct"
JOB = """
name = "learning"
text = "{text}"
key = "id"
[[steps]]
name = "topic"
kind = "classify"
labels = ["billing", "technical", "account"]
[[steps]]
name = "mood"
kind = "sentiment"
[[tiers]]
name = "words"
engine = "classical"
model = "test-words"
[[tiers]]
name = "small"
engine = "llama"
model = "smollm2-135m-instruct"
learned = "test-small"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a job, 240 tickets and their topics, for a home and models of its own."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_MODELS", str(tmp_path / "models"))
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    rows = tickets("billing", "technical", "account", None)[:240]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows((f"T{number}", text) for number, (text, _) in enumerate(rows))
    gold = [{"key": f"T{number}", "topic": topic} for number, (_, topic) in enumerate(rows)]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold), encoding="utf-8")
    return tmp_path


def learned(code: int, out: str, err: str) -> dict[str, Any]:
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_words_learn_from_labels_and_the_job_is_bound_to_what_they_learned(headrace: Run, folder: Path) -> None:
    words = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl", "--tier", "words")
    found = learned(*headrace(*words, "--json"))
    (tier,) = found["tiers"]
    (step,) = tier["steps"]
    assert (step["step"], step["way"], step["rows"], step["before"]) == ("topic", "words", 240, None)
    assert step["accuracy"] > 0.9
    assert tier["left_out"] == ["mood: no text has a known answer to it (40 or more are needed)"]
    code, out, err = headrace(*words)
    assert (code, f"words learned {tier['learned']}" in out, "words left out mood" in err) == (0, True, True)
    bound = job_from(folder / "job.toml", load_settings())
    assert [tier.lesson for tier in bound.tiers] == [tier["learned"], None], "the model has learned nothing yet"
    assert bound.ladder(0) == (0, 1)
    assert bound.ladder(1) == (1,), "nobody taught the words any moods"


def test_a_job_whose_labels_were_never_learned_is_refused_before_it_runs(headrace: Run, folder: Path) -> None:
    headrace("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl", "--tier", "words")
    alone = (folder / "job.toml").read_text(encoding="utf-8").partition('[[tiers]]\nname = "small"')[0]
    (folder / "job.toml").write_text(alone, encoding="utf-8")
    code, _, err = headrace("run", folder / "job.toml", folder / "in.csv")
    assert code == 2
    assert "step mood is answered by tier words alone, which has not learned it: headrace learn" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say where the right answers are"),
        (("--labels", "gold.jsonl", "--run", "last"), "say where the right answers are"),
        (("--labels", "gold.jsonl", "--tier", "huge"), "has no tier 'huge'; it has: words, small"),
        (("--labels", "few.jsonl", "--tier", "words"), "topic: 3 labelled texts are too few: 40 or more"),
        (("--labels", "other.jsonl", "--tier", "words"), "topic: 1 labels are none of the step's"),
    ],
)
def test_what_cannot_be_learned_is_told_with_the_way_out(
    headrace: Run, folder: Path, words: tuple[str, ...], told: str
) -> None:
    lines = (folder / "gold.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "few.jsonl").write_text("".join(lines[:3]), encoding="utf-8")
    (folder / "other.jsonl").write_text("".join(lines).replace('"billing"', '"money"'), encoding="utf-8")
    arguments = [folder / word if word.endswith(".jsonl") else word for word in words]
    code, _, err = headrace("learn", folder / "job.toml", folder / "in.csv", *arguments)
    assert code == 2
    assert told in err


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_head_makes_a_small_model_useful_and_holds_for_that_model_only(
    headrace: Run, folder: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS", str(model_path(SMALL).parent))
    monkeypatch.setattr("pipeline.wiring.lessons.FOLDER", str(folder / "lessons"))
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl", "--items", "120")
    small, _ = reversed(learned(*headrace(*arguments, "--json"))["tiers"])
    (step,) = small["steps"]
    assert (step["step"], step["way"], step["rows"]) == ("topic", "head", 120)
    assert step["accuracy"] > 0.85
    assert step["accuracy"] > step["before"] + 0.2
    settings = load_settings()
    tier = job_from(folder / "job.toml", settings).tiers[1]
    job = Job.model_validate({**job_from(folder / "job.toml", settings).model_dump(), "tiers": [tier.model_dump()]})
    warn_of_gaps(job, settings)
    asked = job.steps[0].model_copy(update={"question": "What is it about?"})
    with pytest.raises(ModelError, match="learned step topic in other words than it has now"):
        warn_of_gaps(job.model_copy(update={"steps": (asked, job.steps[1])}), settings)
    engine = engine_for(tier, settings, threads=2)
    try:
        texts = ("I was charged twice", "the app crashes", "my password does not work")
        given = engine.answer([Ask(question=question_of(job.steps[0]), text=text) for text in texts]).given
        mood = engine.answer([Ask(question=question_of(job.steps[1]), text="fine")]).given[0]
    finally:
        engine.close()
    assert [one.answer for one in given if one] == [Label("billing"), Label("technical"), Label("account")]
    assert all(one is not None and one.confidence is not None and one.usage.tokens_in for one in given)
    assert mood is not None
    assert mood.confidence is None, "nothing was learned about it"
    other = tier.model_copy(update={"model": "qwen2.5-coder-0.5b-instruct"})
    model_path(other.model)
    with pytest.raises(ModelError, match="was learned with smollm2"):
        engine_for(other, settings, threads=2)
    with pytest.raises(ModelError, match="was learned with smollm2"):
        warn_of_gaps(job.model_copy(update={"tiers": (other,)}), settings)


@pytest.mark.model
@pytest.mark.timeout(600)
def test_with_many_labels_a_weak_models_own_choices_are_asked_of_fifty_texts_only(
    headrace: Run, folder: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS", str(model_path(SMALL).parent))
    monkeypatch.setattr("pipeline.wiring.lessons.FOLDER", str(folder / "lessons"))
    many = ["billing", "technical", "account", *(f"other {number}" for number in range(9))]
    (folder / "job.toml").write_text(JOB.replace('["billing", "technical", "account"]', json.dumps(many)))
    asked: list[bool] = []
    answer = LlamaEngine.answer

    def counted(engine: LlamaEngine, asks: Sequence[Ask]) -> Reply:
        asked.extend(ask.hidden for ask in asks)
        return answer(engine, asks)

    monkeypatch.setattr(LlamaEngine, "answer", counted)
    gold = ("--labels", folder / "gold.jsonl", "--tier", "small", "--items", "80", "--json")
    (tier,) = learned(*headrace("learn", folder / "job.toml", folder / "in.csv", *gold))["tiers"]
    assert tier["steps"][0]["way"] == "head"
    assert Counter(asked) == {True: 80, False: 50}


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_model_that_is_right_by_itself_is_only_taught_how_sure_to_be(
    headrace: Run, folder: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS", str(model_path(SMALL).parent))
    monkeypatch.setattr("pipeline.wiring.lessons.FOLDER", str(folder / "lessons"))
    job = written_job(folder / "job.toml")
    rows = tickets("billing", "technical", "account", None)[:60]
    engine = engine_for(job.tiers[1].model_copy(update={"learned": None}), load_settings(), threads=2)
    try:
        given = engine.answer([Ask(question=question_of(job.steps[0]), text=text) for text, _ in rows]).given
    finally:
        engine.close()
    said = [one.answer.value for one in given if one is not None and isinstance(one.answer, Label)]
    gold = [{"key": f"T{number}", "topic": label} for number, label in enumerate(said)]
    (folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in gold), encoding="utf-8")
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "own.jsonl", "--tier", "small")
    (tier,) = learned(*headrace(*arguments, "--json"))["tiers"]
    (step,) = tier["steps"]
    assert (step["rows"], step["before"], step["accuracy"]) == (60, 1.0, 1.0)
