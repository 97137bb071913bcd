"""The label trie scores any set of labels soundly, and its search finds the exact winner."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.domain.errors import ConfigError
from pipeline.domain.trie import Branch, LabelTrie, Search, Tokens

SMALL_SETS = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=5).map(tuple), min_size=1, max_size=12, unique=True
)
UNICODE_SETS = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=12, unique=True).map(
    lambda labels: [tuple(label.encode("utf-8", "surrogatepass")) for label in labels]
)
LABEL_SETS = SMALL_SETS | UNICODE_SETS
LOGIT = st.floats(-50, 50, width=32) | st.sampled_from([float(np.float32(-1e30)), float(np.float32(1e30))])


class Oracle:
    """A model of our own: logits for any beginning of a label, drawn once."""

    def __init__(self, data: st.DataObject, labels: list[Tokens]) -> None:
        self.rows: dict[Tokens, dict[int, float]] = {}
        self.asked: list[Tokens] = []
        for path in {label[:depth] for label in labels for depth in range(len(label) + 1)}:
            following = sorted(
                {label[len(path)] for label in labels if len(label) > len(path) and label[: len(path)] == path}
            )
            self.rows[path] = {token: data.draw(LOGIT) for token in [*following, -1]}

    def logits(self, branch: Branch) -> tuple[NDArray[np.float32], float]:
        self.asked.append(branch.path)
        row = self.rows[branch.path]
        return np.array([row[token] for token in branch.tokens], dtype=np.float32), row[-1]

    def shares(self, branch: Branch) -> NDArray[np.float64]:
        return branch.shares(*self.logits(branch))

    def by_definition(self, label: Tokens, labels: list[Tokens]) -> float:
        """Multiply over the label's tokens and its end, wherever there is more than one way to go on."""
        score = 1.0
        for depth in range(len(label) + 1):
            path = label[:depth]
            ways = {other[depth] if len(other) > depth else -1 for other in labels if other[:depth] == path}
            if len(ways) > 1:
                top = max(self.rows[path][way] for way in ways)
                weights = {way: math.exp(self.rows[path][way] - top) for way in ways}
                score *= weights[label[depth] if len(label) > depth else -1] / sum(weights.values())
        return score


def trie_of(labels: Sequence[Tokens]) -> LabelTrie:
    return LabelTrie(labels, [str(label) for label in labels])


@given(labels=LABEL_SETS, data=st.data())
@settings(max_examples=150, deadline=None)
def test_scores_of_all_labels_sum_to_one_and_equal_their_definition(labels: list[Tokens], data: st.DataObject) -> None:
    oracle = Oracle(data, labels)
    scores = trie_of(labels).distribution(oracle.shares)
    assert scores.sum() == pytest.approx(1.0, abs=1e-9)
    assert scores == pytest.approx([oracle.by_definition(label, labels) for label in labels], abs=1e-9)


@given(labels=LABEL_SETS, data=st.data())
@settings(max_examples=150, deadline=None)
def test_search_finds_the_most_probable_label_and_its_exact_score(labels: list[Tokens], data: st.DataObject) -> None:
    oracle = Oracle(data, labels)
    trie = trie_of(labels)
    scores = trie.distribution(oracle.shares)
    oracle.asked.clear()
    search = Search(trie)
    while wanted := search.wanted():
        assert search.winner is None
        for number in wanted:
            search.score(number, *oracle.logits(trie.branches[number]))
    assert search.winner is not None
    label, score = search.winner
    assert score == pytest.approx(scores.max(), abs=1e-12)
    assert scores[label] == pytest.approx(scores.max(), abs=1e-12)
    assert len(set(oracle.asked)) == len(oracle.asked), "no branch is read twice"


def test_search_reads_only_what_can_still_win() -> None:
    labels = [(first, second) for first in range(10) for second in range(10)]
    trie = trie_of(labels)
    search = Search(trie)
    read = 0
    while wanted := search.wanted():
        for number in wanted:
            read += 1
            tokens = trie.branches[number].tokens
            search.score(number, np.array([20.0 if token == 3 else 0.0 for token in tokens]), 0.0)
    assert search.winner is not None
    assert labels[search.winner[0]] == (3, 3)
    assert read == 2


def test_worked_example_of_the_module() -> None:
    a, b, c, d = 1, 2, 3, 4
    shares = {(): {a: 0.6, d: 0.4}, (a,): {b: 0.9, c: 0.1}}
    trie = trie_of([(a, b), (a, c), (d,)])
    scores = trie.distribution(lambda branch: np.log([shares[branch.path][token] for token in branch.tokens]))
    assert scores == pytest.approx([0.54, 0.06, 0.40])


def test_a_label_that_is_the_prefix_of_another_competes_through_its_end() -> None:
    trie = trie_of([(1,), (1, 2)])
    assert trie.stem == (1,)
    assert [(branch.path, branch.tokens, branch.ends) for branch in trie.branches] == [((1,), (2,), 0)]
    scores = trie.distribution(lambda branch: branch.shares(np.array([math.log(0.2)]), math.log(0.6)))
    assert scores == pytest.approx([0.75, 0.25])


def test_a_long_label_is_not_punished_for_tokens_that_nothing_else_could_follow() -> None:
    trie = trie_of([(1, 5, 6, 7, 8, 9), (2,)])
    assert len(trie.branches) == 1
    scores = trie.distribution(lambda branch: branch.shares(np.array([1.0, 1.0]), 0.0))
    assert scores == pytest.approx([0.5, 0.5])


def test_a_single_label_is_certain_without_reading() -> None:
    search = Search(trie_of([(1, 2)]))
    assert search.wanted() == []
    assert search.winner == (0, 1.0)


def test_a_model_that_returns_no_numbers_prefers_nothing() -> None:
    branch = trie_of([(1,), (2,)]).branches[0]
    for row in ([math.nan, math.nan], [-math.inf, -math.inf]):
        assert np.exp(branch.shares(np.array(row), math.nan)) == pytest.approx([0.5, 0.5])
    assert np.exp(branch.shares(np.array([math.inf, 0.0]), 0.0)) == pytest.approx([1.0, 0.0])


def test_labels_that_are_the_same_tokens_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"'one'.*'two'.*reword"):
        LabelTrie([(1, 2), (1, 2)], ["one", "two"])
    with pytest.raises(ConfigError, match="no token"):
        LabelTrie([(1,), ()], ["one", "empty"])


def test_four_hundred_labels_build_and_are_all_reachable() -> None:
    labels = [tuple(f"label-{number}".encode()) for number in range(400)]
    trie = trie_of(labels)
    assert trie.stem == tuple(b"label-")
    scores = trie.distribution(lambda branch: branch.shares(np.zeros(len(branch.tokens)), 0.0))
    assert scores.sum() == pytest.approx(1.0)
    assert (scores > 0).all()
