"""Forgetting a key: nothing of it is left, all counts and costs stay true, and no worker brings it back."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.domain.answers import Label
from pipeline.domain.errors import ConfigError, RunNotFound
from pipeline.domain.runs import RunState
from pipeline.ports.labels import NewLabel
from pipeline.ports.store import RunRecord
from tests.contract.store_cases import (
    LONG_S,
    MOOD,
    TOPIC,
    Rig,
    call,
    escalate,
    item,
    items,
    judge,
    make_job,
    rejected,
    resolve_nothing,
    tier,
)
from tests.contract.test_certify_store import JOB as CERTIFIED
from tests.contract.test_certify_store import PLAN, answer_all, at_rest

ONE_BY_ONE = (tier("small", chunk_items=1), tier("large"))


def keys(rig: Rig, run: RunRecord) -> list[str]:
    return [line.key for line in rig.store.results(run.id)]


def with_copies(rig: Rig, *named: tuple[str, str]) -> RunRecord:
    """Return a run of (key, text) rows, its source read."""
    run = rig.open()
    rows = [item(text, key=key, line=number) for number, (key, text) in enumerate(named, 1)]
    rig.store.add_rows(run.id, rows, at=0, keyed=False)
    rig.store.finish_ingest(run.id)
    return run


def test_a_done_run_keeps_its_state_and_cost_and_loses_the_row(rig: Rig) -> None:
    run = rig.filled("abc")
    rig.finish(run)
    before = rig.store.progress(run.id)
    done = rig.store.forget(run.id, "k1")
    assert (done.items, done.copies, done.passed_on, done.attempts, done.verdicts) == (1, 0, 0, 1, 1)
    now = rig.store.progress(run.id)
    assert (now.items, now.forgotten, now.answered, now.asked) == (2, 1, 2, 2)
    assert (now.state, now.known_usd, now.calls, now.baseline_usd) == (
        *(RunState.DONE, before.known_usd, before.calls),
        before.baseline_usd,
    )
    assert keys(rig, run) == ["k0", "k2"]


@pytest.mark.parametrize("by", [["step"], ["tier"], ["step", "tier"]])
def test_costs_by_step_still_add_up_to_the_ledgers(rig: Rig, by: list[str]) -> None:
    run = rig.filled("abc", make_job(MOOD, TOPIC))
    rig.finish(run, escalate)
    before = rig.store.costs(run.id, by=by)
    rig.store.forget(run.id, "k0")
    after = rig.store.costs(run.id, by=by)
    assert after == before
    assert sum((row.known_usd for row in after.rows), Decimal(0)) == after.known_usd


def test_a_second_time_finds_nothing_and_a_dry_run_changes_nothing(rig: Rig) -> None:
    run = rig.filled("abc")
    rig.finish(run)
    counted = rig.store.forget(run.id, "k1", dry_run=True)
    assert keys(rig, run) == ["k0", "k1", "k2"]
    assert rig.store.forget(run.id, "k1") == counted
    assert rig.store.forget(run.id, "k1").items == 0
    assert rig.store.runs_with_key("k1") == []
    assert rig.store.progress(run.id).forgotten == 1


def test_runs_are_found_by_exactly_this_key(rig: Rig) -> None:
    first, second = rig.filled("ab"), rig.filled("b")
    assert rig.store.runs_with_key("k0") == [first.id, second.id]
    assert rig.store.runs_with_key("k1") == [first.id]
    assert rig.store.runs_with_key("K1") == []
    assert rig.store.runs_with_key("") == []
    with pytest.raises(RunNotFound):
        rig.store.forget(second.id + 1, "k0")


def test_an_open_question_is_not_asked_and_the_rest_of_its_chunk_is(rig: Rig) -> None:
    run = rig.filled("abc")
    assert rig.store.forget(run.id, "k1").chunks == 1
    claimed = rig.claim_first()
    assert (claimed.item_nos, claimed.texts) == ((0, 2), ("a", "c"))
    rig.store.commit(judge(claimed))
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_a_worker_who_holds_the_text_is_refused_paid_and_the_rest_is_asked_again(rig: Rig) -> None:
    run = rig.filled("abc")
    claimed = rig.claim_first()
    rig.store.forget(run.id, "k1")
    assert not rig.store.renew(claimed, lease_s=LONG_S)
    assert not rig.store.commit(judge(claimed, entry=call(cost_usd="0.5"))).accepted
    assert not rig.store.give_back(claimed, dead_after=1)
    again = rig.claim_first()
    assert (again.item_nos, again.claims) == ((0, 2), 1)
    rig.store.commit(judge(again, entry=call(cost_usd="0.25")))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    now = rig.store.progress(run.id)
    assert (now.known_usd, now.answered, now.forgotten) == (Decimal("0.75"), 2, 1)


def test_the_last_open_item_of_a_run_lets_it_end(rig: Rig) -> None:
    run = rig.filled("a")
    claimed = rig.claim_first()
    rig.store.forget(run.id, "k0")
    assert rig.waiting() == []
    assert not rig.store.commit(judge(claimed)).accepted
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert rig.store.claim(claimed.chunk_id, worker="w", lease_s=LONG_S) is None
    assert keys(rig, run) == []


def test_what_waits_for_a_higher_tier_is_not_asked_there(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=ONE_BY_ONE))
    for notice in rig.waiting():
        rig.store.commit(judge(rig.claim(notice.chunk_id), escalate))
    assert rig.store.forget(run.id, "k1").waiting == 1
    rig.store.settle(run.id)
    claimed = rig.claim_first()
    assert claimed.item_nos == (0, 2)
    rig.store.commit(judge(claimed, escalate))
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_a_text_that_another_key_has_passes_on_with_its_answer(rig: Rig) -> None:
    run = with_copies(rig, ("a", "same"), ("b", "same"), ("a", "same"), ("c", "same"), ("d", "other"))
    rig.store.keep_labels(run.id, [NewLabel(key="a", step_no=0, value="positive")])
    claimed = rig.claim_first()
    done = rig.store.forget(run.id, "a")
    assert (done.items, done.copies, done.passed_on, done.attempts, done.labels) == (2, 1, 2, 0, 0)
    assert claimed.texts == ("same", "other")
    assert rig.store.commit(judge(claimed)).accepted, "nothing that is asked has changed"
    assert rig.store.settle(run.id)[0] is RunState.DONE
    lines = list(rig.store.results(run.id))
    assert [(line.key, line.line, line.answers["mood"].value) for line in lines] == [
        ("b", 2, "positive"),
        ("c", 4, "positive"),
        ("d", 5, "neutral"),
    ]
    now = rig.store.progress(run.id)
    assert (now.items, now.duplicates, now.forgotten, now.answered) == (3, 1, 2, 3)
    assert rig.store.runs_with_key("b") == [run.id]


def test_a_copy_that_is_forgotten_leaves_its_original(rig: Rig) -> None:
    run = with_copies(rig, ("a", "same"), ("b", "same"))
    done = rig.store.forget(run.id, "b")
    assert (done.items, done.copies, done.passed_on, done.chunks) == (1, 1, 1, 0)
    assert rig.finish(run) is RunState.DONE
    assert keys(rig, run) == ["a"]
    assert rig.store.forget(run.id, "a").passed_on == 0
    assert keys(rig, run) == []
    assert rig.store.progress(run.id).duplicates == 0


def test_copies_with_the_same_key_go_with_their_original(rig: Rig) -> None:
    run = with_copies(rig, ("a", "same"), ("a", "same"), ("b", "other"))
    assert rig.finish(run) is RunState.DONE
    done = rig.store.forget(run.id, "a")
    assert (done.items, done.copies, done.passed_on, done.attempts) == (2, 1, 0, 1)
    assert keys(rig, run) == ["b"]


def test_a_text_that_was_forgotten_is_new_again(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("ab"), at=0, keyed=True)
    rig.store.forget(run.id, "k0")
    added = rig.store.add_rows(run.id, [item("a", key="k0"), item("a", key="z")], at=2, keyed=True)
    assert (added.items, added.duplicates, added.rejected) == (2, 1, 0)
    rig.store.finish_ingest(run.id)
    assert rig.finish(run) is RunState.DONE


def test_a_source_that_is_read_on_does_not_bring_it_back(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, [*items("ab"), rejected()], at=0, keyed=False)
    rig.store.forget(run.id, "k0")
    assert rig.store.run(run.id).rows_read == 3
    added = rig.store.add_rows(run.id, [*items("ab"), rejected(), *items("c", first=3)], at=0, keyed=False)
    assert added.items == 1
    rig.store.finish_ingest(run.id)
    assert rig.finish(run) is RunState.DONE
    assert keys(rig, run) == ["k1", "k3"]


def test_a_dead_letter_is_forgotten_and_its_run_can_be_done(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=ONE_BY_ONE))
    first, second = rig.waiting()
    rig.store.give_back(rig.claim(first.chunk_id), dead_after=1)
    rig.store.commit(judge(rig.claim(second.chunk_id)))
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    rig.store.forget(run.id, "k0")
    assert rig.store.dead(run.id) == []
    assert rig.store.requeue(run.id) == 0
    assert rig.store.retry(run.id, unresolved=True) == 0
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_cancelled_questions_are_not_taken_up_again(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.store.cancel(run.id)
    rig.store.forget(run.id, "k0")
    assert rig.store.retry(run.id, unresolved=True) == 1
    assert rig.claim_first().texts == ("b",)


def test_labels_and_unresolved_answers_go(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.finish(run, resolve_nothing)
    rig.store.keep_labels(run.id, [NewLabel(key="k0", step_no=0, value="positive")])
    done = rig.store.forget(run.id, "k0")
    assert (done.labels, done.attempts, done.verdicts) == (1, 2, 1)
    assert [one.key for one in rig.store.to_label(run.id, "unresolved")] == ["k1"]
    assert rig.store.keep_labels(run.id, [NewLabel(key="k0", step_no=0, value="negative")]).unknown_keys == ("k0",)
    assert rig.store.retry(run.id, unresolved=True) == 1


def test_a_held_answer_goes_and_its_window_is_one_smaller(rig: Rig) -> None:
    run, window = at_rest(rig)
    done = rig.store.forget(run.id, "k1")
    assert (done.attempts, done.drawings) == (1, 0)
    assert rig.store.draw(run.id, window, PLAN, [1, 2]) is None, "the window is not what it was"
    (now,) = rig.store.windows(run.id)
    assert now.items == window.items - 1
    assert rig.store.held(run.id, now).item_nos.tolist() == [0, 2, 3]
    assert rig.store.answered(run.id, now).tolist() == [0, 2, 3, 4]


def test_a_window_that_was_drawn_is_drawn_again(rig: Rig) -> None:
    run, window = at_rest(rig)
    assert rig.store.draw(run.id, window, PLAN, [1, 2]) is not None
    answer_all(rig)
    assert rig.store.forget(run.id, "k1").drawings == 1
    (now,) = rig.store.windows(run.id)
    assert (now.drawing, now.number, now.items) == (None, 0, 4)
    assert rig.store.held(run.id, now).item_nos.tolist() == [0, 3]
    assert rig.store.draw(run.id, now, replace(PLAN, region=2, drawn=1), [0]) is not None
    answer_all(rig)
    (again,) = rig.store.windows(run.id)
    assert [one.item_no for one in rig.store.drawn_answers(run.id, again)] == [0]


def test_a_run_that_waits_for_the_label_of_a_forgotten_text_goes_on(rig: Rig) -> None:
    run, window = at_rest(rig)
    rig.store.draw(run.id, window, PLAN, [1])
    answer_all(rig)
    rig.store.wait(run.id, "1 drawn texts wait for labels: …")
    rig.store.forget(run.id, "k1")
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert CERTIFIED.tiers[0].name == "small"


def test_a_run_paused_by_hand_stays_paused(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.store.pause(run.id)
    rig.store.forget(run.id, "k0")
    assert rig.store.run(run.id).state is RunState.HELD
    rig.store.resume(run.id)
    assert rig.finish(run) is RunState.DONE


def test_answers_that_are_left_are_those_that_were(rig: Rig) -> None:
    run = rig.filled("abcdef", make_job(MOOD, TOPIC))
    rig.finish(run, escalate)
    before = {line.key: line for line in rig.store.results(run.id)}
    rig.store.forget(run.id, "k2")
    after = {line.key: line for line in rig.store.results(run.id)}
    assert after == {key: line for key, line in before.items() if key != "k2"}
    assert Label("neutral").value == after["k0"].answers["mood"].value


def test_texts_of_runs_that_ended_long_ago_go_and_their_answers_stay(rig: Rig) -> None:
    old, open_run = rig.filled("abc"), rig.filled("d", make_job(name="open"))
    for notice in rig.waiting():
        if notice.run_name == old.name:
            rig.store.commit(judge(rig.claim(notice.chunk_id)))
    assert rig.store.settle(old.id)[0] is RunState.DONE
    assert rig.store.erase_texts(ended_for_s=60.0).texts == 0
    before = list(rig.store.results(old.id))
    erased = rig.store.erase_texts(ended_for_s=0.0)
    assert (erased.texts, erased.runs, erased.more) == (3, (old.name,), False)
    assert rig.store.erase_texts(ended_for_s=0.0).texts == 0
    assert list(rig.store.results(old.id)) == before
    assert rig.claim_first().run_id == open_run.id


def test_so_many_texts_are_erased_at_a_time(rig: Rig) -> None:
    run = rig.filled("abc")
    rig.finish(run)
    assert rig.store.erase_texts(ended_for_s=0.0, limit=2).more
    erased = rig.store.erase_texts(ended_for_s=0.0, limit=2)
    assert (erased.texts, erased.runs, erased.more) == (1, (run.name,), False)


def test_what_has_no_text_any_more_is_not_asked_again(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=ONE_BY_ONE))
    rig.judge_next()
    rig.store.cancel(run.id)
    rig.store.erase_texts(ended_for_s=0.0)
    with pytest.raises(ConfigError, match="HEADRACE_KEEP_TEXT_DAYS"):
        rig.store.retry(run.id, unresolved=False)
    assert rig.store.run(run.id).state is RunState.CANCELLED


def test_unresolved_questions_without_a_text_stay_so(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.finish(run, resolve_nothing)
    rig.store.erase_texts(ended_for_s=0.0)
    with pytest.raises(ConfigError, match="erased"):
        rig.store.retry(run.id, unresolved=True)
    assert rig.store.run(run.id).state is RunState.DONE
    assert list(rig.store.to_label(run.id, "unresolved")) == []
    assert rig.store.retry(run.id, unresolved=False) == 0
    rig.store.reopen_ingest(run.id)
    rig.store.add_new(run.id, items("abc"))
    rig.store.finish_ingest(run.id)
    assert rig.finish(run, resolve_nothing) is RunState.DONE
    assert [one.text for one in rig.store.to_label(run.id, "unresolved")] == ["c"]
    assert rig.store.retry(run.id, unresolved=True) == 1, "the new one is"
    assert rig.finish(run, resolve_nothing) is RunState.DONE
    assert rig.store.erase_texts(ended_for_s=0.0).texts == 1


def test_a_dead_letter_without_a_text_is_shown_so_and_not_asked_again(rig: Rig) -> None:
    run = rig.filled("a")
    rig.store.give_back(rig.claim_first(), dead_after=1)
    rig.store.settle(run.id)
    rig.store.erase_texts(ended_for_s=0.0)
    assert [(one.key, one.text) for one in rig.store.dead(run.id)] == [("k0", "")]
    with pytest.raises(ConfigError, match="erased"):
        rig.store.requeue(run.id, [0])


def test_a_key_is_forgotten_after_its_text_was_erased(rig: Rig) -> None:
    run = rig.filled("ab")
    rig.finish(run)
    rig.store.erase_texts(ended_for_s=0.0)
    rig.store.forget(run.id, "k0")
    rig.store.vacuum()
    assert keys(rig, run) == ["k1"]
