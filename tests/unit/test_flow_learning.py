"""What is learned is judged on texts that were not learned from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.domain.learned import Seen, choice_signals
from pipeline.flow.learning import LEAST_ROWS, Rows, better, clearly_worse, learn_choice, learn_confidence, order_of

CHANCE = np.random.default_rng(8)
CLASSES = CHANCE.integers(0, 3, 600)


class Reader:
    """Learns by heart what it is shown, and guesses all else: no figure of its own may come from what it was shown."""

    def __init__(self, *, sight: float) -> None:
        self._sight = sight
        self.taught: list[Rows] = []

    def __call__(self, rows: Rows):  # type: ignore[no-untyped-def]  # noqa: ANN204
        self.taught.append(rows)

        def look(asked: Rows) -> Seen:
            assert not np.intersect1d(rows, asked).size, "it is asked what it was taught"
            chance = np.random.default_rng(asked[0])
            shares = np.full((len(asked), 4), 0.05)
            sees = chance.random(len(asked)) < self._sight
            said = np.where(sees, CLASSES[asked], chance.integers(0, 3, len(asked)))
            shares[np.arange(len(asked)), said] = 0.85
            return Seen(shares=shares, signals=choice_signals(shares))

        return look


def test_every_text_is_answered_once_by_what_the_others_taught() -> None:
    reader = Reader(sight=0.7)
    taught = learn_choice({"only": reader}, CLASSES, None)
    held_out = [np.setdiff1d(np.arange(600), rows) for rows in reader.taught]
    assert sorted(np.concatenate(held_out).tolist()) == list(range(600))
    assert taught.figures.rows == 600
    assert taught.figures.accuracy == pytest.approx(0.7 + 0.3 / 3, abs=0.05)
    assert taught.figures.before is None


def test_the_better_way_is_taken() -> None:
    taught = learn_choice({"blind": Reader(sight=0.0), "sharp": Reader(sight=0.9)}, CLASSES, 0.25)
    assert taught.way == "sharp"
    assert taught.figures.before == 0.25


@pytest.mark.parametrize("power", [0.3, 4.0])
def test_a_way_is_no_better_or_worse_for_how_sharp_its_shares_are(power: float) -> None:
    def sharpened(fit: Reader):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def again(rows: Rows):  # type: ignore[no-untyped-def]  # noqa: ANN202
            look = fit(rows)

            def see(asked: Rows) -> Seen:
                shares = look(asked).shares ** power
                shares /= shares.sum(axis=1, keepdims=True)
                return Seen(shares=shares, signals=choice_signals(shares))

            return see

        return again

    worse, better_one = Reader(sight=0.6), Reader(sight=0.8)
    assert learn_choice({"worse": worse, "better": sharpened(better_one)}, CLASSES, None).way == "better"
    assert learn_choice({"worse": sharpened(worse), "better": better_one}, CLASSES, None).way == "better"


def test_being_sure_is_learned_from_how_often_it_was_right() -> None:
    right: NDArray[np.bool_] = np.random.default_rng(1).random(900) < 0.6
    taught = learn_confidence(np.full((900, 1), 4.0), right)
    assert taught.figures.accuracy == pytest.approx(0.6, abs=0.05)
    assert taught.figures.log_loss < taught.figures.plain_log_loss
    assert taught.figures.ece_excess < 0.02
    assert taught.curve(np.full((1, 1), 4.0))[0] == pytest.approx(0.6, abs=0.05)


def test_a_model_that_chooses_better_by_itself_keeps_its_choice() -> None:
    own = learn_confidence(np.full((600, 1), 2.0), np.random.default_rng(1).random(600) < 0.9)
    weak, strong = (learn_choice({"only": Reader(sight=sight)}, CLASSES, 0.9) for sight in (0.3, 1.0))
    assert better(weak, own) is own
    assert better(strong, own) is strong
    assert better(None, own) is own


@given(st.integers(1, 200), st.data())
def test_what_was_right_as_often_is_never_clearly_worse(drawn: int, data: st.DataObject) -> None:
    found = data.draw(st.integers(0, drawn))
    right = np.arange(drawn) < found
    assert not clearly_worse(right, than=found / drawn)


def test_a_few_answers_show_only_that_a_model_is_far_worse() -> None:
    assert clearly_worse(np.arange(100) < 57, than=0.85)
    assert not clearly_worse(np.arange(100) < 80, than=0.85)
    assert not clearly_worse(np.arange(5) < 3, than=0.85)


def test_few_texts_teach_nothing() -> None:
    with pytest.raises(ValueError, match="39 labelled texts are too few"):
        learn_choice({"only": Reader(sight=1.0)}, CLASSES[: LEAST_ROWS - 1], None)
    with pytest.raises(ValueError, match="1 labelled texts are too few"):
        learn_confidence(np.zeros((1, 1)), np.ones(1, dtype=np.bool_))


def test_copies_are_left_out_and_no_order_of_the_file_survives() -> None:
    texts = [f"text {number % 50}" for number in range(100)]
    order = order_of(texts)
    assert sorted(order) == list(range(50))
    assert order != sorted(order)
    back = texts[::-1]
    assert [back[number] for number in order_of(back)] == [texts[number] for number in order]
