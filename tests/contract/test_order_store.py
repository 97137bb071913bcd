"""Cancel and retry: what people order of a run."""

from pipeline.domain.answers import Defect, Label
from pipeline.domain.outcomes import LOW_CONFIDENCE, Outcome, Unresolved, Verdict
from pipeline.domain.runs import RunState, StepResult
from pipeline.ports.store import JudgedChunk, RunRecord
from tests.contract.store_cases import (
    LONG_S,
    MOOD,
    TOPIC,
    Rig,
    accept,
    attempt,
    call,
    escalate,
    items,
    judge,
    make_job,
    malformed,
    resolve_nothing,
    tier,
)

ONE_BY_ONE = (tier("small", chunk_items=1), tier("large"))


def first_answer(rig: Rig, run: RunRecord, step: str = "mood") -> StepResult:
    return next(iter(rig.store.results(run.id))).answers[step]


def test_cancel_says_how_many_chunks_were_open(rig: Rig) -> None:
    run = rig.filled("abc", make_job(tiers=ONE_BY_ONE))
    rig.judge_next()
    rig.claim_first()
    assert rig.store.cancel(run.id) == 2
    assert rig.store.run(run.id).state is RunState.CANCELLED


def test_a_cancelled_runs_chunks_cannot_be_claimed(rig: Rig) -> None:
    run = rig.filled("a")
    chunk_id = rig.waiting()[0].chunk_id
    rig.store.cancel(run.id)
    assert rig.store.claim(chunk_id, worker="w", lease_s=LONG_S) is None


def test_what_a_worker_brings_after_the_cancel_is_paid_and_not_recorded(rig: Rig) -> None:
    run = rig.filled("a")
    claimed = rig.claim_first()
    rig.store.cancel(run.id)
    assert not rig.store.commit(judge(claimed)).accepted
    progress = rig.store.progress(run.id)
    assert (progress.answered, progress.calls) == (0, 1)


def test_cancel_keeps_what_was_answered(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=ONE_BY_ONE))
    rig.judge_next()
    rig.store.cancel(run.id)
    assert [line.answers["mood"].state for line in rig.store.results(run.id)] == ["verdict", "pending"]


def test_a_run_that_ended_is_not_cancelled(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run)
    assert rig.store.cancel(run.id) == 0
    assert rig.store.run(run.id).state is RunState.DONE


def test_cancelling_twice_is_cancelling_once(rig: Rig) -> None:
    run = rig.filled("a")
    assert rig.store.cancel(run.id) == 1
    assert rig.store.cancel(run.id) == 0


def test_a_cancelled_run_is_taken_up_again_by_retry(rig: Rig) -> None:
    run = rig.filled("abc", make_job(MOOD, TOPIC, tiers=ONE_BY_ONE))
    rig.judge_next()
    rig.store.cancel(run.id)
    assert rig.store.retry(run.id, unresolved=False) == 4
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert rig.finish(run) is RunState.DONE
    assert rig.store.progress(run.id).answered == 6


def test_a_run_cancelled_while_its_source_was_read_goes_back_to_reading(rig: Rig) -> None:
    run = rig.open()
    rig.store.add_rows(run.id, items("a"), at=0, keyed=False)
    rig.store.cancel(run.id)
    rig.store.retry(run.id, unresolved=False)
    assert rig.store.run(run.id).state is RunState.INGESTING
    rig.store.add_rows(run.id, items("b", first=1), at=1, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.finish(run) is RunState.DONE


def test_escalations_that_waited_at_the_cancel_go_on_after_retry(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=ONE_BY_ONE))
    rig.judge_next(escalate)
    rig.store.cancel(run.id)
    rig.store.retry(run.id, unresolved=False)
    assert rig.finish(run, escalate) is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].verdicts["large"] == 2


def test_a_worker_from_before_the_cancel_cannot_commit_after_retry(rig: Rig) -> None:
    run = rig.filled("a")
    old = rig.claim_first()
    rig.store.cancel(run.id)
    rig.store.retry(run.id, unresolved=False)
    assert not rig.store.commit(judge(old)).accepted
    again = rig.claim_first()
    assert not rig.store.renew(old, lease_s=LONG_S)
    assert rig.store.commit(judge(again)).accepted


