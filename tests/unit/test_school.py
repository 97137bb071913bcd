"""What a head looks at: the whole of the model, or no further than halfway up where that teaches it as much."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.domain.learned import classes_of
from pipeline.wiring.school import School, View, pair
from tests.learning_cases import LABELS, tickets

ROWS = tickets("billing", "technical", "account")
CLASSES = classes_of([topic for _, topic in ROWS], LABELS)
LAST, FREEDOMS = 16, (0.01,)
NONSENSE = 1000.0


def told(noise: float, seed: int) -> NDArray[np.float32]:
    """Return states that tell the class, but for noise; shape (texts, 16)."""
    centres = np.random.default_rng(1).normal(size=(len(LABELS), LAST))
    return (centres[CLASSES] + noise * np.random.default_rng(seed).normal(size=(len(CLASSES), LAST))).astype(np.float32)


def school(last: float, mean: float, there: float) -> School:
    """Return a school whose last states, means halfway up and states there are so noisy; its words tell nothing."""
    states = np.column_stack([told(last, 2), told(mean, 3), told(there, 4)])
    shares = np.full((len(CLASSES), len(LABELS)), 1 / len(LABELS))
    texts = ["the same for all"] * len(CLASSES)
    return School(states=states, shares=shares, texts=texts, classes=CLASSES, width=len(LABELS) + 1, last=LAST)


def test_a_head_looks_no_further_than_halfway_up_where_that_tells_it_as_much() -> None:
    taught = school(last=1.0, mean=1.0, there=1.0)
    found = pair(taught, CLASSES, None, FREEDOMS)
    assert found.half
    seen = found.chooser.see(taught.states[:, LAST:], taught.shares[:, :0], taught.texts)
    assert np.mean(seen.shares.argmax(axis=1) == CLASSES) > 0.9
    assert found.taught.figures.accuracy > 0.9


@pytest.mark.parametrize(("mean", "stop"), [(NONSENSE, LAST), (1.2, 2 * LAST)])
def test_a_head_looks_at_the_whole_model_where_halfway_up_says_clearly_less(mean: float, stop: int) -> None:
    taught = school(last=1.2, mean=mean, there=NONSENSE)
    found = pair(taught, CLASSES, None, FREEDOMS)
    assert not found.half
    seen = found.chooser.see(taught.states[:, :stop], taught.shares, taught.texts)
    assert np.mean(seen.shares.argmax(axis=1) == CLASSES) > 0.9


def test_what_is_halfway_up_stands_behind_the_last_state_and_is_seen_without_shares() -> None:
    taught = school(last=1.0, mean=1.0, there=1.0)
    whole, both, half = taught.views
    assert (whole, both) == (View(0, LAST), View(0, 2 * LAST))
    states, shares = taught.seen(np.arange(5), half)
    assert np.array_equal(states, taught.states[:5, LAST:])
    assert shares.shape == (5, 0)


def test_states_with_nothing_behind_the_last_have_one_view() -> None:
    taught = school(last=1.0, mean=1.0, there=1.0)
    alone = School(states=taught.states[:, :LAST], shares=taught.shares, texts=(), classes=CLASSES, width=4, last=LAST)
    assert alone.views == (View(0, LAST),)
