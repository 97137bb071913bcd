"""`headrace learn` as its user meets it: on files, with a real model, and in a run afterwards."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters.llama.encoder import SentenceEncoder
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.repack import repack
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelCatalogue, load_catalogue
from pipeline.adapters.models.tuned import TunedRecord, tuned_file, write_record
from pipeline.domain.answers import Label, Malformed
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.ports.encoder import Encoded
from pipeline.ports.engine import Ask, Engine, Reply
from pipeline.prompts import question_of
from pipeline.settings import load_settings
from pipeline.wiring import engine_for
from pipeline.wiring.inputs import job_from, warn_of_gaps, written_job
from pipeline.wiring.lessons import calibrated_steps
from tests.fuzz.gguf_bytes import GGUF
from tests.integration.conftest import Run
from tests.learning_cases import tickets
from tests.tiny_encoder import sha256_of, tiny_encoder

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
        (("--labels", "gold.jsonl", "--unlabelled"), "say where the right answers are"),
        (("--unlabelled", "--tier", "words"), "classical tiers need --labels or --run"),
        (("--unlabelled", "--export-sample", "new.csv"), "leave out --labels and --unlabelled"),
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
@pytest.mark.parametrize(("worth", "half"), [(-99.0, False), (99.0, True)], ids=["read whole", "read halfway"])
def test_a_head_makes_a_small_model_useful_and_holds_for_that_model_only(
    headrace: Run,
    folder: Path,
    model_path: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    worth: float,
    half: bool,  # noqa: FBT001 — a parameter of pytest's
) -> None:
    """However much what need not be read is worth; of this model halfway up both are good."""
    monkeypatch.setattr("pipeline.wiring.school._HARDLY_WORSE", worth)
    monkeypatch.setenv("HEADRACE_MODELS", str(model_path(SMALL).parent))
    monkeypatch.setattr("pipeline.wiring.lessons.FOLDER", str(folder / "lessons"))
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl", "--items", "120")
    small, _ = reversed(learned(*headrace(*arguments, "--json"))["tiers"])
    (step,) = small["steps"]
    assert (step["step"], step["way"], step["half"], step["rows"]) == ("topic", "head", half, 120)
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
def test_a_model_loses_its_liking_for_some_labels_before_anybody_knows_an_answer(
    headrace: Run, folder: Path, model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS", str(model_path(SMALL).parent))
    monkeypatch.setattr("pipeline.wiring.lessons.FOLDER", str(folder / "lessons"))
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--unlabelled", "--items", "60")
    (small,) = learned(*headrace(*arguments, "--json"))["tiers"]
    assert [(one["step"], one["way"], one["accuracy"]) for one in small["steps"]] == [
        ("topic", "balance", None),
        ("mood", "balance", None),
    ]
    code, out, err = headrace(*arguments)
    assert (code, f"small learned {small['learned']}" in out) == (0, True), err
    settings = load_settings()
    assert calibrated_steps(written_job(folder / "job.toml").tiers[1], settings) == frozenset()
    job = job_from(folder / "job.toml", settings)
    (tier,) = (one for one in job.tiers if one.name == "small")
    texts = [text for text, topic in tickets("billing", "technical", "account") if topic is not None][:120]
    asks = [Ask(question=question_of(job.steps[0]), text=text) for text in texts]
    plain, balanced = (
        _topics(engine_for(one, settings, threads=2), asks) for one in (tier.model_copy(update={"learned": None}), tier)
    )
    liked, often = plain.most_common(1)[0]
    assert balanced[liked] < often, "the label that it likes best is said less often"
    labels = ("--labels", folder / "gold.jsonl", "--items", "120")
    _, _, err = headrace("learn", folder / "job.toml", folder / "in.csv", *labels)
    assert "small: mood is not among what it learns now: what was known of it (balance) is used no more" in err
    assert calibrated_steps(written_job(folder / "job.toml").tiers[1], settings) == {"topic"}
    (tier,) = (one for one in job_from(folder / "job.toml", settings).tiers if one.name == "small")
    assert tier.learned != small["learned"], "what labels teach takes its place"
    _, _, err = headrace(*arguments)
    assert "small: topic had been learned from right answers (head); that is used no more" in err


@pytest.mark.model
def test_in_a_format_for_heads_it_is_said_which_steps_the_model_answers_by_itself(
    headrace: Run, folder: Path, model_path: Callable[[str], Path]
) -> None:
    models = folder / "models"
    models.mkdir()
    shipped = model_path(SMALL)
    (models / shipped.name).symlink_to(shipped)
    entry = load_catalogue().entry(SMALL)
    target = tuned_file(models, entry, "bf16")
    repack(shipped, target, to="bf16", threads=2)
    record = TunedRecord(
        model=SMALL,
        source_sha256=entry.sha256,
        format="bf16",
        sha256=sha256_of(target),
        machine=processor_name(),
        library="this one",
        speeds=(),
        agreement=None,
        tuned_at="2026-11-30T00:00:00+00:00",
        heads=True,
    )
    write_record(models, entry, record)
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--tier", "small", "--items", "120")
    code, _, err = headrace(*arguments, "--labels", folder / "gold.jsonl")
    assert code == 0, err
    said = "is answered by the model itself, whose format (bf16) was proved for heads only"
    assert f"small: mood {said}" in err
    assert f"topic {said}" not in err, "a head chooses its label"


def _topics(engine: Engine, asks: Sequence[Ask]) -> Counter[str]:
    try:
        given = engine.answer(asks).given
    finally:
        engine.close()
    return Counter(one.answer.value for one in given if one is not None and isinstance(one.answer, Label))


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


@pytest.fixture
def encoder(folder: Path) -> Path:
    """Give the classical tier of the job a tiny encoder of its own file."""
    path = tiny_encoder(folder)
    text = (folder / "job.toml").read_text(encoding="utf-8")
    text = text.replace('model = "test-words"', f'model = "test-words"\nencoder = "{path}"')
    (folder / "job.toml").write_text(text.partition('[[tiers]]\nname = "small"')[0], encoding="utf-8")
    only = (
        (folder / "job.toml").read_text(encoding="utf-8").replace('[[steps]]\nname = "mood"\nkind = "sentiment"\n', "")
    )
    (folder / "job.toml").write_text(only, encoding="utf-8")
    return path


def test_words_and_an_encoders_vectors_learn_together_and_answer(headrace: Run, folder: Path, encoder: Path) -> None:
    gold = ("--labels", folder / "gold.jsonl", "--json")
    (tier,) = learned(*headrace("learn", folder / "job.toml", folder / "in.csv", *gold))["tiers"]
    (step,) = tier["steps"]
    assert (step["step"], step["rows"]) == ("topic", 240)
    assert step["way"] in {"words", "vector"}
    assert step["accuracy"] > 0.9
    settings = load_settings()
    bound = job_from(folder / "job.toml", settings)
    warn_of_gaps(bound, settings)
    engine = engine_for(bound.tiers[0], settings, threads=2)
    try:
        texts = ("please refund the payment.", "the app crashes on start.", "my cat sleeps all day long.")
        reply = engine.answer([Ask(question=question_of(bound.steps[0]), text=text) for text in texts])
    finally:
        engine.close()
    given = [one for one in reply.given if one is not None]
    assert [one.answer for one in given[:2]] == [Label("billing"), Label("technical")]
    assert all(one.confidence is not None for one in given[:2])
    assert isinstance(given[2].answer, Malformed), "none of the labels fits"
    assert encoder.name.endswith(".gguf")


def test_an_encoder_is_read_where_its_vectors_tell_more_than_words(
    headrace: Run, folder: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words are new in every text here; only the encoder, made to know them, tells the topics apart."""
    del encoder
    chance = np.random.default_rng(3)
    topics = ("billing", "technical", "account")
    rows = [(topics[number % 3], f"w{number} x{number} y{number}") for number in range(120)]
    where = {text: topics.index(topic) for topic, text in rows}

    def encode(_: SentenceEncoder, texts: Sequence[str]) -> Encoded:
        vectors = np.array([np.eye(4)[where[text]] + 0.3 * chance.normal(size=4) for text in texts], np.float32)
        return Encoded(vectors=vectors, tokens=(5,) * len(texts))

    monkeypatch.setattr(SentenceEncoder, "encode", encode)
    lines = [f"T{number},{text}\n" for number, (_, text) in enumerate(rows)]
    (folder / "in.csv").write_text("id,text\n" + "".join(lines), encoding="utf-8")
    gold = [json.dumps({"key": f"T{number}", "topic": topic}) for number, (topic, _) in enumerate(rows)]
    (folder / "gold.jsonl").write_text("\n".join(gold), encoding="utf-8")
    arguments = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl", "--json")
    (tier,) = learned(*headrace(*arguments))["tiers"]
    assert tier["steps"][0]["way"] == "vector"
    assert tier["steps"][0]["accuracy"] > 0.9
    bound = job_from(folder / "job.toml", load_settings())
    engine = engine_for(bound.tiers[0], load_settings(), threads=1)
    try:
        reply = engine.answer(
            [Ask(question=question_of(bound.steps[0]), text=text) for _, text in [*rows[:9], rows[0]]]
        )
    finally:
        engine.close()
    assert [one.answer for one in reply.given if one] == [Label(topic) for topic, _ in [*rows[:9], rows[0]]]
    (call,) = reply.calls
    assert (call.tokens_in, call.tokens_cached) == (50, 5), "the same text is read once"


