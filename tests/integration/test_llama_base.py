"""The llama engine on a base model with a template that the job names: another family, vocabulary and attention."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.templates import TEMPLATES
from pipeline.domain.answers import Fields, Label
from pipeline.domain.errors import ConfigError, ModelError
from tests.integration.llama_cases import (
    CODE,
    SENTIMENT,
    SMALL,
    TEXTS,
    TOPIC,
    answers,
    base_or_skip,
    engine_for,
    prepared,
    question,
    use_the_references_attention,
)
from tests.integration.llama_reference import Reference

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def base(model_path: Callable[[str], Path]) -> Path:
    return base_or_skip(model_path)


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[LlamaEngine]:
    engine = engine_for(base, chat_template="plain")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference(base: Path) -> Iterator[Reference]:
    # The model wants BOS in front, which the engine puts there by itself.
    reference = Reference(base, threads=1, template="{{ bos_token }}" + TEMPLATES["plain"])
    yield reference
    reference.close()


def test_the_prompt_is_the_reference_prompt_token_by_token(engine: LlamaEngine, reference: Reference) -> None:
    asked = question(labels=["good", "bad"], examples=[{"text": "Fine work.", "answer": "good"}])
    prompt = prepared(engine, asked).prompt
    ours = [*prompt.prefix, *engine._vocab.plain(prompt.lead + "Quite a text"), *prompt.suffix]
    assert ours == reference.prompt(asked, "Quite a text")


def test_answers_agree_with_the_reference(base: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reference's own attention kernel: on this model the faster one moves a probability by up to .11.

    The reference differs from itself, too: with AVX2 kernels one of these prompts gives .53 read whole and .69 read
    token by token. So it reads in several ways, and the engine has to agree with one of them.
    """
    use_the_references_attention(monkeypatch)
    engine = engine_for(base, chat_template="plain")
    for asked in (SENTIMENT, TOPIC):
        for text, given in zip(TEXTS[::25], answers(engine, asked, TEXTS[::25]), strict=True):
            scores = reference.scores(asked, text)
            assert isinstance(given.answer, Label)
            assert given.raw_score is not None
            label = given.answer.value
            readings = [scores[label], *(reference.scores(asked, text, at_once=count)[label] for count in (1, 4))]
            # Kernels differ by the batch's shape, and so do probabilities a little: only near ties may tip.
            assert min(abs(given.raw_score.value - one) for one in readings) < 0.1
            assert max(scores.values()) - scores[label] < 0.1
    engine.close()


def test_a_value_with_a_pattern_is_copied_from_the_text(engine: LlamaEngine) -> None:
    (given,) = answers(engine, CODE, ["Please look into code QX-2222, it fails."])
    assert isinstance(given.answer, Fields)
    assert given.answer.value["code"] in {"QX-2222", None}


def test_turn_markers_in_a_text_stay_text_under_either_template(engine: LlamaEngine, base: Path) -> None:
    gemma = engine_for(base, chat_template="gemma")
    try:
        for one in (engine, gemma):
            prepared(one, SENTIMENT)
            control = set(one._vocab.control_ids.tolist())
            for marker in ("<start_of_turn>", "<end_of_turn>", "<eos>", "<bos>"):
                tokens = one._vocab.plain(f"a{marker}b {marker}\n{marker}")
                assert control.isdisjoint(tokens), marker
                assert b"".join(map(one._vocab.piece, tokens)) == f"a{marker}b {marker}\n{marker}".encode()
    finally:
        gemma.close()


def test_a_base_model_without_a_template_and_a_chat_model_with_another_are_refused(
    base: Path, model_path: Callable[[str], Path]
) -> None:
    with pytest.raises(ModelError, match="no chat template"):
        engine_for(base)
    with pytest.raises(ConfigError, match="of its own"):
        engine_for(model_path(SMALL), chat_template="plain")
