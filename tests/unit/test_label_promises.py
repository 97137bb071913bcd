"""Promises about single labels: kept in every case that can be listed, and decided before anything is bought."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.label_promises import Answered, LabelPromise, What, draws_for, kept

ITEMS = 10
LABELS = ("fraud", "other")


def broken(promise: LabelPromise, rows: list[tuple[int, str, str]], drawn: set[int], step: int) -> bool:
    """Whether what stands at a step breaks a promise; rows are (accepted from, answer, reference)."""
    stand = [row for number, row in enumerate(rows) if row[0] <= step and number not in drawn]
    if promise.what == "recall":
        have = sum(reference == promise.label for _, _, reference in rows)
        lost = sum(answer != promise.label == reference for _, answer, reference in stand)
        return lost > (1 - promise.target) * have + 1e-9
    called = [reference for _, answer, reference in stand if answer == promise.label]
    mended = sum(rows[number][2] == promise.label for number in drawn)
    return sum(one != promise.label for one in called) > (1 - promise.target) * (len(called) + mended) + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=ITEMS, max_size=ITEMS
    ),
    st.integers(2, 7),
    st.sampled_from(["recall", "precision"]),
    st.sampled_from([0.9, 0.7, 0.5]),
    st.sampled_from([0.1, 0.3, 0.6]),
)
def test_over_all_draws_a_label_is_lost_no_more_often_than_delta(
    rows: list[tuple[int, str, str]], drawn: int, what: What, target: float, delta: float
) -> None:
    promise = LabelPromise(label="fraud", what=what, target=target, delta=delta)
    cases = list(combinations(range(ITEMS), drawn))
    failed = 0
    for case in cases:
        order = [*case, *(number for number in range(ITEMS) if number not in case)]
        answered = Answered(
            accepted_from=np.array([rows[number][0] for number in order]),
            labels=np.array([rows[number][1] for number in order], dtype=np.object_),
            references=[rows[number][2] for number in case],
        )
        found = kept(promise, answered, last=4)
        failed += found.step > 0 and broken(promise, rows, set(case), found.step)
    assert failed <= delta * len(cases) + 1e-9


def region(named: int, size: int) -> "np.ndarray[tuple[int], np.dtype[np.object_]]":
    return np.array(["fraud"] * named + ["other"] * (size - named), dtype=np.object_)


def many(size: int, drawn: int, missed: int) -> Answered:
    """Return a region, a third of it fraud, of whose drawn items some are fraud under another name."""
    labels = region(size // 3, size)
    references = ["fraud" if number < drawn // 3 + missed else "other" for number in range(drawn)]
    first = ["fraud"] * (drawn // 3) + ["other"] * (drawn - drawn // 3)
    return Answered(
        accepted_from=np.ones(size, dtype=np.int64),
        labels=np.array([*first, *labels[drawn:]], dtype=np.object_),
        references=references,
    )


def test_a_label_that_is_never_missed_is_kept_to_the_end_and_one_that_often_is_is_not() -> None:
    promise = LabelPromise(label="fraud", what="recall", target=0.9, delta=0.1)
    good = kept(promise, many(3000, 300, 0), last=1)
    assert (good.step, good.seen, good.lost) == (1, 100, 0)
    assert kept(promise, many(3000, 300, 40), last=1).step == 0


def test_a_rare_label_needs_more_draws_than_a_common_one_and_one_that_nobody_names_needs_too_many() -> None:
    promise = LabelPromise(label="fraud", what="recall", target=0.95, delta=0.1)
    common, rare = draws_for(promise, region(3000, 10_000)), draws_for(promise, region(100, 10_000))
    assert common is not None
    assert rare is not None
    assert common < 500
    assert rare > 5000
    assert draws_for(promise, region(0, 100)) is None


def test_precision_needs_draws_among_the_answers_of_that_label_only() -> None:
    promise = LabelPromise(label="fraud", what="precision", target=0.9, delta=0.1)
    needed = draws_for(promise, region(1000, 10_000))
    assert needed is not None
    assert 300 < needed < 500
