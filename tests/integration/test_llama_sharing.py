"""What is read once: beginnings that texts share, and a mode that shares nothing because its answers must not move."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.library import llama
from pipeline.domain.answers import Fields, Label
from pipeline.domain.outcomes import Given
from pipeline.ports.engine import Ask
from pipeline.prompts import fused, whole
from tests.integration.llama_cases import (
    CODE,
    DETAILS,
    SENTIMENT,
    SMALL,
    STEPS,
    TEXTS,
    TOPIC,
    answers,
    engine_for,
    question,
)

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]

LETTER = (
    "Dear customer service, I am writing to you with regard to the order that I placed in your web shop last month. "
    "As agreed by telephone with one of your colleagues, I send you the details of it once more in writing. "
)


@pytest.fixture(scope="module")
def alone(model_path: Callable[[str], Path]) -> Iterator[LlamaEngine]:
    engine = engine_for(model_path(SMALL), reproducible=True)
    yield engine
    engine.close()


def test_letters_that_begin_alike_are_read_on_one_beginning_with_the_answers_of_each_by_itself(
    engine: LlamaEngine,
) -> None:
    texts = [LETTER + text for text in TEXTS[:12]]
    answers(engine, SENTIMENT, TEXTS[:1])  # reads the instruction
    reply = engine.answer([Ask(question=SENTIMENT, text=text) for text in texts])
    singly = [answers(engine, SENTIMENT, [text])[0] for text in texts]
    beginning = len(engine._vocab.plain(" " + LETTER)) - 1
    read = sum((call.tokens_in or 0) - (call.tokens_cached or 0) for call in reply.calls)
    read_singly = sum((one.usage.tokens_in or 0) - (one.usage.tokens_cached or 0) for one in singly)
    assert read <= read_singly - 11 * beginning
    for one, other in zip(reply.given, singly, strict=True):
        assert one is not None
        assert one.raw_score is not None
        assert other.raw_score is not None
        if one.answer != other.answer:  # only a near tie may tip
            assert max(one.raw_score.value, other.raw_score.value) < 0.6
        else:
            assert one.raw_score.value == pytest.approx(other.raw_score.value, abs=0.1)


def test_tokens_in_are_the_same_however_much_is_shared(engine: LlamaEngine) -> None:
    texts = [LETTER + text for text in TEXTS[:5]]
    asks = [Ask(question=asked, text=text) for asked in (SENTIMENT, DETAILS) for text in texts]
    given = engine.answer(asks).given
    singly = [engine.answer([ask]).given[0] for ask in asks]
    assert [_tokens_in(one) for one in given] == [_tokens_in(one) for one in singly]


def _tokens_in(given: Given | None) -> int | None:
    assert given is not None
    return given.usage.tokens_in


def test_long_letters_that_begin_alike_and_do_not_fit_together_are_read_all_the_same(engine: LlamaEngine) -> None:
    texts = [LETTER + f"{text} " * 45 for text in TEXTS[:16]]
    given = answers(engine, SENTIMENT, texts)
    assert all(isinstance(one.answer, Label) for one in given)


def test_many_records_of_letters_that_begin_alike_find_sequences_enough(model_path: Callable[[str], Path]) -> None:
    steps = [
        STEPS.validate_python({"name": f"step{number}", "kind": "extract", "fields": {"amount": {"type": "number"}}})
        for number in range(8)
    ]
    engine = engine_for(model_path(SMALL), context_tokens=2048)
    asked = fused([whole(step) for step in steps])
    texts = [f"{LETTER} I paid {number}.50 and 12.30 for it." for number in range(16)]
    reply = engine.answer([Ask(question=one, text=text) for one in asked for text in texts])
    engine.close()
    assert all(one is not None and isinstance(one.answer, Fields) for one in reply.given)


def test_questions_cut_a_text_for_themselves_alone(model_path: Callable[[str], Path]) -> None:
    """A long answer leaves less room for the text; the question beside it still sees all that fits."""
    roomy, tight = fused(
        [
            whole(STEPS.validate_python({"name": "mood", "kind": "sentiment"})),
            whole(STEPS.validate_python({"name": "details", "kind": "extract", "fields": {"q": {"type": "integer"}}})),
        ]
    )
    engine = engine_for(model_path(SMALL), context_tokens=512, max_answer_tokens=200)
    text = "Order 4711 was charged twice. " * 34
    both = engine.answer([Ask(question=one, text=text, on_long="truncate") for one in (roomy, tight)]).given
    singly = [engine.answer([Ask(question=one, text=text, on_long="truncate")]).given[0] for one in (roomy, tight)]
    engine.close()
    assert [one.truncated for one in both if one is not None] == [False, True]
    assert [_tokens_in(one) for one in both] == [_tokens_in(one) for one in singly]


def test_places_in_a_text_that_was_cut_are_places_in_the_whole(model_path: Callable[[str], Path]) -> None:
    text = "Order 4711 costs EUR 64.90 altogether. " * 8
    asked = question(kind="extract", fields={"q": {"type": "integer"}, "m": {"type": "money"}})
    engine = engine_for(model_path(SMALL), max_text_tokens=32)
    given = engine.answer([Ask(question=asked, text=text, on_long="truncate")]).given[0]
    engine.close()
    assert given is not None
    assert given.truncated
    assert isinstance(given.answer, Fields)
    said = {name: text[slice(*place)] for name, place in given.answer.spans.items()}
    assert said
    assert said.items() <= {"q": "4711", "m": "EUR 64.90"}.items()


def test_two_steps_of_one_item_are_read_in_the_batches_of_one_and_answer_as_they_do_alone(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = llama()
    decode = lib.llama_decode
    batches: list[int] = []

    def counted(context: Any, batch: Any) -> int:  # noqa: ANN401 — ctypes structures
        batches.append(batch.n_tokens)
        code: int = decode(context, batch)
        return code

    asks = [Ask(question=asked, text=TEXTS[4]) for asked in (SENTIMENT, TOPIC)]
    engine.answer(asks)  # reads the instructions
    monkeypatch.setattr(lib, "llama_decode", counted)
    singly, apart = [], []
    for ask in asks:
        singly.append(engine.answer([ask]).given[0])
        apart.append(batches.copy())
        batches.clear()
    both = engine.answer(asks)
    assert batches[0] == apart[0][0] + apart[1][0]
    assert len(batches) < len(apart[0]) + len(apart[1])
    for one, other in zip(both.given, singly, strict=True):
        assert one is not None
        assert other is not None
        assert one.raw_score is not None
        assert other.raw_score is not None
        assert one.usage == other.usage
        assert one.answer == other.answer
        assert one.raw_score.value == pytest.approx(other.raw_score.value, abs=0.1)


@pytest.mark.parametrize("reproducible", [False, True], ids=["side by side", "reproducible"])
def test_the_calls_of_several_steps_sum_to_the_time_and_the_tokens_that_were_read(
    engine: LlamaEngine, alone: LlamaEngine, *, reproducible: bool
) -> None:
    asked = alone if reproducible else engine
    choices = [question(labels=["hot", "cold"], question=f"Warm enough for number {number}?") for number in (1, 2)]
    read = asked.tokens_read
    started = time.perf_counter()
    reply = asked.answer([Ask(question=choice, text=text) for text in TEXTS[:3] for choice in choices])
    took = time.perf_counter() - started
    assert len(reply.calls) == 2
    assert all(call.seconds > 0 for call in reply.calls)
    assert sum(call.seconds for call in reply.calls) <= took
    paid = sum((call.tokens_in or 0) - (call.tokens_cached or 0) for call in reply.calls)
    assert paid == asked.tokens_read - read


@pytest.mark.parametrize("length", [1, 9, 20, 31])
def test_a_reproducible_engine_gives_the_same_score_to_the_last_bit_in_any_company(
    alone: LlamaEngine, length: int
) -> None:
    """Whatever else is asked, before it or with it, however many cells the text takes."""
    text = f"{TEXTS[3]} " * length
    companies = [
        [text],
        [*TEXTS[5:15], text],
        [text, text + "!", LETTER + text, *TEXTS[20:24]],
        [LETTER + other for other in TEXTS[:4]] + [text],
    ]
    for asked in (SENTIMENT, TOPIC):
        scores = set()
        for before, company in zip([DETAILS, SENTIMENT, CODE, TOPIC], companies, strict=True):
            beside = [Ask(question=before, text=other) for other in TEXTS[:2]]
            reply = alone.answer(beside + [Ask(question=asked, text=one) for one in company])
            given = reply.given[len(beside) + company.index(text)]
            assert given is not None
            assert given.raw_score is not None
            scores.add((str(given.answer), given.raw_score.value))
        assert len(scores) == 1
