"""What people read: runs found, progress, results."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.domain.answers import Answer, Defect, Fields, Label, Labels, Number, Text
from pipeline.domain.errors import RunNotFound
from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation, Outcome, Unresolved, Verdict
from pipeline.domain.runs import RunState, StepResult
from pipeline.ports.store import JudgedChunk, RunRecord
from tests.contract.store_cases import (
    DETAILS,
    MOOD,
    TOPIC,
    Rig,
    attempt,
    call,
    escalate,
    item,
    items,
    judge,
    make_job,
    malformed,
    rejected,
    resolve_nothing,
    tier,
)

MORE_THAN_A_PAGE = 2100


def answers_of(rig: Rig, run: RunRecord) -> dict[str, StepResult]:
    """Return the first row's answers."""
    return dict(next(iter(rig.store.results(run.id))).answers)


def test_a_run_is_found_by_its_name(rig: Rig) -> None:
    run = rig.filled("a")
    assert rig.store.find_run(run.name) == run


def test_a_run_is_found_by_how_its_name_begins_the_latest_first(rig: Rig) -> None:
    rig.open(make_job(name="tickets"))
    second = rig.open(make_job(name="tickets"))
    rig.open(make_job(name="logs"))
    assert rig.store.find_run("tickets").id == second.id


def test_a_full_name_goes_before_a_later_one_that_begins_so(rig: Rig) -> None:
    first, _ = rig.store.open_run(replace(rig.new(source="s"), name="tickets-1"))
    rig.store.open_run(replace(rig.new(source="t"), name="tickets-12"))
    assert rig.store.find_run("tickets-1").id == first.id


def test_last_is_the_latest_run(rig: Rig) -> None:
    rig.open()
    latest = rig.open()
    assert rig.store.find_run("last") == latest


@pytest.mark.parametrize("name", ["%", "_ickets", "ticket_", "TICKETS", "tickets-%", "\\", "'"])
def test_a_name_is_no_pattern(rig: Rig, name: str) -> None:
    rig.open()
    with pytest.raises(RunNotFound):
        rig.store.find_run(name)


def test_where_no_run_is_none_is_found(rig: Rig) -> None:
    with pytest.raises(RunNotFound):
        rig.store.find_run("last")
    assert list(rig.store.list_runs()) == []


def test_runs_are_listed_latest_first_and_no_more_than_asked_for(rig: Rig) -> None:
    runs = [rig.open() for _ in range(3)]
    names = [progress.run for progress in rig.store.list_runs(limit=2)]
    assert names == [runs[2].name, runs[1].name]


def test_progress_of_a_new_run_is_zero_of_everything(rig: Rig) -> None:
    run = rig.open(make_job(MOOD, TOPIC))
    progress = rig.store.progress(run.id)
    assert (progress.run, progress.state, progress.reason) == (run.name, RunState.INGESTING, None)
    assert (progress.items, progress.rejected, progress.duplicates, progress.calls) == (0, 0, 0, 0)
    assert (progress.known_usd, progress.unknown_calls, progress.answered) == (Decimal(0), 0, 0)
    assert set(progress.steps) == {"mood", "topic"}


def test_progress_counts_rows_and_outcomes_with_their_copies(rig: Rig) -> None:
    run = rig.open(make_job(MOOD, TOPIC))
    rows: list[Item | RejectedRow] = [*items(["a", "b", "a", "c", "a"]), rejected(), rejected()]
    rig.store.add_rows(run.id, rows, at=0, keyed=False)
    rig.store.finish_ingest(run.id)

    def by_item(item_no: int, step_no: int, tier_no: int) -> Outcome:
        if item_no == 0:
            return resolve_nothing(item_no, step_no, tier_no)
        return escalate(item_no, step_no, tier_no) if item_no == 1 else Verdict()

    assert rig.finish(run, by_item) is RunState.DONE
    progress = rig.store.progress(run.id)
    assert (progress.items, progress.rejected, progress.duplicates) == (5, 2, 2)
    for step in progress.steps.values():
        assert dict(step.verdicts) == {"small": 1, "large": 1}
        assert step.unresolved == 3
    assert progress.answered == progress.asked == 10