def test_what_was_learned_with_an_encoder_holds_for_that_file_only(headrace: Run, folder: Path, encoder: Path) -> None:
    headrace("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl")
    settings = load_settings()
    bound = job_from(folder / "job.toml", settings)
    bare = bound.tiers[0].model_copy(update={"encoder": None})
    with pytest.raises(ModelError, match=r"was learned with .*tiny-encoder\.gguf@[0-9a-f]+, and the tier has none now"):
        engine_for(bare, settings)
    data = bytearray(encoder.read_bytes())
    data[-1] ^= 1
    encoder.write_bytes(data)
    for refused in (lambda: warn_of_gaps(bound, settings), lambda: engine_for(bound.tiers[0], settings)):
        with pytest.raises(ModelError, match="headrace learn JOB"):
            refused()


@pytest.mark.parametrize("change", ["removed", "added"])
def test_an_encoder_that_is_removed_or_added_after_learning_is_found_before_a_run(
    headrace: Run, folder: Path, encoder: Path, change: str
) -> None:
    with_encoder = (folder / "job.toml").read_text(encoding="utf-8")
    without = with_encoder.replace(f'encoder = "{encoder}"\n', "")
    first, then = (with_encoder, without) if change == "removed" else (without, with_encoder)
    (folder / "job.toml").write_text(first, encoding="utf-8")
    code, _, err = headrace("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl")
    assert code == 0, err
    (folder / "job.toml").write_text(then, encoding="utf-8")
    code, _, err = headrace("run", folder / "job.toml", folder / "in.csv")
    assert (code, "headrace learn JOB" in err) == (2, True)
    code, out, _ = headrace("doctor", folder / "job.toml", "--json")
    found = {one["name"]: one["level"] for one in json.loads(out)["findings"]}
    assert (code, found["what words learned"]) == (2, "failure")


