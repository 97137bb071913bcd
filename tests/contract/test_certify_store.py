"""Held answers wait for their certificate: drawn, decided, accepted or sent up; each act once, whoever does it."""

import math
from dataclasses import replace

import pytest

from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing, Promise, Refusal
from pipeline.domain.outcomes import AUDITED, DRAWN, LOW_CONFIDENCE, Escalation, Held, Outcome, Unresolved, Verdict
from pipeline.domain.runs import RunState
from pipeline.ports.store import JudgedChunk, RunRecord, Window
from tests.contract.store_cases import Rig, attempt, call, escalate, items, judge, make_job, places_of, tier

PROMISE = Promise(target=0.9, delta=0.1)
JOB = make_job(tiers=(tier("small"), tier("large")))
PLAN = Drawing(last=1, region=4, drawn=2, allowed=0, expected_avoided=0.5)
CONFIDENCES = (0.9, 0.8, 0.7, 0.6)
"""Of the four held items, by number; the fifth is sent up at once."""


def hold(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide
    """Hold what the small tier says, but for the fifth item of each five."""
    if tier_no:
        return Verdict()
    return Escalation(1, LOW_CONFIDENCE) if item_no % 5 == 4 else Held()


def answer_all(rig: Rig) -> None:
    """Answer everything open, with the confidences above."""
    while notices := rig.waiting():
        for notice in notices:
            claimed = rig.claim(notice.chunk_id)
            paid = call()
            attempts = tuple(
                attempt(place, hold(*place, claimed.tier_no), paid, confidence=(*CONFIDENCES, 0.1)[place[0] % 5])
                for place in places_of(claimed)
            )
            judged = JudgedChunk(claimed=claimed, policy_version=1, attempts=attempts, ledger=(paid,))
            assert rig.store.commit(judged).accepted


def at_rest(rig: Rig, texts: str = "abcde") -> tuple[RunRecord, Window]:
    run = rig.filled(texts, JOB)
    answer_all(rig)
    rig.store.settle(run.id)
    answer_all(rig)
    (window,) = rig.store.windows(run.id)
    return run, window


def certificate(threshold: float) -> Certificate:
    return Certificate(
        promise=PROMISE,
        items=5,
        region=4,
        drawn=2,
        lost=0,
        step=1,
        thresholds=(threshold,),
        goes_up=0.5,
        left_at_most=0.1,
    )


REFUSAL = Refusal(promise=PROMISE, items=5, drawn=2, lost=2, best_target=0.5, must_go_up=0.4)


AUDIT = Audited(audited=1, wrong=0, withdrawn=False, since=0)


def tiers_of(rig: Rig, run: RunRecord) -> list[str | None]:
    return [line.answers["mood"].tier for line in rig.store.results(run.id)]


def test_held_answers_keep_a_run_from_its_end_and_are_shown_as_pending(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert rig.store.settle(run.id) == (RunState.RUNNING, ())
    assert [line.answers["mood"].state for line in rig.store.results(run.id)] == ["pending"] * 4 + ["verdict"]
    assert (window.number, window.first_item, window.until_item, window.items) == (0, 0, 5, 5)
    held = rig.store.held(run.id, window)
    assert held.item_nos.tolist() == [0, 1, 2, 3]
    assert held.confidences.tolist() == list(CONFIDENCES)
    assert held.calibrated.tolist() == [False] * 4


def test_what_stays_without_an_answer_makes_no_room_for_mistakes(rig: Rig) -> None:
    run = rig.filled("abcde", JOB)
    rig.store.commit(judge(rig.claim_first(), lambda item_no, *_: Held() if item_no else Unresolved(LOW_CONFIDENCE)))
    answer_all(rig)
    rig.store.settle(run.id)
    answer_all(rig)
    (window,) = rig.store.windows(run.id)
    assert window.items == 4


def test_nothing_is_drawn_before_all_else_is_answered(rig: Rig) -> None:
    run = rig.filled("abcde", JOB)
    assert not rig.store.windows(run.id)
    rig.judge_next(hold)
    assert not rig.store.windows(run.id)


def test_what_is_drawn_goes_up_once_and_its_answers_are_found_side_by_side(rig: Rig) -> None:
    run, window = at_rest(rig)
    notices = rig.store.draw(run.id, window, PLAN, [1, 3])
    assert notices is not None
    assert sum(notice.items for notice in notices) == 2
    assert rig.store.draw(run.id, window, PLAN, [0, 2]) is None
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    assert (drawn.drawing, drawn.drawn) == (PLAN, (1, 3))
    found = rig.store.drawn_answers(run.id, drawn)
    assert [(one.item_no, one.tier_no, one.confidence) for one in found] == [(1, 0, 0.8), (3, 0, 0.6)]
    assert all(one.reference == one.answer for one in found)
    first = next(iter(list(rig.store.results(run.id))[1:]))
    assert first.answers["mood"].escalated_from == (("small", DRAWN),)


def test_a_drawn_item_without_a_verdict_has_no_reference(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1, 3])
    drawn = replace(window, drawing=PLAN, drawn=(1, 3))  # which no store hands out while they are with the reference
    assert [one.reference for one in rig.store.drawn_answers(run.id, drawn)] == [None, None]


def test_a_certificate_lets_stand_what_is_sure_enough_and_sends_the_rest_up(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1, 3])
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    notices = rig.store.conclude(run.id, drawn, certificate(0.75), hold=True)
    assert sum(notice.items for notice in notices or ()) == 1
    assert rig.store.conclude(run.id, drawn, certificate(0.0), hold=True) is None
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert tiers_of(rig, run) == ["small", "large", "large", "large", "large"]
    (done,) = rig.store.concluded(run.id)
    assert (done.decision, done.version, done.window) == (certificate(0.75), 2, drawn)