def test_progress_names_every_tier_of_the_job_in_its_order(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("zeta"), tier("alpha"), tier("mid")]))
    assert list(rig.store.progress(run.id).steps["mood"].verdicts) == ["zeta", "alpha", "mid"]


def test_a_run_that_ended_stops_counting_seconds(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run)
    first, second = rig.store.progress(run.id), rig.store.progress(run.id)
    assert first.seconds == second.seconds >= 0
    assert first.created_at == second.created_at


def test_progress_is_the_script_contract(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run)
    seen = rig.store.progress(run.id).as_json()
    assert seen["steps"] == {"mood": {"verdicts": {"small": 1, "large": 0}, "unresolved": 0}}
    assert seen["cost"]["known_usd"] == 0.001


def test_results_come_in_the_order_of_the_source_page_after_page(rig: Rig) -> None:
    run = rig.open(make_job(tiers=[tier("small", chunk_items=4096)]))
    rows = [item("even" if number % 2 else f"t{number}", key=f"k{number}") for number in range(MORE_THAN_A_PAGE)]
    rig.store.add_rows(run.id, rows, at=0, keyed=False)
    rig.judge_next()
    lines = list(rig.store.results(run.id))
    assert [line.key for line in lines] == [f"k{number}" for number in range(MORE_THAN_A_PAGE)]
    assert {line.answers["mood"].state for line in lines} == {"verdict"}


def test_rejected_rows_come_page_after_page(rig: Rig) -> None:
    run = rig.open()
    rows = [rejected(line) for line in range(MORE_THAN_A_PAGE)]
    rig.store.add_rows(run.id, rows, at=0, keyed=False)
    assert list(rig.store.rejected(run.id)) == rows


def test_results_of_a_run_without_rows_are_none(rig: Rig) -> None:
    run = rig.open()
    assert list(rig.store.results(run.id)) == []
    assert list(rig.store.rejected(run.id)) == []


def test_a_verdict_shows_its_answer_and_its_way_up(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, escalate)
    assert answers_of(rig, run)["mood"] == StepResult(
        state="verdict",
        value="neutral",
        fields={},
        confidence=0.75,
        calibrated=False,
        tier="large",
        escalated_from=(("small", LOW_CONFIDENCE),),
        reason=None,
    )


def test_the_way_up_is_told_cheapest_first(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("c"), tier("b"), tier("a")]))
    reasons = (LOW_CONFIDENCE, "check_failed:occurs:order")

    def climb(item_no: int, step_no: int, tier_no: int) -> Outcome:  # noqa: ARG001 — a Decide
        return Verdict() if tier_no == 2 else Escalation(tier_no + 1, reasons[tier_no])

    rig.finish(run, climb)
    assert answers_of(rig, run)["mood"].escalated_from == (("c", reasons[0]), ("b", reasons[1]))


def test_what_is_not_answered_yet_is_pending(rig: Rig) -> None:
    run = rig.filled("a", make_job(MOOD, TOPIC))
    rig.judge_next(lambda item_no, step_no, tier_no: escalate(item_no, step_no, tier_no) if step_no else Verdict())
    answers = answers_of(rig, run)
    assert answers["mood"].state == "verdict"
    topic = answers["topic"]
    assert (topic.state, topic.value, topic.confidence, topic.tier, topic.reason) == ("pending", None, None, None, None)
    assert topic.escalated_from == (("small", LOW_CONFIDENCE),)


