"""What is read once: beginnings that texts share, and a mode that shares nothing because its answers must not move."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.domain.outcomes import Given
from pipeline.ports.engine import Ask
from tests.integration.llama_cases import DETAILS, SENTIMENT, SMALL, TEXTS, TOPIC, answers, engine_for

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


def test_a_reproducible_engine_gives_the_same_score_to_the_last_bit_in_any_company(alone: LlamaEngine) -> None:
    text = TEXTS[3]
    companies = [
        [text],
        [*TEXTS[5:15], text],
        [text, text + "!", LETTER + text, *TEXTS[20:24]],
        [LETTER + other for other in TEXTS[:4]] + [text],
    ]
    for asked in (SENTIMENT, TOPIC):
        scores = set()
        for company in companies:
            answers(alone, DETAILS, TEXTS[:1])  # another question in between
            given = answers(alone, asked, company)[company.index(text)]
            assert given.raw_score is not None
            scores.add((str(given.answer), given.raw_score.value))
        assert len(scores) == 1
