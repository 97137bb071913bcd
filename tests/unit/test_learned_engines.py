"""What was learned, on disk and in engines that answer by it."""

import io
import pickle
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters.instant import InstantEngine
from pipeline.adapters.learned.engine import ClassicalEngine, LearnedEngine
from pipeline.adapters.learned.files import LearnedFiles, Lesson
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.domain.answers import Defect, Label, Malformed, Usage
from pipeline.domain.curves import Curve
from pipeline.domain.errors import ModelError
from pipeline.domain.fields import FieldSpec
from pipeline.domain.learned import Figures, Learned, LearnedStep, Way, classes_of, options_digest
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.domain.steps import ClassifyStep, ExtractStep, SentimentStep
from pipeline.ports.engine import Ask, Engine, Reply
from pipeline.prompts import question_of
from tests.learning_cases import LABELS, tickets

TOPIC = question_of(ClassifyStep(name="topic", kind="classify", labels=dict.fromkeys(LABELS, "")))
MOOD = question_of(SentimentStep(name="mood", kind="sentiment"))
FIGURES = Figures(rows=480, accuracy=0.9, before=None, log_loss=0.2, plain_log_loss=0.3, ece_excess=0.0)
HALF = Curve(kind="slope", weights=(0.0,) * 9)
"""One chance in two, whatever the signals say."""


def learned(
    step: str, asked: str, *, way: Way = "words", options: tuple[str, ...] = LABELS, width: int = 9
) -> LearnedStep:
    curve = Curve(kind="slope", weights=(0.0,) * width)
    return LearnedStep(step=step, way=way, asked=asked, options=options, knows_none=True, curve=curve, figures=FIGURES)


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    rows = tickets("billing", "technical", "account", None)
    classes = classes_of([topic for _, topic in rows], LABELS)
    words = Words.fit([text for text, _ in rows], classes, len(LABELS) + 1)
    about = Learned(model=None, steps=(learned("topic", options_digest("topic", LABELS)),))
    return Lesson(about=about, choosers={"topic": words})


def answers(engine: Engine, *asks: Ask) -> list[Given]:
    given = [one for one in engine.answer(asks).given if one is not None]
    assert len(given) == len(asks)
    return given


def test_words_answer_with_what_was_learned_of_being_sure(lesson: Lesson) -> None:
    (bill, crash) = answers(
        ClassicalEngine(lesson, model_name="w"),
        *(Ask(question=TOPIC, text=text) for text in ("refund my payment", "the app crashes")),
    )
    assert (bill.answer, crash.answer) == (Label("billing"), Label("technical"))
    assert bill.confidence is not None
    assert (bill.confidence.value, bill.confidence.calibrated) == (0.5, True)
    assert bill.raw_score is not None
    assert bill.raw_score.value > 0.5
    assert bill.shares is not None
    assert set(bill.shares) == set(LABELS)


def test_a_text_of_no_label_is_sent_on_and_not_forced_into_one(lesson: Lesson) -> None:
    (given,) = answers(
        ClassicalEngine(lesson, model_name="w"), Ask(question=TOPIC, text="my cat sang in the mountains")
    )
    assert isinstance(given.answer, Malformed)
    assert given.answer.defect is Defect.NONE_FITS


def test_other_labels_and_other_steps_are_refused_with_the_way_out(lesson: Lesson) -> None:
    engine = ClassicalEngine(lesson, model_name="w")
    other = question_of(ClassifyStep(name="topic", kind="classify", labels={"billing": "", "technical": ""}))
    for question in (other, MOOD):
        with pytest.raises(ModelError, match="headrace learn JOB"):
            engine.answer([Ask(question=question, text="x")])


