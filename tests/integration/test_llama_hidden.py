"""Hidden states of the llama engine: the model's own, for the asked tokens only, out of the pass that answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.domain.errors import ConfigError
from pipeline.ports.engine import Ask
from tests.integration.llama_cases import DETAILS, SENTIMENT, SMALL, TEXTS, answers, engine_for, prepared

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def watching(model_path: Callable[[str], Path]) -> Iterator[LlamaEngine]:
    engine = engine_for(model_path(SMALL), hidden_states=True)
    yield engine
    engine.close()


def test_a_hidden_state_is_what_llama_cpp_calls_the_embedding_of_the_last_token(
    watching: LlamaEngine, model_path: Callable[[str], Path]
) -> None:
    texts = TEXTS[:6]
    given = watching.answer([Ask(question=SENTIMENT, text=text, hidden=True) for text in texts]).given
    prompt = prepared(watching, SENTIMENT).prompt
    plain = llama_cpp.Llama(
        str(model_path(SMALL)),
        n_ctx=1024,
        embedding=True,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_NONE,
        verbose=False,
        n_threads=1,
        n_threads_batch=1,
    )
    for text, one in zip(texts, given, strict=True):
        tokens = [*prompt.prefix, *watching._vocab.plain(prompt.lead + text), *prompt.suffix]
        plain.n_tokens = 0
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(plain.ctx), True)  # noqa: FBT003 — llama.cpp's signature
        plain.eval(tokens)
        pointer = llama_cpp.llama_get_embeddings_ith(plain.ctx, -1)
        expected = np.ctypeslib.as_array(pointer, (plain.n_embd(),)).astype(np.float64)
        assert one is not None
        assert one.hidden is not None
        assert one.hidden.dtype == np.float32
        assert one.hidden.shape == expected.shape
        found = one.hidden.astype(np.float64)
        assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.995  # kernels differ by shape
    plain.close()


def test_only_asks_that_want_a_hidden_state_get_one_and_answers_are_the_same(watching: LlamaEngine) -> None:
    asks = [Ask(question=SENTIMENT, text=text, hidden=bool(number % 2)) for number, text in enumerate(TEXTS[:8])]
    given = watching.answer([*asks, Ask(question=DETAILS, text=TEXTS[0], hidden=True)]).given
    assert [one is not None and one.hidden is not None for one in given] == [False, True] * 4 + [False]
    assert [one.answer for one in given if one is not None][:8] == [
        one.answer for one in answers(watching, SENTIMENT, TEXTS[:8])
    ]


def test_an_engine_that_was_loaded_without_says_so(model_path: Callable[[str], Path]) -> None:
    engine = engine_for(model_path(SMALL))
    with pytest.raises(ConfigError, match="hidden_states=True"):
        engine.answer([Ask(question=SENTIMENT, text="fine", hidden=True)])
    engine.close()
