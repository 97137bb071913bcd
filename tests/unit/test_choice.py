"""Choosing among labels: numbers that are none make no answer."""

import numpy as np
import pytest

from pipeline.adapters.llama.choice import ChoiceLane
from pipeline.adapters.llama.lanes import Extend
from pipeline.domain.trie import LabelTrie

TRIE = LabelTrie([(3,), (5,)], ["yes", "no"])
ENDS = np.array([0], dtype=np.int64)


@pytest.mark.parametrize(("value", "unsound"), [(np.nan, True), (-np.inf, True), (1.5, False)])
def test_a_model_whose_logits_are_no_numbers_gives_no_answer(value: float, unsound: bool) -> None:  # noqa: FBT001
    lane = ChoiceLane(TRIE, (1, 2), ENDS)
    assert lane.next() == Extend((1, 2))
    lane.take(0, np.full(8, value, dtype=np.float32))
    assert lane.next() is None
    assert lane.is_unsound is unsound
