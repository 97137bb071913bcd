"""What is read once: beginnings that texts share, and a mode that shares nothing because its answers must not move."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
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
            answers(alone, before, TEXTS[:2])
            given = answers(alone, asked, company)[company.index(text)]
            assert given.raw_score is not None
            scores.add((str(given.answer), given.raw_score.value))
        assert len(scores) == 1