def test_a_copy_shows_the_answers_of_the_first(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"])
    rig.finish(run, lambda item_no, step_no, tier_no: escalate(item_no, step_no, tier_no) if not item_no else Verdict())
    first, second, third = rig.store.results(run.id)
    assert third.answers == first.answers != second.answers
    assert (third.key, third.line) == ("k2", 3)


def test_an_unresolved_step_shows_the_best_answer_that_was_given(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("small", chunk_items=1), tier("large", chunk_items=1)]))
    entry, later = call(), call()
    below = attempt((0, 0), Escalation(1, LOW_CONFIDENCE), entry, answer=Label("negative"), confidence=0.5)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(below,), ledger=(entry,)))
    top = attempt((0, 0), Unresolved(Defect.MALFORMED), later, answer=malformed(), confidence=None)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(top,), ledger=(later,)))
    answer = answers_of(rig, run)["mood"]
    assert (answer.state, answer.value, answer.confidence, answer.tier) == ("unresolved", "negative", 0.5, "small")
    assert (answer.reason, answer.escalated_from) == ("malformed", (("small", LOW_CONFIDENCE),))


def test_an_unresolved_step_prefers_the_highest_tiers_answer(rig: Rig) -> None:
    run = rig.filled("a")
    rig.finish(run, resolve_nothing)
    answer = answers_of(rig, run)["mood"]
    assert (answer.state, answer.value, answer.tier, answer.reason) == (
        "unresolved",
        "neutral",
        "large",
        LOW_CONFIDENCE,
    )


def test_answers_of_every_shape_come_back_as_plain_values(rig: Rig) -> None:
    values: tuple[tuple[Answer, object], ...] = (
        (Label("é \\ '"), "é \\ '"),
        (Labels(("a", "b")), ("a", "b")),
        (Labels(()), ()),
        (Number(0.1), 0.1),
        (Text("a\nb"), "a\nb"),
        (Fields({"n": 12345678901234567890, "x": 0.1, "b": True, "none": None, "l": ("a", "b")}), None),
    )
    run = rig.filled("abcdef", make_job(tiers=[tier("small", chunk_items=9)]))
    entry = call()
    attempts = tuple(attempt((no, 0), Verdict(), entry, answer=answer) for no, (answer, _) in enumerate(values))
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=attempts, ledger=(entry,)))
    seen = [line.answers["mood"].value for line in rig.store.results(run.id)]
    assert seen == [answer.value if plain is None else plain for answer, plain in values]


def test_each_fields_confidence_is_shown(rig: Rig) -> None:
    run = rig.filled("a", make_job(DETAILS, tiers=[tier("small")]))
    entry = call()
    given = attempt(
        (0, 0), Verdict(), entry, answer=Fields({"order": "A-1"}), confidence=0.1, fields={"order": 1 / 3, "due": 1.0}
    )
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(given,), ledger=(entry,)))
    answer = answers_of(rig, run)["details"]
    assert dict(answer.fields) == {"order": 1 / 3, "due": 1.0}
    assert answer.confidence == 0.1
    assert answer.as_json()["value"] == {"order": "A-1"}


def test_an_unknown_confidence_stays_unknown(rig: Rig) -> None:
    run = rig.filled("a", make_job(tiers=[tier("small")]))
    entry = call()
    given = attempt((0, 0), Verdict(), entry, confidence=None)
    rig.store.commit(JudgedChunk(claimed=rig.claim_first(), policy_version=1, attempts=(given,), ledger=(entry,)))
    answer = answers_of(rig, run)["mood"]
    assert (answer.state, answer.confidence, answer.calibrated) == ("verdict", None, False)


def test_steps_stand_in_the_jobs_order(rig: Rig) -> None:
    run = rig.filled("a", make_job(TOPIC, MOOD, DETAILS))
    assert list(answers_of(rig, run)) == ["topic", "mood", "details"]


def test_results_can_be_read_while_the_run_goes_on(rig: Rig) -> None:
    run = rig.filled("abcd", make_job(tiers=[tier("small", chunk_items=1)]))
    lines = rig.store.results(run.id)
    next(lines)
    rig.store.commit(judge(rig.claim_first()))
    assert len(list(lines)) == 3