def test_a_dead_chunk_begins_anew_after_retry(rig: Rig) -> None:
    run = rig.filled("a")
    assert rig.store.give_back(rig.claim_first(), dead_after=1)
    rig.store.settle(run.id)
    assert rig.store.retry(run.id, unresolved=False) == 1
    record = rig.store.run(run.id)
    assert (record.state, record.reason) == (RunState.RUNNING, None)
    again = rig.claim_first()
    assert again.claims == 1
    rig.store.commit(judge(again))
    assert rig.store.settle(run.id)[0] is RunState.DONE


def test_one_dead_letter_is_asked_again_and_another_is_left(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small", chunk_items=1)]))
    for notice in rig.waiting():
        assert rig.store.give_back(rig.claim(notice.chunk_id), dead_after=1)
    rig.store.settle(run.id)
    assert rig.store.requeue(run.id, [1]) == 1
    assert rig.store.run(run.id).state is RunState.RUNNING
    again = rig.claim_first()
    assert (again.item_nos, again.claims) == ((1,), 1)
    rig.store.commit(judge(again))
    assert rig.store.settle(run.id)[0] is RunState.FAILED
    assert [one.item_no for one in rig.store.dead(run.id)] == [0]
    assert rig.store.requeue(run.id) == 1
    rig.store.commit(judge(rig.claim_first()))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    assert (rig.store.dead(run.id), rig.store.requeue(run.id)) == ([], 0)


def test_a_paused_run_begins_nothing_keeps_what_is_being_answered_and_goes_on(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("small", chunk_items=1)]))
    first, second = rig.waiting()
    claimed = rig.claim(first.chunk_id)
    assert rig.store.pause(run.id)
    assert not rig.store.pause(run.id)
    assert rig.store.run(run.id).state is RunState.HELD
    assert rig.store.claim(second.chunk_id, worker="w2", lease_s=LONG_S) is None
    assert rig.waiting() == []
    assert rig.store.commit(judge(claimed)).accepted
    assert rig.store.settle(run.id)[0] is RunState.HELD
    assert rig.store.resume(run.id)
    assert not rig.store.resume(run.id)
    assert rig.finish(run) is RunState.DONE


def test_a_run_paused_while_its_source_is_read_is_read_on_and_waits(rig: Rig) -> None:
    run = rig.open(make_job(tiers=[tier("small", chunk_items=1)]))
    rig.store.add_rows(run.id, items("a"), at=0, keyed=False)
    assert rig.store.pause(run.id)
    rig.store.add_rows(run.id, items("b", first=1), at=1, keyed=False)
    rig.store.finish_ingest(run.id)
    assert rig.store.run(run.id).state is RunState.HELD
    rig.store.resume(run.id)
    assert rig.store.run(run.id).state is RunState.RUNNING
    assert rig.finish(run) is RunState.DONE


def test_what_holds_a_run_for_another_reason_is_not_resumed(rig: Rig) -> None:
    run = rig.filled("a")
    rig.store.cancel(run.id)
    assert not rig.store.resume(run.id)
    assert not rig.store.pause(run.id)


def test_retry_of_a_done_run_changes_nothing(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, resolve_nothing)
    assert rig.store.retry(run.id, unresolved=False) == 0
    assert rig.store.run(run.id).state is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].unresolved == 1


def test_retry_of_a_done_run_without_unresolved_changes_nothing(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run)
    assert rig.store.retry(run.id, unresolved=True) == 0
    assert rig.store.run(run.id).state is RunState.DONE


