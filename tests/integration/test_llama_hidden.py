"""Hidden states of the llama engine: the model's own, for the asked tokens only, out of the pass that answers."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.hidden import HiddenStates
from pipeline.domain.answers import Malformed
from pipeline.domain.errors import ConfigError
from pipeline.ports.engine import Ask
from tests.integration.llama_cases import DETAILS, SENTIMENT, SMALL, TEXTS, TOPIC, answers, engine_for, prepared

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


def test_halfway_up_stand_the_mean_over_the_text_and_what_is_asked_of_it_and_the_last_state_there(
    watching: LlamaEngine,
) -> None:
    """Held against llama.cpp's own layer, read by itself: the 17th of the 30 that this model has."""
    texts = TEXTS[::9]
    given = watching.answer([Ask(question=SENTIMENT, text=text, hidden=True) for text in texts]).given
    prompt = prepared(watching, SENTIMENT).prompt
    for text, one in zip(texts, given, strict=True):
        tokens = (*prompt.prefix, *watching._vocab.plain(prompt.lead + text), *prompt.suffix)
        layer = layer_of(watching, tokens, b"l_out-16")[len(prompt.prefix) :]
        assert one is not None
        assert one.halfway is not None
        assert one.halfway.dtype == np.float32
        assert one.halfway.shape == (2 * layer.shape[1],)
        mean, there = np.split(one.halfway, 2)
        for found, expected in ((mean, layer.mean(axis=0)), (there, layer[-1])):
            assert alike(found, expected) > 0.99  # kernels differ by shape
            assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(expected), rel=0.02)
        assert alike(mean, there) < 0.95, "they are not the same"


@pytest.mark.parametrize("batch_tokens", [32, 512])
def test_the_state_halfway_up_is_the_same_in_any_company_and_over_any_batches(
    watching: LlamaEngine, model_path: Callable[[str], Path], batch_tokens: int
) -> None:
    texts = [" ".join(TEXTS[number::7]) for number in range(6)]
    asks = [Ask(question=SENTIMENT, text=text, hidden=True) for text in texts]
    engine = engine_for(model_path(SMALL), hidden_states=True, batch_tokens=batch_tokens)
    together = engine.answer([*asks, *(Ask(question=TOPIC, text=text) for text in texts)]).given[:6]
    engine.close()
    found = [one.halfway for one in together if one is not None and one.halfway is not None]
    single = [one for ask in asks for one in watching.answer([ask]).given]
    alone = [one.halfway for one in single if one is not None and one.halfway is not None]
    assert len(found) == len(alone) == 6
    for number, (one, expected) in enumerate(zip(found, alone, strict=True)):
        assert alike(one, expected) > 0.995
        assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(expected), rel=0.02)
        nearest = max(range(len(alone)), key=lambda other: alike(one, alone[other]))
        assert nearest == number, "it is its own text's, and no other's"


