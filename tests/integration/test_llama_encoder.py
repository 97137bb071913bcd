"""A sentence encoder through llama.cpp: the vectors are those that its makers define, whatever the text."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.adapters.llama.encoder import MOST_TOKENS, SentenceEncoder
from pipeline.domain.errors import ModelError
from tests.tiny_encoder import POSITIONS, WIDTH, WORDS, tiny_encoder, vector_of, weights

CLS, SEP, UNK = (WORDS.index(mark) for mark in ("[CLS]", "[SEP]", "[UNK]"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentenceEncoder]:
    path = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    made = SentenceEncoder(path, model_name="tiny@1", threads=2)
    yield made
    made.close()


def tokens(text: str) -> list[int]:
    return [CLS, *(WORDS.index(word) if word in WORDS else UNK for word in text.split()), SEP]


@pytest.mark.parametrize(
    "text", ["the app crashes on start", "hello", "my cat sleeps all day long , hello !", "please refund the payment"]
)
def test_a_vector_is_the_mean_over_the_tokens_as_bert_is_defined(encoder: SentenceEncoder, text: str) -> None:
    found = encoder.encode([text])
    assert found.tokens == (len(tokens(text)),)
    assert found.vectors.shape == (1, WIDTH)
    assert found.vectors.dtype == np.float32
    assert float(found.vectors[0] @ vector_of(tokens(text))) > 0.9999


def test_a_vector_hardly_depends_on_what_is_encoded_beside_it(encoder: SentenceEncoder) -> None:
    texts = [f"hello {'the app crashes ' * (number % 15)}" for number in range(200)]
    together = encoder.encode(texts).vectors
    apart = np.concatenate([encoder.encode([text]).vectors for text in texts])
    assert np.abs(together - apart).max() < 1e-3
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_what_looks_like_a_mark_of_the_model_is_read_as_the_letters_it_is_made_of(encoder: SentenceEncoder) -> None:
    spelt = [CLS, *(WORDS.index(word) for word in ("[", "cls", "]", "[", "sep", "]")), SEP]
    assert encoder.encode(["[CLS] [SEP]"]).tokens == (len(spelt),)
    assert float(encoder.encode(["[CLS] [SEP]"]).vectors[0] @ vector_of(spelt)) > 0.9999


def test_a_long_text_is_read_up_to_the_models_window_and_ends_as_all_do(encoder: SentenceEncoder) -> None:
    assert POSITIONS < MOST_TOKENS
    long = "hello " * 5000
    found = encoder.encode([long, "hello"])
    assert found.tokens == (POSITIONS, 3)
    assert float(found.vectors[0] @ vector_of([CLS, *[WORDS.index("hello")] * (POSITIONS - 2), SEP])) > 0.9999


@pytest.mark.parametrize("text", ["", "   ", "\0", "\ud800", "日本語 🙂", "x" * 100_000, "[" * 9000, "\n\t\r"])
def test_any_text_gets_a_vector(encoder: SentenceEncoder, text: str) -> None:
    found = encoder.encode([text])
    assert np.isfinite(found.vectors).all()
    assert 2 <= found.tokens[0] <= POSITIONS


def test_no_texts_have_no_vectors(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).vectors.shape == (0, WIDTH)


def test_a_file_that_is_missing_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read model file"):
        SentenceEncoder(tmp_path / "none.gguf", model_name="none", threads=1)
    (tmp_path / "text.gguf").write_bytes(b"hello")
    with pytest.raises(ModelError, match="is no GGUF file"):
        SentenceEncoder(tmp_path / "text.gguf", model_name="text", threads=1)


def test_a_model_that_gives_no_numbers_is_told_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = weights()
    broken["embeddings.word_embeddings.weight"][WORDS.index("hello")] = np.nan
    monkeypatch.setattr("tests.tiny_encoder.weights", lambda: broken)
    made = SentenceEncoder(tiny_encoder(tmp_path), model_name="tiny@1", threads=1)
    assert np.isfinite(made.encode(["please help"]).vectors).all()
    with pytest.raises(ModelError, match="tiny@1 gives no numbers for a text"):
        made.encode(["please help", "hello"])
    made.close()


def test_a_closed_encoder_can_be_closed_again(tmp_path: Path) -> None:
    made = SentenceEncoder(tiny_encoder(tmp_path), model_name="tiny@1", threads=1)
    made.close()
    made.close()