def test_the_unresolved_are_asked_again_at_the_top_tier_only(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"], make_job(MOOD, TOPIC))

    def unsure_of_topic(item_no: int, step_no: int, tier_no: int) -> Outcome:
        return resolve_nothing(item_no, step_no, tier_no) if step_no else accept(item_no, step_no, tier_no)

    assert rig.finish(run, unsure_of_topic) is RunState.DONE
    assert rig.store.retry(run.id, unresolved=True) == 2
    assert rig.store.run(run.id).state is RunState.RUNNING
    claimed = rig.claim_first()
    assert (claimed.tier_no, claimed.generation) == (1, 1)
    assert (claimed.item_nos, claimed.step_masks, claimed.texts) == ((0, 1), (0b10, 0b10), ("a", "b"))
    rig.store.commit(judge(claimed))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    topic = rig.store.progress(run.id).steps["topic"]
    assert (topic.verdicts["large"], topic.unresolved) == (3, 0)


def test_what_is_asked_again_is_pending_meanwhile(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, resolve_nothing)
    rig.store.retry(run.id, unresolved=True)
    assert first_answer(rig, run).state == "pending"
    assert rig.store.progress(run.id).answered == 0


def test_an_answer_of_the_second_time_keeps_its_way_up(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, resolve_nothing)
    rig.store.retry(run.id, unresolved=True)
    rig.finish(run)
    answer = first_answer(rig, run)
    assert (answer.state, answer.tier, answer.reason) == ("verdict", "large", None)
    assert answer.escalated_from == (("small", LOW_CONFIDENCE),)


def test_a_step_with_its_own_ladder_is_asked_again_at_its_own_top(rig: Rig) -> None:
    run = rig.filled("a", make_job({**MOOD, "ladder": ["small"]}, TOPIC))

    def never(item_no: int, step_no: int, tier_no: int) -> Outcome:
        return resolve_nothing(item_no, step_no, tier_no) if step_no else Unresolved(LOW_CONFIDENCE)

    rig.finish(run, never)
    assert rig.store.retry(run.id, unresolved=True) == 2
    claims = [rig.claim(notice.chunk_id) for notice in rig.waiting()]
    assert sorted((claimed.tier_no, claimed.step_masks) for claimed in claims) == [(0, (0b01,)), (1, (0b10,))]


def test_what_stays_unresolved_can_be_asked_a_third_time(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, resolve_nothing)
    for generation in (1, 2):
        assert rig.store.retry(run.id, unresolved=True) == 1
        claimed = rig.claim_first()
        assert claimed.generation == generation
        rig.store.commit(judge(claimed, resolve_nothing))
        assert rig.store.settle(run.id)[0] is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].unresolved == 1


def test_a_useless_second_answer_does_not_hide_the_better_first(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("large")]))
    entry = call()
    weak = attempt((0, 0), Unresolved(LOW_CONFIDENCE), entry, answer=Label("negative"), confidence=0.25)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(weak,), ledger=(entry,)))
    rig.store.settle(run.id)
    rig.store.retry(run.id, unresolved=True)
    entry = call()
    useless = attempt((0, 0), Unresolved(Defect.CUT_OFF), entry, answer=malformed(Defect.CUT_OFF), confidence=None)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(useless,), ledger=(entry,)))
    assert rig.store.settle(run.id)[0] is RunState.DONE
    answer = first_answer(rig, run)
    assert (answer.state, answer.value, answer.confidence, answer.reason) == ("unresolved", "negative", 0.25, "cut_off")


def test_many_unresolved_are_asked_again_in_chunks_of_the_top_tier(rig: Rig) -> None:
    run = rig.filled("abcdefg", make_job(tiers=[tier("small"), tier("large", chunk_items=3)]))
    rig.finish(run, resolve_nothing)
    assert rig.store.retry(run.id, unresolved=True) == 7
    assert sorted(notice.items for notice in rig.waiting()) == [1, 3, 3]


def test_retry_of_a_running_run_leaves_its_open_chunks_alone(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=ONE_BY_ONE))
    claimed = rig.claim_first()
    assert rig.store.retry(run.id, unresolved=True) == 0
    assert rig.store.commit(judge(claimed)).accepted
    assert rig.finish(run) is RunState.DONE


def test_the_unresolved_of_a_running_run_are_asked_again_while_it_goes_on(rig: Rig) -> None:
    run = rig.filled("ab", make_job(tiers=[tier("large", chunk_items=1)]))

    def first_is_hopeless(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide
        return Verdict() if item_no else Unresolved(LOW_CONFIDENCE)

    rig.judge_next(first_is_hopeless)
    assert rig.store.retry(run.id, unresolved=True) == 1
    assert rig.finish(run) is RunState.DONE
    assert rig.store.progress(run.id).steps["mood"].verdicts["large"] == 2
