"""Choosing by words: what is told apart, what is a signal, and what is kept of the texts."""

import numpy as np
import pytest

from pipeline.adapters.learned.words import Words
from pipeline.domain.learned import classes_of
from tests.learning_cases import LABELS, tickets

ROWS = tickets("billing", "technical", "account")
TEXTS = [text for text, _ in ROWS]
CLASSES = classes_of([topic for _, topic in ROWS], LABELS)


@pytest.fixture(scope="module", params=["at once", "apart"])
def words(request: pytest.FixtureRequest) -> Words:
    return Words.fit(TEXTS[:300], CLASSES[:300], len(LABELS) + 1, apart=request.param == "apart")


def test_it_tells_topics_of_new_texts_apart(words: Words) -> None:
    seen = words.see(["they charged me again", "an error on every page", "my password fails, I cannot sign in"])
    assert [LABELS[number] for number in seen.shares.argmax(axis=1)] == list(LABELS)
    assert np.allclose(seen.shares.sum(axis=1), 1.0)


def test_a_class_that_never_occurred_is_never_chosen(words: Words) -> None:
    seen = words.see([*TEXTS, "", "🦓", "entirely strange words"])
    assert np.all(seen.shares[:, len(LABELS)] < 1e-12)
    assert np.all(np.isfinite(seen.signals))


def test_words_that_it_never_saw_are_a_signal(words: Words) -> None:
    *_, new, _length = words.see([TEXTS[0], "zebras gallop over dusty plains"]).signals.T
    assert new[0] < 0.1
    assert new[1] > 0.9


def test_a_text_is_answered_alike_alone_and_among_others(words: Words) -> None:
    together, alone = words.see(TEXTS[:50]), words.see([TEXTS[7]])
    assert np.allclose(together.shares[7], alone.shares[0])
    assert np.allclose(together.signals[7], alone.signals[0])


def test_it_outlives_being_written_and_read_with_the_same_answers(words: Words) -> None:
    again = Words.of(dict(words.arrays()))
    assert np.allclose(again.see(TEXTS).shares, words.see(TEXTS).shares, atol=2e-3)  # halves are kept


def test_what_is_kept_holds_no_text(words: Words) -> None:
    kept = b"".join(array.tobytes() for array in words.arrays().values())
    assert all(word.encode() not in kept for word in ("invoice", "password", "export"))
    assert {array.dtype.kind for array in words.arrays().values()} == {"i", "f", "b"}


def test_two_classes_are_told_apart_as_well() -> None:
    rows = tickets("billing", "technical")
    classes = classes_of([topic for _, topic in rows], LABELS)
    found = Words.fit([text for text, _ in rows], classes, len(LABELS) + 1)
    seen = found.see(["refund the invoice", "it crashes with an error"])
    assert seen.shares.argmax(axis=1).tolist() == [0, 1]
    assert np.all(seen.shares[:, 2] == 0.0), "accounts never occurred"


def test_texts_of_one_class_teach_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to tell apart"):
        Words.fit(TEXTS[:3], np.zeros(3, dtype=np.int64), 3)


def test_arrays_that_do_not_fit_together_are_refused(words: Words) -> None:
    arrays = dict(words.arrays())
    with pytest.raises(ValueError, match="do not fit"):
        Words.of({**arrays, "idf": arrays["idf"][:-1]})
