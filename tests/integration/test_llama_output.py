"""Choices without the whole output matrix: the same answers, and all logits where anything else is wanted."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.adapters.llama import output
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.hidden import HiddenStates
from pipeline.domain.outcomes import Given
from pipeline.ports.engine import Ask
from pipeline.prompts import Question
from tests.integration.llama_cases import DETAILS, SENTIMENT, SMALL, TEXTS, TOPIC, answers, engine_for, question

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


COPIED = question(
    kind="extract",
    fields={"what": {"type": "string"}, "when": {"type": "string"}, "names": {"type": "list"}},
)
FREE = question(kind="extract", fields={"summary": {"type": "string", "copy": False}})


def both_ways(engine: LlamaEngine, asked: Question, texts: list[str]) -> tuple[list[Given], list[Given]]:
    """Return the answers by rows of the output matrix, and by all of it."""
    listed = answers(engine, asked, texts)
    assert engine._context is not None
    rows, engine._context.output = engine._context.output, None
    assert rows is not None
    whole = answers(engine, asked, texts)
    engine._context.output = rows
    return listed, whole


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the names of the tensors that batches of engines made from now on come to behind the hidden states."""
    names: list[bytes] = []
    plain = HiddenStates._hear

    def hear(self: HiddenStates, tensor: object, ask: bool, user_data: object) -> bool:  # noqa: FBT001 — llama.cpp's
        if self._ggml.ggml_get_name(tensor) == b"result_output":
            names.append(b"result_output")
        return plain(self, tensor, ask, user_data)

    monkeypatch.setattr(HiddenStates, "_hear", hear)
    return names


@pytest.fixture
def engine(model_path: Callable[[str], Path], heard: list[bytes]) -> Iterator[LlamaEngine]:
    engine = engine_for(model_path(SMALL))
    heard.clear()
    yield engine
    engine.close()


def test_labels_and_copied_values_cost_no_output_matrix_and_free_ones_get_theirs(
    engine: LlamaEngine, heard: list[bytes]
) -> None:
    answers(engine, SENTIMENT, TEXTS[:4])
    answers(engine, DETAILS, TEXTS[:4])
    answers(engine, COPIED, TEXTS[:4])
    assert not heard
    answers(engine, FREE, TEXTS[:1])
    assert heard
    heard.clear()
    answers(engine, TOPIC, TEXTS[:4])
    assert not heard, "labels again, after a value that may be anything"


def test_copied_values_are_those_by_the_whole_matrix(engine: LlamaEngine) -> None:
    listed, whole = both_ways(engine, COPIED, TEXTS[:12])
    pairs = list(zip(listed, whole, strict=True))
    same = [(one, other) for one, other in pairs if one.answer == other.answer]
    assert len(same) >= len(pairs) - 2, "values that were about as probable as others may tip"
    moved = [
        abs(score.value - other.field_scores[name].value)
        for one, other in same
        for name, score in one.field_scores.items()
    ]
    assert len(moved) > len(TEXTS[:12])
    assert np.median(moved) < 0.02, "a product over several tokens moves more than one label does"
    assert max(moved) < 0.1


def test_answers_are_those_by_the_whole_matrix(engine: LlamaEngine) -> None:
    for asked in (SENTIMENT, TOPIC):
        listed, whole = both_ways(engine, asked, TEXTS[:24])
        pairs = list(zip(listed, whole, strict=True))
        moved = [abs(_score(one) - _score(other)) for one, other in pairs if one.answer == other.answer]
        assert len(moved) >= len(pairs) - 1, "one that was about as probable as another may tip"
        assert np.median(moved) < 0.01
        assert max(moved) < 0.05


def test_a_file_whose_logits_are_made_in_another_way_is_read_whole(
    model_path: Callable[[str], Path], heard: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = output.OutputRows.of

    def scaled(self: output.OutputRows, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        return plain(self, tokens) * np.float32(1.05)

    monkeypatch.setattr(output.OutputRows, "of", scaled)
    engine = engine_for(model_path(SMALL))
    heard.clear()
    answers(engine, SENTIMENT, TEXTS[:2])
    assert heard
    engine.close()


def test_a_file_whose_matrix_is_not_understood_is_read_whole(
    model_path: Callable[[str], Path], heard: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_NAMES", (b"no.such.tensor",))
    engine = engine_for(model_path(SMALL))
    heard.clear()
    answers(engine, SENTIMENT, TEXTS[:2])
    assert heard
    engine.close()


def test_a_hidden_state_is_the_same_whether_a_batch_is_broken_off_or_not(model_path: Callable[[str], Path]) -> None:
    engine = engine_for(model_path(SMALL), hidden_states=True)
    asks = [Ask(question=SENTIMENT, text=text, hidden=True) for text in TEXTS[:4]]
    listed = engine.answer(asks).given
    assert engine._context is not None
    engine._context.output = None
    whole = engine.answer(asks).given
    for one, other in zip(listed, whole, strict=True):
        assert one is not None
        assert other is not None
        assert one.hidden is not None
        assert other.hidden is not None
        assert one.hidden.tolist() == other.hidden.tolist()
    engine.close()


def _score(given: Given) -> float:
    assert given.raw_score is not None
    return given.raw_score.value


def test_a_model_that_does_not_show_its_hidden_states_is_read_whole(
    model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.llama.hidden._TENSOR", b"no_such_tensor")
    engine = engine_for(model_path(SMALL))
    assert engine._context is not None
    assert engine._context.output is None
    assert [one.raw_score is not None for one in answers(engine, SENTIMENT, TEXTS[:2])] == [True, True]
    engine.close()