def test_a_learned_confidence_stands_beside_the_engines_own_score() -> None:
    inner = InstantEngine(model="score=0.99")
    about = Learned(model=inner.model, steps=(learned("mood", MOOD.digest, way="curve", options=(), width=1),))
    engine = LearnedEngine(inner, Lesson(about=about, choosers={}), name="m")
    mood, topic = answers(engine, Ask(question=MOOD, text="x"), Ask(question=TOPIC, text="x"))
    assert mood.raw_score == RawScore(0.99)
    assert mood.confidence is not None
    assert mood.confidence.value == 0.5
    assert topic.confidence is None, "nothing was learned about it"


def test_an_answer_without_a_score_keeps_an_unknown_confidence() -> None:
    inner = InstantEngine(model="score=unknown")
    about = Learned(model=inner.model, steps=(learned("mood", MOOD.digest, way="curve", options=(), width=1),))
    (given,) = answers(LearnedEngine(inner, Lesson(about=about, choosers={}), name="m"), Ask(question=MOOD, text="x"))
    assert given.confidence is None


def test_answers_that_are_all_unknown_cost_a_record_its_confidence_and_not_the_chunk() -> None:
    inner = InstantEngine(model="score=unknown")
    details = question_of(ExtractStep(name="details", kind="extract", fields={"order": FieldSpec(type="string")}))
    about = Learned(model=inner.model, steps=(learned("details", details.digest, way="curve", options=(), width=4),))
    engine = LearnedEngine(inner, Lesson(about=about, choosers={}), name="m")
    given = answers(engine, *(Ask(question=details, text=text) for text in "ab"))
    assert [one.confidence for one in given] == [None, None]
    sure = InstantEngine(model="score=0.9")
    known = Learned(model=sure.model, steps=about.steps)
    (one,) = answers(LearnedEngine(sure, Lesson(about=known, choosers={}), name="m"), Ask(question=details, text="a"))
    assert one.confidence is not None


def test_what_was_learned_of_another_model_or_in_other_words_is_refused() -> None:
    inner = InstantEngine(model="score=0.99")
    steps = (learned("mood", "0" * 64, way="curve", options=(), width=1),)
    with pytest.raises(ModelError, match=r"was learned with other@12, and the tier has score=0\.99 now"):
        LearnedEngine(inner, Lesson(about=Learned(model="other@12", steps=steps), choosers={}), name="m")
    engine = LearnedEngine(inner, Lesson(about=Learned(model=inner.model, steps=steps), choosers={}), name="m")
    with pytest.raises(ModelError, match="learned step mood in other words"):
        engine.answer([Ask(question=MOOD, text="x")])


def test_a_lesson_is_found_again_by_its_name_and_by_its_digest(lesson: Lesson, tmp_path: Path) -> None:
    files = LearnedFiles(tmp_path / "learned")
    pinned = files.keep("words", lesson)
    assert files.pinned("words") == pinned
    assert files.pinned(pinned) == pinned
    again = files.load(pinned)
    assert again.about == lesson.about
    text = Ask(question=TOPIC, text="the invoice is wrong")
    assert answers(ClassicalEngine(again, model_name="w"), text)[0].answer == Label("billing")


def test_the_same_lesson_has_the_same_digest_and_another_one_leaves_the_first_in_place(
    lesson: Lesson, tmp_path: Path
) -> None:
    files = LearnedFiles(tmp_path)
    first = files.keep("words", lesson)
    assert files.keep("words", lesson) == first
    about = lesson.about.model_copy(update={"model": "x"})
    second = files.keep("words", Lesson(about=about, choosers=lesson.choosers))
    assert second != first
    assert files.pinned("words") == second
    assert files.load(first).about.model is None


def test_a_file_that_was_changed_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    files = LearnedFiles(tmp_path)
    pinned = files.keep("words", lesson)
    path = tmp_path / f"{pinned}.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="is damaged"):
        files.load(pinned)


def _named_by_content(folder: Path, content: bytes) -> str:
    import hashlib  # noqa: PLC0415 — for this one line

    digest = hashlib.sha256(content).hexdigest()[:16]
    (folder / f"evil@{digest}.npz").write_bytes(content)
    return f"evil@{digest}"