def test_who_wants_nothing_beyond_halfway_up_has_the_model_read_no_further(
    model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[bytes] = []

    class Naming(HiddenStates):
        def _hear(self, tensor: Any, ask: bool, user_data: Any) -> bool:  # noqa: ANN401, FBT001 — llama.cpp's signature
            names.append(self._ggml.ggml_get_name(tensor))
            return super()._hear(tensor, ask, user_data)

    monkeypatch.setattr("pipeline.adapters.llama.engine.HiddenStates", Naming)
    engine = engine_for(model_path(SMALL), hidden_states=True)
    texts = TEXTS[:12]
    whole = engine.answer([Ask(question=SENTIMENT, text=text, hidden=True) for text in texts]).given
    assert b"l_out-17" in names
    names.clear()
    half = engine.answer([Ask(question=SENTIMENT, text=text, half=True) for text in texts])
    engine.close()
    assert names.count(b"l_out-16") == 2, "told of, and shown"
    assert not {b"l_out-17", b"result_norm", b"result_output"} & set(names)
    for one, other in zip(half.given, whole, strict=True):
        assert one is not None
        assert other is not None
        assert one.hidden is None
        assert one.halfway is not None
        assert other.halfway is not None
        assert alike(one.halfway, other.halfway) > 0.999
        assert isinstance(one.answer, Malformed), "the model chose nothing"
        assert one.usage.tokens_in == other.usage.tokens_in
        assert one.usage.tokens_out == 0


def test_texts_that_are_read_halfway_up_leave_nothing_behind_that_spoils_the_answers_of_others(
    watching: LlamaEngine,
) -> None:
    """The upper layers of what was read halfway hold nothing: not for other questions of the text, nor for others."""
    texts = TEXTS[:10]
    alone = answers(watching, TOPIC, texts)
    half = [Ask(question=SENTIMENT, text=text, half=True) for text in texts]
    watching.answer(half)
    after = answers(watching, TOPIC, texts)
    beside = watching.answer([one for ask in half for one in (ask, Ask(question=TOPIC, text=ask.text))]).given[1::2]
    same = watching.answer(
        [one for ask in half for one in (ask, Ask(question=SENTIMENT, text=ask.text, hidden=True))]
    ).given
    assert [one.answer for one in after] == [one.answer for one in alone]
    assert [one.answer for one in beside if one is not None] == [one.answer for one in alone]
    assert [one.answer for one in same[1::2] if one is not None] == [
        one.answer for one in answers(watching, SENTIMENT, texts)
    ]
    for one, other in zip(same[::2], same[1::2], strict=True):
        assert one is not None
        assert other is not None
        assert one.halfway is not None
        assert other.halfway is not None
        assert alike(one.halfway, other.halfway) > 0.995


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("when", ["while it computes", "while it shows"])
def test_ctrl_c_while_llama_cpp_reads_ends_the_reading_and_the_next_one_is_sound(
    watching: LlamaEngine,
    monkeypatch: pytest.MonkeyPatch,
    half: bool,  # noqa: FBT001 — a parameter of pytest's
    when: str,
) -> None:
    asks = [Ask(question=TOPIC, text=text, hidden=True, half=half) for text in TEXTS[:6]]
    before = watching.answer(asks).given
    look, expect, heard, started = HiddenStates._look, HiddenStates.expect, list[bool](), list[bool]()

    def interrupted(states: HiddenStates, tensor: Any, *, ask: bool) -> bool:  # noqa: ANN401 — an opaque pointer
        heard.append(ask)
        if when == "while it shows" and len(heard) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return look(states, tensor, ask=ask)

    def expecting(states: HiddenStates, wanted: int, **how: bool) -> None:
        expect(states, wanted, **how)
        if when == "while it computes" and not started:
            started.append(True)
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()

    with monkeypatch.context() as patched:
        patched.setattr(HiddenStates, "_look", interrupted)
        patched.setattr(HiddenStates, "expect", expecting)
        with pytest.raises(KeyboardInterrupt):
            watching.answer(asks)
    if when == "while it shows":
        assert len(heard) == 5, "llama.cpp went on calling"
    for one, again in zip(before, watching.answer(asks).given, strict=True):
        assert one is not None
        assert again is not None
        assert one.answer == again.answer
        what, same = (one.halfway, again.halfway) if half else (one.hidden, again.hidden)
        assert what is not None
        assert same is not None
        assert np.array_equal(what, same)


def test_a_model_that_does_not_show_its_layers_gives_its_last_state_alone(
    model_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.llama.hidden._UP", (99, 1))
    engine = engine_for(model_path(SMALL), hidden_states=True)
    (given,) = engine.answer([Ask(question=SENTIMENT, text="fine", hidden=True)]).given
    engine.close()
    assert given is not None
    assert given.hidden is not None
    assert given.halfway is None


def alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine of two states without their few largest numbers, which are the same for all texts."""
    kept = np.argsort(np.abs(other))[:-8]
    left, right = one[kept].astype(np.float64), other[kept].astype(np.float64)
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def layer_of(engine: LlamaEngine, tokens: Sequence[int], name: bytes) -> NDArray[np.float32]:
    """Read tokens by themselves, and return what a tensor of the graph holds for each; shape (tokens, width)."""
    found: list[NDArray[np.float32]] = []

    class Listening(HiddenStates):
        def _hear(self, tensor: Any, ask: bool, _user_data: Any) -> bool:  # noqa: ANN401, FBT001 — llama.cpp's signature
            if self._ggml.ggml_get_name(tensor) == name and not ask:
                rows = np.empty((len(tokens), self._width), dtype=np.float32)
                assert self._ggml.ggml_nbytes(tensor) == rows.nbytes
                self._ggml.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
                found.append(rows)
            return self._ggml.ggml_get_name(tensor) == name or not ask

    width = engine._lib.llama_model_n_embd(engine._model)
    size = engine._vocab.size
    context = Context(engine._model, cells=1024, sequences=1, threads=1, vocab_size=size, hidden=Listening(width))
    context.read([Row(sequence=0, start=0, tokens=tokens)], lambda _row, _logits: None)
    context.close()
    (layer,) = found
    return layer


def test_only_asks_that_want_a_hidden_state_get_one_and_answers_are_the_same(watching: LlamaEngine) -> None:
    asks = [Ask(question=SENTIMENT, text=text, hidden=bool(number % 2)) for number, text in enumerate(TEXTS[:8])]
    given = watching.answer([*asks, Ask(question=DETAILS, text=TEXTS[0], hidden=True)]).given
    assert [one is not None and one.hidden is not None for one in given] == [False, True] * 4 + [False]
    assert [one.answer for one in given if one is not None][:8] == [
        one.answer for one in answers(watching, SENTIMENT, TEXTS[:8])
    ]


def test_an_engine_that_was_loaded_without_says_so(model_path: Callable[[str], Path]) -> None:
    engine = engine_for(model_path(SMALL))
    for ask in (Ask(question=SENTIMENT, text="fine", hidden=True), Ask(question=SENTIMENT, text="fine", half=True)):
        with pytest.raises(ConfigError, match="hidden_states=True"):
            engine.answer([ask])
    engine.close()