def test_a_file_that_lies_elsewhere_is_the_same_encoder(headrace: Run, folder: Path, encoder: Path) -> None:
    headrace("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl")
    (folder / "elsewhere").mkdir()
    moved = encoder.rename(folder / "elsewhere" / encoder.name)
    job = (folder / "job.toml").read_text(encoding="utf-8").replace(str(encoder), str(moved))
    (folder / "job.toml").write_text(job, encoding="utf-8")
    warn_of_gaps(job_from(folder / "job.toml", load_settings()), load_settings())


def test_a_text_that_several_steps_ask_about_is_read_once_to_learn(
    headrace: Run, folder: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encoder.is_file()
    job = (folder / "job.toml").read_text(encoding="utf-8")
    again = '[[steps]]\nname = "again"\nkind = "classify"\nlabels = ["billing", "technical", "account"]\n'
    (folder / "job.toml").write_text(job.replace("[[tiers]]", f"{again}[[tiers]]"), encoding="utf-8")
    lines = [json.loads(line) for line in (folder / "gold.jsonl").read_text(encoding="utf-8").splitlines()]
    both = [json.dumps({**line, "again": line["topic"]}) + "\n" for line in lines]
    (folder / "gold.jsonl").write_text("".join(both), encoding="utf-8")
    read: list[str] = []
    encode = SentenceEncoder.encode

    def counted(one: SentenceEncoder, texts: Sequence[str]) -> Encoded:
        read.extend(texts)
        return encode(one, texts)

    monkeypatch.setattr(SentenceEncoder, "encode", counted)
    gold = ("--labels", folder / "gold.jsonl", "--json")
    (tier,) = learned(*headrace("learn", folder / "job.toml", folder / "in.csv", *gold))["tiers"]
    assert [step["step"] for step in tier["steps"]] == ["topic", "again"]
    assert len(read) == len(set(read)) == 240


def test_a_tier_is_refused_a_file_of_the_other_kind(headrace: Run, folder: Path, encoder: Path) -> None:
    job = (folder / "job.toml").read_text(encoding="utf-8")
    learn = ("learn", folder / "job.toml", folder / "in.csv", "--labels", folder / "gold.jsonl")
    llama = job.replace('engine = "classical"\nmodel = "test-words"\nencoder', 'engine = "llama"\nlearned = "x"\nmodel')
    (folder / "job.toml").write_text(llama, encoding="utf-8")
    code, _, err = headrace(*learn)
    assert (code, "is a sentence encoder, which answers nothing by itself" in err) == (2, True)
    chat = folder / "chat.gguf"
    chat.write_bytes(GGUF[0])
    (folder / "job.toml").write_text(job.replace(str(encoder), str(chat)), encoding="utf-8")
    code, _, err = headrace(*learn)
    assert (code, "is no sentence encoder that Headrace knows (its architecture is llama" in err) == (2, True)
    code, out, _ = headrace("doctor", folder / "job.toml", "--json")
    found = {one["name"]: one["level"] for one in json.loads(out)["findings"]}
    assert (code, found["model of words"]) == (2, "failure")


def test_an_encoder_is_neither_tuned_nor_compared(headrace: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_encoder(folder)
    entry = load_catalogue().entry("all-minilm-l6-v2")
    entry = entry.model_copy(update={"size_bytes": path.stat().st_size, "sha256": sha256_of(path)})
    (folder / "models").mkdir()
    path.rename(folder / "models" / entry.file)
    monkeypatch.setattr("pipeline.adapters.models.store.load_catalogue", lambda: ModelCatalogue((entry,)))
    for command in ("tune", "compare"):
        code, _, err = headrace("models", command, entry.name)
        assert (code, "it gives no answers that could be compared" in err) == (2, True)
