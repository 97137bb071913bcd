"""Choosing by hidden states, and by these and words together."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline.adapters.learned.both import Both, mixed
from pipeline.adapters.learned.heads import Head
from pipeline.adapters.learned.words import Words
from pipeline.domain.errors import ModelError
from pipeline.domain.learned import Seen, choice_signals, classes_of
from tests.learning_cases import LABELS, tickets

ROWS = tickets("billing", "technical", "account")
TEXTS = [text for text, _ in ROWS]
CLASSES = classes_of([topic for _, topic in ROWS], LABELS)
WIDTH = len(LABELS) + 1


def states(noise: float, seed: int = 3) -> NDArray[np.float32]:
    """Hidden states that tell the class, but for noise."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(WIDTH, 32))
    return (centres[CLASSES] + noise * chance.normal(size=(len(CLASSES), 32))).astype(np.float32)


def own_shares() -> NDArray[np.float64]:
    """Return what the model says by itself: nothing."""
    return np.full((len(CLASSES), len(LABELS)), 1 / len(LABELS))


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.fit(states(1.0), own_shares(), CLASSES, WIDTH, c=0.01)


def test_a_head_chooses_by_hidden_states_where_the_model_knows_nothing(head: Head) -> None:
    seen = head.see(states(1.0, seed=9), own_shares(), ())
    assert np.mean(seen.shares.argmax(axis=1) == CLASSES) > 0.9
    assert np.allclose(seen.shares.sum(axis=1), 1.0)
    assert np.all(seen.shares[:, len(LABELS)] == 0.0), "no text without a label was seen"


def test_a_head_without_the_models_own_chances_works_too() -> None:
    none = np.zeros((len(CLASSES), 0))
    head = Head.fit(states(1.0), none, CLASSES, WIDTH, c=0.01)
    assert np.mean(head.see(states(1.0, seed=9), none, ()).shares.argmax(axis=1) == CLASSES) > 0.9


def test_a_head_from_before_there_were_states_halfway_up_looks_at_the_last_alone(head: Head) -> None:
    wider = np.column_stack([states(1.0, seed=9), states(50.0, seed=4)])
    assert np.array_equal(head.see(wider, own_shares(), ()).shares, head.see(wider[:, :32], own_shares(), ()).shares)


def test_a_head_on_far_more_numbers_than_texts_is_the_one_that_a_plain_fit_finds() -> None:
    wide = np.column_stack([states(1.0), *(states(3.0, seed=seed) for seed in range(10, 30))])[::4]
    classes, none = CLASSES[::4], np.zeros((len(wide), 0))
    assert wide.shape[1] > 2 * len(wide)
    even = (wide - wide.mean(axis=0)) / (wide.std(axis=0) + 1e-6)
    plain = LogisticRegression(C=0.01, max_iter=200).fit(even, classes).predict_proba(even)
    found = Head.fit(wide, none, classes, WIDTH, c=0.01).see(wide, none, ()).shares
    assert np.allclose(found[:, np.unique(classes)], plain, atol=5e-3)


def test_a_head_that_looks_at_more_than_the_model_shows_is_refused() -> None:
    wide = Head.fit(np.column_stack([states(1.0), states(1.0)]), own_shares(), CLASSES, WIDTH, c=0.01)
    with pytest.raises(ModelError, match="more of the model than it shows now: headrace learn JOB"):
        wide.see(states(1.0), own_shares(), ())


def test_a_strange_state_is_a_signal(head: Head) -> None:
    like = head.see(states(1.0, seed=9), own_shares(), ()).signals[:, -1]
    unlike = head.see(10.0 * states(1.0, seed=9), own_shares(), ()).signals[:, -1]
    assert unlike.min() > like.max()


def test_both_outlive_being_written_and_read(head: Head) -> None:
    words = Words.fit(TEXTS, CLASSES, WIDTH)
    both = Both(head=head, words=words, weight=0.5)
    again = Both.of(dict(both.arrays()))
    arguments = (states(1.0, seed=9), own_shares(), TEXTS)
    assert again.weight == 0.5
    assert np.allclose(again.see(*arguments).shares, both.see(*arguments).shares, atol=5e-3)
    assert np.all(np.isfinite(both.see(*arguments).signals))


def test_a_head_and_words_that_know_other_classes_are_refused(head: Head) -> None:
    words = Words.fit(TEXTS, CLASSES, WIDTH + 1)
    with pytest.raises(ValueError, match="know other classes"):
        Both.of(dict(Both(head=head, words=words, weight=0.5).arrays()))


def test_what_both_are_sure_of_is_surer_than_what_they_differ_in() -> None:
    def seen(*shares: tuple[float, ...]) -> Seen:
        found = np.array(shares)
        return Seen(shares=found, signals=np.column_stack([choice_signals(found), np.zeros((len(found), 2))]))

    found = mixed(seen((0.9, 0.1), (0.9, 0.1)), seen((0.8, 0.2), (0.2, 0.8)), 0.5)
    assert found.shares[0, 0] > found.shares[1, 0] > 0.5
    one = mixed(seen((0.9, 0.1)), seen((0.2, 0.8)), 1.0)
    assert one.shares[0] == pytest.approx([0.9, 0.1], abs=1e-4)


def test_states_of_one_class_teach_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to tell apart"):
        Head.fit(states(1.0)[:3], own_shares()[:3], np.zeros(3, dtype=np.int64), WIDTH, c=0.01)
