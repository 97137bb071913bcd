"""People's labels: handed out, kept, shown in results, and what waited for them goes on."""

import pytest

from pipeline.domain.certify import Drawing
from pipeline.domain.outcomes import AUDITED, LOW_CONFIDENCE, Held, Unresolved
from pipeline.domain.runs import RunState
from pipeline.ports.labels import NewLabel, ToLabel, Which
from tests.contract.store_cases import MOOD, Rig, escalate, items, judge, make_job, resolve_nothing, tier
from tests.contract.test_certify_store import JOB, PLAN, REFUSAL, answer_all, at_rest, certificate

EVERYTHING = Drawing(last=1, region=5, drawn=3, allowed=0, expected_avoided=0.0)


def label(key: str, value: str | None = "positive", step_no: int = 0) -> NewLabel:
    return NewLabel(key=key, step_no=step_no, value=value)


def handed_out(rig: Rig, run_id: int, which: Which) -> list[ToLabel]:
    return list(rig.store.to_label(run_id, which))


def test_all_answers_of_a_window_may_be_drawn_and_only_held_ones_go_up(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert rig.store.answered(run.id, window).tolist() == [0, 1, 2, 3, 4]
    notices = rig.store.draw(run.id, window, EVERYTHING, [0, 2, 4])
    assert notices is not None
    assert sum(notice.items for notice in notices) == 2
    assert [(one.key, one.text) for one in handed_out(rig, run.id, "drawn")] == [("k0", "a"), ("k2", "c"), ("k4", "e")]
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    found = rig.store.labelled_answers(run.id, drawn)
    assert [(one.item_no, one.tier_no, one.confidence) for one in found] == [(0, 0, 0.9), (2, 0, 0.7), (4, None, None)]
    assert [one.answer is None for one in found] == [False, False, True]
    assert all(one.top is not None for one in found)
    assert not any(one.labelled for one in found)


def test_what_is_left_without_an_answer_is_no_answer_of_a_window(rig: Rig) -> None:
    run = rig.filled("abcde", JOB)
    rig.store.commit(judge(rig.claim_first(), lambda item_no, *_: Held() if item_no else Unresolved(LOW_CONFIDENCE)))
    answer_all(rig)
    rig.store.settle(run.id)
    answer_all(rig)
    (window,) = rig.store.windows(run.id)
    assert rig.store.answered(run.id, window).tolist() == [1, 2, 3, 4]
    assert window.items == 4


def test_values_of_held_answers_come_in_their_order(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert list(rig.store.held_values(run.id, window)) == ["neutral"] * 4


def test_a_run_that_waits_for_labels_goes_on_once_there_are_some(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, EVERYTHING, [0, 2, 4])
    answer_all(rig)
    assert rig.store.wait(run.id, "label them")
    assert not rig.store.wait(run.id, "again")
    held = rig.store.run(run.id)
    assert (held.state, held.reason) == (RunState.HELD, "label them")
    assert not rig.store.windows(run.id)
    assert rig.store.keep_labels(run.id, [label("k0"), label("k2", None)]).kept == 2
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert rig.store.run(run.id).reason is None
    (drawn,) = rig.store.windows(run.id)
    found = rig.store.labelled_answers(run.id, drawn)
    assert [(one.labelled, one.label) for one in found] == [(True, "positive"), (True, None), (False, None)]
    assert [one.key for one in handed_out(rig, run.id, "drawn")] == ["k4"]
    rig.store.conclude(run.id, drawn, certificate(0.0), hold=True)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert handed_out(rig, run.id, "drawn") == []


def test_labels_do_not_take_up_a_run_that_its_owner_has_paused(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, EVERYTHING, [0, 2, 4])
    answer_all(rig)
    assert rig.store.pause(run.id)
    rig.store.keep_labels(run.id, [label("k0")])
    assert rig.store.run(run.id).state is RunState.HELD
    assert rig.store.resume(run.id)


def test_labels_are_shown_in_place_of_answers_and_of_copies_too(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"])
    rig.finish(run)
    assert rig.store.keep_labels(run.id, [label("k0", "negative"), label("k1", None)]).kept == 2
    shown = [line.answers["mood"] for line in rig.store.results(run.id)]
    assert [(one.state, one.value, one.tier) for one in shown] == [
        ("verdict", "negative", "people"),
        ("verdict", None, "people"),
        ("verdict", "negative", "people"),
    ]
    assert all(one.confidence is None for one in shown)
    rig.store.keep_labels(run.id, [label("k0", "positive")])
    assert next(iter(rig.store.results(run.id))).answers["mood"].value == "positive"


def test_a_copys_key_labels_its_original(rig: Rig) -> None:
    run = rig.filled(["a", "a"])
    rig.finish(run)
    rig.store.keep_labels(run.id, [label("k1", "negative")])
    assert [line.answers["mood"].value for line in rig.store.results(run.id)] == ["negative", "negative"]


def test_keys_that_no_item_has_are_told_and_the_others_kept(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    done = rig.store.keep_labels(run.id, [label("nobody"), label("k1"), label("nobody", step_no=0)])
    assert (done.kept, done.unknown_keys) == (1, ("nobody",))
    assert rig.store.run(run.id).state is RunState.DONE


@pytest.mark.parametrize("value", [("a", "b"), {"order": "17", "dates": ("x",), "due": None}, None, "positive"])
def test_every_kind_of_label_comes_back_as_it_was(rig: Rig, value: object) -> None:
    run = rig.filled("a")
    rig.finish(run)
    rig.store.keep_labels(run.id, [NewLabel(key="k0", step_no=0, value=value)])  # type: ignore[arg-type]
    assert next(iter(rig.store.results(run.id))).answers["mood"].value == value


def test_the_unresolved_are_handed_out_until_they_are_labelled(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"], make_job(tiers=(tier("small"), tier("large"))))
    rig.finish(run, resolve_nothing)
    assert [(one.key, one.text, one.steps) for one in handed_out(rig, run.id, "unresolved")] == [
        ("k0", "a", (0,)),
        ("k1", "b", (0,)),
    ]
    rig.store.keep_labels(run.id, [label("k0")])
    assert [one.key for one in handed_out(rig, run.id, "unresolved")] == ["k1"]
    assert next(iter(rig.store.results(run.id))).answers["mood"].state == "verdict"


def test_what_was_audited_is_handed_out(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1, 3])
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    rig.store.conclude(run.id, drawn, certificate(0.0), hold=True, audited=[2])
    answer_all(rig)
    assert [one.key for one in handed_out(rig, run.id, "audited")] == ["k2"]
    lines = list(rig.store.results(run.id))
    assert [reason for _, reason in lines[2].answers["mood"].escalated_from] == [AUDITED]


def test_many_items_are_handed_out_page_by_page(rig: Rig) -> None:
    run = rig.open(make_job(tiers=(tier("small", chunk_items=3000), tier("large", chunk_items=3000))))
    rig.store.add_rows(run.id, items(f"text {number}" for number in range(2500)), at=0, keyed=False)
    rig.store.finish_ingest(run.id)
    rig.finish(run, resolve_nothing)
    keys = [one.key for one in handed_out(rig, run.id, "unresolved")]
    assert keys == [f"k{number}" for number in range(2500)]


def test_a_refused_promise_holds_its_run_again_after_it_was_taken_up_for_another_reason(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.conclude(run.id, window, REFUSAL, hold=True)
    assert not rig.store.hold_refused(run.id), "it is held already"
    rig.store.retry(run.id, unresolved=False)
    assert not rig.store.hold_refused(run.id), "what was refused went up"
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_a_run_taken_up_for_its_labels_is_held_again_for_what_was_refused(rig: Rig) -> None:
    both = make_job({**MOOD}, {**MOOD, "name": "tone"}, tiers=(tier("small"), tier("large")))
    run = rig.filled("abcde", both)
    answer_all(rig)
    rig.store.settle(run.id)
    answer_all(rig)
    refused, asked = rig.store.windows(run.id)
    assert rig.store.draw(run.id, asked, PLAN, [1, 3]) is not None
    answer_all(rig)
    rig.store.conclude(run.id, refused, REFUSAL, hold=True)
    assert rig.store.run(run.id).state is RunState.HELD
    assert rig.store.keep_labels(run.id, [label("k1", step_no=1), label("k3", step_no=1)]).kept == 2
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert not rig.store.hold_refused(run.id), "the other window is still to be decided"
    (drawn,) = rig.store.windows(run.id)
    assert drawn.step_no == asked.step_no
    rig.store.conclude(run.id, drawn, certificate(0.0), hold=True)
    assert rig.store.settle(run.id)[0] is RunState.RUNNING
    assert rig.store.hold_refused(run.id)
    held = rig.store.run(run.id)
    assert (held.state, "a promise cannot be kept" in (held.reason or "")) == (RunState.HELD, True)
    rig.store.retry(run.id, unresolved=False)
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_more_labels_than_a_statement_has_parameters_are_kept(rig: Rig) -> None:
    run = rig.open(make_job(tiers=(tier("small", chunk_items=4096), tier("large"))))
    rig.store.add_rows(run.id, items(f"text {number}" for number in range(20_000)), at=0, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.store.keep_labels(run.id, [label(f"k{number}") for number in range(20_000)]).kept == 20_000


def test_nothing_is_held_where_nothing_was_refused(rig: Rig) -> None:
    run = rig.filled("ab", JOB)
    rig.store.commit(judge(rig.claim_first(), escalate))
    assert not rig.store.hold_refused(run.id)
    run, _ = at_rest(rig)
    assert not rig.store.hold_refused(run.id), "its window is still to be drawn"