def test_a_pickle_in_a_file_is_refused_and_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    arrays = io.BytesIO()
    np.savez(arrays, about=np.array([Evil()], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Evil()), arrays.getvalue(), b"no archive", _empty_archive()):
        with pytest.raises(ModelError, match="none of this release's files"):
            LearnedFiles(tmp_path).load(_named_by_content(tmp_path, content))
    assert not (tmp_path / "ran").exists()


def _empty_archive() -> bytes:
    content = io.BytesIO()
    zipfile.ZipFile(content, "w").close()
    return content.getvalue()


def test_what_was_never_learned_is_told_with_the_way_out(tmp_path: Path) -> None:
    files = LearnedFiles(tmp_path)
    assert files.pinned("words") is None
    with pytest.raises(ModelError, match=r"copy words@0123456789abcdef\.npz into"):
        files.load("words@0123456789abcdef")


class Showing:
    """An engine that shows what is asked for of texts that begin with their label, and chooses nothing itself."""

    model = "showing"

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    def answer(self, asks: Sequence[Ask]) -> Reply:
        self.asked += asks
        call = Call(id=uuid.uuid4(), model="showing", tokens_in=0, tokens_cached=0, tokens_out=0, seconds=0.0)
        return Reply(given=tuple(map(self._given, asks)), calls=(call,))

    def close(self) -> None:
        pass

    @staticmethod
    def _given(ask: Ask) -> Given:
        usage = Usage(tokens_in=7, tokens_cached=3, tokens_out=0)
        if ask.text == "long":
            too_long = Malformed(defect=Defect.TOO_LONG, detail="too long")
            return Given(answer=too_long, raw_score=None, usage=usage, call_no=0)
        shown = np.array([ask.text.startswith(label) for label in LABELS], dtype=np.float32)
        nothing = Malformed(defect=Defect.MALFORMED, detail="read halfway up")
        return Given(answer=nothing, raw_score=None, usage=usage, call_no=0, halfway=shown if ask.half else None)


def test_a_head_that_looks_halfway_up_asks_for_no_more_and_chooses_by_it() -> None:
    inner = Showing()
    states = np.tile(np.eye(len(LABELS), dtype=np.float32), (20, 1))
    head = Head.fit(states, np.zeros((len(states), 0)), np.tile(np.arange(len(LABELS)), 20), len(LABELS) + 1, c=1.0)
    one = learned("topic", TOPIC.digest, way="head", width=7).model_copy(update={"half": True})
    lesson = Lesson(about=Learned(model=inner.model, steps=(one,)), choosers={"topic": head})
    engine = LearnedEngine(inner, lesson, name="m")
    texts = [*LABELS, "long"]
    given = answers(engine, *(Ask(question=TOPIC, text=text) for text in texts))
    assert all(ask.half and not ask.hidden for ask in inner.asked)
    assert [one.answer for one in given[:-1]] == [Label(label) for label in LABELS]
    assert all(one.confidence is not None and one.usage.tokens_in == 7 for one in given[:-1])
    assert isinstance(given[-1].answer, Malformed)
    assert given[-1].answer.defect is Defect.TOO_LONG, "what was not read stays as the engine said"


def test_whether_a_head_looks_halfway_up_outlives_being_written_and_read(tmp_path: Path) -> None:
    head = Head.fit(np.eye(4, dtype=np.float32), np.zeros((4, 0)), np.arange(4), len(LABELS) + 1, c=1.0)
    one = learned("topic", TOPIC.digest, way="head", width=7).model_copy(update={"half": True})
    files = LearnedFiles(tmp_path)
    pinned = files.keep("m", Lesson(about=Learned(model="x", steps=(one,)), choosers={"topic": head}))
    assert files.load(pinned).about.steps[0].half