def test_a_confidence_that_is_exactly_the_threshold_stands(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.conclude(run.id, window, certificate(0.7), hold=True)
    answer_all(rig)
    assert tiers_of(rig, run) == ["small", "small", "small", "large", "large"]


def test_infinite_thresholds_let_nothing_stand(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.conclude(run.id, window, certificate(math.inf), hold=True)
    answer_all(rig)
    assert tiers_of(rig, run) == ["large"] * 5


def test_a_refused_promise_waits_for_a_person_and_retry_lets_all_go_up(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert rig.store.conclude(run.id, window, REFUSAL, hold=True) == ()
    held = rig.store.progress(run.id)
    assert held.state is RunState.HELD
    assert "headrace retry" in (held.reason or "")
    assert not rig.waiting()
    assert not rig.store.windows(run.id)
    assert rig.store.retry(run.id, unresolved=False) == 4
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert tiers_of(rig, run) == ["large"] * 5
    assert [one.decision for one in rig.store.concluded(run.id)] == [REFUSAL]


def test_a_refused_promise_may_send_all_up_at_once(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert sum(notice.items for notice in rig.store.conclude(run.id, window, REFUSAL, hold=False) or ()) == 4
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_what_comes_after_a_window_is_a_window_of_its_own(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.conclude(run.id, window, certificate(0.0), hold=True)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    rig.store.reopen_ingest(run.id)
    rig.store.add_rows(run.id, items("fgh", first=5), at=5, keyed=False)
    rig.store.finish_ingest(run.id)
    answer_all(rig)
    (second,) = rig.store.windows(run.id)
    assert (second.number, second.first_item, second.until_item, second.items) == (1, 5, 8, 3)
    rig.store.conclude(run.id, second, certificate(0.0), hold=True)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert [one.version for one in rig.store.concluded(run.id)] == [2, 3]


def test_items_that_come_while_a_window_is_with_the_reference_wait_for_the_next(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1, 3])
    rig.store.reopen_ingest(run.id)
    rig.store.add_rows(run.id, items("fg", first=5), at=5, keyed=False)
    rig.store.finish_ingest(run.id)
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    assert (drawn.number, drawn.until_item) == (0, 5)
    rig.store.conclude(run.id, drawn, certificate(0.0), hold=True)
    (second,) = rig.store.windows(run.id)
    assert (second.number, second.first_item, second.items) == (1, 5, 2)


@pytest.mark.parametrize("drawn_first", [False, True])
def test_a_run_that_is_cancelled_while_answers_are_held_goes_on_after_retry(rig: Rig, drawn_first: bool) -> None:  # noqa: FBT001 — a parameter
    run, window = at_rest(rig)
    if drawn_first:
        rig.store.draw(run.id, window, PLAN, [1, 3])
    rig.store.cancel(run.id)
    assert not rig.store.windows(run.id)
    rig.store.retry(run.id, unresolved=False)
    answer_all(rig)
    (now,) = rig.store.windows(run.id)
    assert (now.drawing is not None) is drawn_first
    rig.store.conclude(run.id, now, certificate(0.0), hold=True)
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_a_job_without_held_answers_has_no_windows(rig: Rig) -> None:
    run = rig.filled("ab", JOB)
    rig.store.commit(judge(rig.claim_first(), escalate))
    assert not rig.store.windows(run.id)
    rig.finish(run)
    assert not rig.store.windows(run.id)
    assert not rig.store.concluded(run.id)


def test_what_is_audited_goes_up_although_it_would_stand_and_what_came_of_it_is_kept_once(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1, 3])
    answer_all(rig)
    (drawn,) = rig.store.windows(run.id)
    notices = rig.store.conclude(run.id, drawn, certificate(0.0), hold=True, audited=[2])
    assert sum(notice.items for notice in notices or ()) == 1
    (asked,) = rig.store.audited_answers(run.id, drawn)
    assert (asked.item_no, asked.tier_no, asked.confidence, asked.reference) == (2, 0, 0.7, None)
    answer_all(rig)
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert tiers_of(rig, run) == ["small", "large", "large", "large", "large"]
    (answered,) = rig.store.audited_answers(run.id, drawn)
    assert answered.reference == answered.answer
    lines = list(rig.store.results(run.id))
    assert lines[2].answers["mood"].escalated_from == (("small", AUDITED),)
    assert [one.item_no for one in rig.store.drawn_answers(run.id, drawn)] == [1, 3]
    assert rig.store.keep_audit(run.id, drawn, AUDIT)
    assert not rig.store.keep_audit(run.id, drawn, Audited(audited=9, wrong=9, withdrawn=True, since=0))
    (done,) = rig.store.concluded(run.id)
    assert done.audit == AUDIT


def test_a_refused_promise_audits_nothing(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.conclude(run.id, window, REFUSAL, hold=False, audited=[2])
    answer_all(rig)
    assert rig.store.audited_answers(run.id, window) == []
    (done,) = rig.store.concluded(run.id)
    assert done.audit is None
