"""Promises held against people's labels: drawn from the whole run, waited for, and kept though the last tier errs."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.certify import Certificate, Path, Promise, Refusal
from pipeline.domain.job import Job
from pipeline.domain.runs import RunState
from pipeline.flow.certify import advance
from pipeline.flow.people import _decision, _Seen
from pipeline.ports.labels import NewLabel
from pipeline.ports.store import Window
from tests.contract.store_cases import make_job
from tests.unit.test_flow_certify import STEP, Say, Whole, target_job, texts_of, truth, weak


def people_job(agreement: float = 0.85, **target: Any) -> Job:  # noqa: ANN401 — whatever a [target] takes
    return target_job(agreement, reference="labels", sample=200, **target)


def labelled(whole: Whole, label: Say = truth) -> tuple[str, ...]:
    """Label all that is asked for, and decide by it."""
    asked = list(whole.store.to_label(whole.run.id, "drawn"))
    new = [NewLabel(key=one.key, step_no=step, value=label(one.text)[0]) for one in asked for step in one.steps]
    whole.store.keep_labels(whole.run.id, new)
    said = advance(whole.store, whole.store.run(whole.run.id)).said
    whole.store.settle(whole.run.id)
    return said


def test_a_run_waits_for_labels_and_keeps_its_promise_by_them() -> None:
    whole = Whole(people_job(), [weak(0.2), weak(0.05, 1)], texts_of(2000))
    assert whole.work() is RunState.HELD
    reason = whole.store.run(whole.run.id).reason or ""
    assert "200 drawn texts wait for labels" in reason
    assert f"headrace labels export {whole.run.name}" in reason
    (said,) = labelled(whole)
    assert "at least 85.0% of 2,000 answers agree with people's labels" in said
    assert whole.work() is RunState.DONE
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Certificate)
    assert done.decision.drawn == 200
    assert whole.wrong() <= 300
    answers = [line.answers["mood"] for line in whole.store.results(whole.run.id)]
    assert sum(one.tier == "people" for one in answers) == 200
    assert all(one.value == "right" for one in answers if one.tier == "people")
    assert 0.2 < done.decision.goes_up < 0.9
    asked = whole.engines[1].asked
    assert len(asked) == len(set(asked)), "no answer of the last tier is bought twice"


def test_the_promise_holds_in_as_many_runs_as_it_says() -> None:
    broken = certified = 0
    for seed in range(60):
        whole = Whole(people_job(), [weak(0.3, seed), weak(0.08, seed + 1000)], texts_of(500))
        whole.work()
        labelled(whole)
        if whole.work() is RunState.DONE:
            certified += 1
            broken += whole.wrong() > 75
    assert certified > 40
    assert broken <= 11  # 6 are expected at most; 11 or fewer of 60 with probability .98


ITEMS, STEPS = 8, 4
PATH = Path(thresholds=((float("inf"),), (0.9,), (0.6,), (0.3,)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, STEPS), st.booleans(), st.booleans()), min_size=ITEMS, max_size=ITEMS),
    st.integers(2, 6),
    st.sampled_from([0.9, 0.75, 0.5]),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_over_all_draws_the_promise_is_broken_no_more_often_than_delta(
    rows: list[tuple[int, bool, bool]], drawn: int, target: float, delta: float
) -> None:
    promise = Promise(target=target, delta=delta)
    window = Window(step_no=0, number=0, first_item=0, until_item=ITEMS, items=ITEMS)
    entries = np.array([row[0] for row in rows])
    cheap_wrong, top_wrong = (np.array([row[which] for row in rows]) for which in (1, 2))
    broken = 0
    cases = list(itertools.combinations(range(ITEMS), drawn))
    for case in cases:
        chosen, others = list(case), [number for number in range(ITEMS) if number not in case]
        seen = _Seen(
            steps=STEPS,
            entries=entries[chosen],
            cheap=("",) * drawn,
            top=("",) * drawn,
            label=("",) * drawn,
            cheap_wrong=cheap_wrong[chosen],
            top_wrong=top_wrong[chosen],
        )
        found = _decision(promise, PATH, seen, (), entries[others][:, None], window)
        if isinstance(found, Certificate):
            wrong = int(np.where(entries <= found.step, cheap_wrong, top_wrong).sum())
            broken += wrong > promise.budget(ITEMS)
    assert broken <= delta * len(cases) + 1e-9


def test_a_last_tier_that_is_not_right_often_enough_is_refused() -> None:
    whole = Whole(people_job(0.95), [weak(0.2), weak(0.2, 1)], texts_of(1000))
    whole.work()
    (said,) = labelled(whole)
    assert whole.store.run(whole.run.id).state is RunState.HELD
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Refusal)
    assert 0.7 < done.decision.best_target < 0.9
    assert "take a better last tier" in said
    whole.store.retry(whole.run.id, unresolved=False)
    assert whole.work() is RunState.DONE


def test_labels_that_are_still_missing_are_waited_for() -> None:
    whole = Whole(people_job(), [weak(0.2), truth], texts_of(1000))
    whole.work()
    first, *others = whole.store.to_label(whole.run.id, "drawn")
    whole.store.keep_labels(whole.run.id, [NewLabel(key=first.key, step_no=0, value="right")])
    assert whole.store.run(whole.run.id).state is RunState.RUNNING
    (said,) = advance(whole.store, whole.store.run(whole.run.id)).said
    assert "199 drawn texts wait" in said
    assert whole.store.run(whole.run.id).state is RunState.HELD
    assert len(others) == 199
    assert [one.key for one in whole.store.to_label(whole.run.id, "drawn")] == [one.key for one in others]


def test_steps_of_one_job_are_labelled_on_the_same_texts() -> None:
    job = make_job(STEP, {**STEP, "name": "topic"}, tiers=people_job().model_dump(mode="json")["tiers"])
    both = Job.model_validate(
        {**job.model_dump(mode="json"), "target": {"agreement": 0.8, "reference": "labels", "sample": 100}}
    )
    whole = Whole(both, [weak(0.2), truth], texts_of(600))
    whole.work()
    asked = list(whole.store.to_label(whole.run.id, "drawn"))
    assert len(asked) == 100
    assert all(one.steps == (0, 1) for one in asked)
    assert len(labelled(whole)) == 2
    assert whole.work() is RunState.DONE


def test_a_label_none_fits_makes_every_answer_wrong() -> None:
    whole = Whole(people_job(), [weak(0.0), truth], texts_of(400))
    whole.work()
    asked = list(whole.store.to_label(whole.run.id, "drawn"))
    whole.store.keep_labels(whole.run.id, [NewLabel(key=one.key, step_no=0, value=None) for one in asked])
    advance(whole.store, whole.store.run(whole.run.id))
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Refusal)
    assert done.decision.lost == 200


def test_an_audit_by_the_last_tier_is_refused_where_labels_are_the_reference() -> None:
    with pytest.raises(ValueError, match="leave audit out"):
        people_job(audit=0.01)


def naming(rate: float, seed: int, share: float = 0.3) -> tuple[Say, Say]:
    """Return a tier, and what is right: a share of the texts is called `wrong`, and the tier misses some of these."""
    answer, right = weak(rate, seed), weak(share / 2, seed + 1)

    def truly(text: str) -> tuple[str, float]:
        return right(text)[0], 1.0

    def say(text: str) -> tuple[str, float]:
        doubtful, score = answer(text)
        said = right(text)[0]
        return ("right" if doubtful == "wrong" else said), score

    return say, truly


@pytest.mark.parametrize("reference", ["top", "labels"])
def test_a_promise_for_one_label_sends_more_up_than_the_whole_needs(reference: str) -> None:
    small, right = naming(0.2, 3)
    extra: dict[str, Any] = {"reference": reference, **({"sample": 400} if reference == "labels" else {})}
    asked = {"wrong": {"recall": 0.9}}
    ups = []
    for labels in ({}, asked):
        whole = Whole(target_job(0.85, labels=labels, **extra), [small, right], texts_of(6000))
        whole.work()
        if reference == "labels":
            labelled(whole, right)
        assert whole.work() is RunState.DONE
        (done,) = whole.store.concluded(whole.run.id)
        assert isinstance(done.decision, Certificate)
        ups.append(done.decision.goes_up)
        if labels:
            (one,) = done.decision.labels
            assert (one.label, one.what, one.target) == ("wrong", "recall", 0.9)
            lines = [(line, right(f"text {line.line - 1}")[0]) for line in whole.store.results(whole.run.id)]
            have = [line for line, truly in lines if truly == "wrong"]
            assert sum(line.answers["mood"].value == "wrong" for line in have) >= 0.9 * len(have)
    assert ups[1] > ups[0]


def test_a_promise_for_a_label_that_would_need_nearly_all_to_be_drawn_is_refused_before_anything_is_bought() -> None:
    small, right = naming(0.2, 3, share=0.02)
    whole = Whole(target_job(0.9, labels={"wrong": {"recall": 0.95}}), [small, right], texts_of(1000))
    assert whole.work() is RunState.HELD
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Refusal)
    assert done.decision.drawn == 0
    assert whole.engines[1].asked == []
    assert "what is asked of its labels cannot be promised" in whole.said[-1]
    assert "recall of wrong at least 95.0%" in whole.said[-1]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"fraud": {"recall": 0.9}}, "has the label 'fraud'"),
        ({"wrong": {}}, "write recall, precision or both"),
        ({"wrong": {"recall": 1.2}}, "less than 1"),
    ],
)
def test_a_promise_for_a_label_that_cannot_be_meant_is_refused(labels: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        target_job(0.9, labels=labels)
