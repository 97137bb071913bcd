"""Answers of earlier runs: found by text, and only where they stood."""

from dataclasses import replace

from pipeline.domain.answers import Fields, Usage
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation, Outcome, Verdict
from pipeline.ports.store import JudgedChunk, RunRecord
from tests.contract.store_cases import DETAILS, MOOD, TOPIC, Rig, accept, attempt, call, make_job

CUT = 2


def told(rig: Rig, run: RunRecord, *texts: str, tier_no: int = 0, model: str | None = "m") -> set[tuple[int, int]]:
    known = rig.store.answered_before(run.id, tier_no, texts, model=model)
    return {(one.text_no, one.step_no) for one in known}


def judged(rig: Rig, *outcomes: Outcome) -> None:
    """Answer the next chunk, the item with the number `CUT` on a part of its text only."""
    claimed, paid = rig.claim_first(), call()
    attempts = [attempt((number, 0), outcome, paid) for number, outcome in enumerate(outcomes)]
    attempts = [
        replace(one, given=replace(one.given, truncated=True)) if one.item_no == CUT else one for one in attempts
    ]
    rig.store.commit(JudgedChunk(claimed=claimed, policy_version=1, attempts=tuple(attempts), ledger=(paid,)))


def test_earlier_runs_are_those_of_the_same_name_the_latest_first(rig: Rig) -> None:
    first, second = rig.open(), rig.open(make_job(TOPIC))
    other = rig.open(make_job(name="letters"))
    third = rig.open()
    assert [run.id for run in rig.store.earlier_runs(third.id, most=9)] == [second.id, first.id]
    assert [run.id for run in rig.store.earlier_runs(third.id, most=1)] == [second.id]
    assert not rig.store.earlier_runs(other.id, most=9)
    assert not rig.store.earlier_runs(first.id, most=9), "those that were made later are none"


def test_an_answer_is_found_by_its_text_whatever_its_number_and_key(rig: Rig) -> None:
    run = rig.filled(["a", "b", "a"], make_job(MOOD, TOPIC))
    rig.finish(run, accept)
    assert told(rig, run, "c", "b", "a") == {(1, 0), (1, 1), (2, 0), (2, 1)}
    assert told(rig, run, "a", tier_no=1) == set(), "that tier was never asked"
    assert told(rig, run) == set()


def test_only_what_stood_and_was_read_whole_is_known(rig: Rig) -> None:
    run = rig.filled(["stood", "went up", "was cut"])
    judged(rig, Verdict(), Escalation(1, LOW_CONFIDENCE), Verdict())
    assert told(rig, run, "stood", "went up", "was cut") == {(0, 0)}


def test_what_another_model_answered_is_not_known_unless_any_will_do(rig: Rig) -> None:
    run = rig.filled(["a"])
    rig.finish(run, accept)
    assert told(rig, run, "a", model="other") == set()
    assert told(rig, run, "a", model=None) == {(0, 0)}


def test_an_answer_comes_as_it_was_given_with_nothing_read_again(rig: Rig) -> None:
    run = rig.filled(["order A-1"], make_job(DETAILS))
    claimed, paid = rig.claim_first(), call()
    answer = Fields({"order": "A-1"}, spans={"order": (6, 9)})
    said = attempt(
        (0, 0), Verdict(), paid, answer=answer, fields={"order": 0.5}, usage=Usage(tokens_in=9, tokens_out=4)
    )
    rig.store.commit(JudgedChunk(claimed=claimed, policy_version=1, attempts=(said,), ledger=(paid,)))
    (known,) = rig.store.answered_before(run.id, 0, ["order A-1"], model="m")
    given = known.given
    assert isinstance(given.answer, Fields)
    assert (given.answer, given.answer.spans) == (answer, {"order": (6, 9)})
    assert (given.raw_score, given.field_scores) == (said.given.raw_score, said.given.field_scores)
    assert given.confidence is None, "it was as the engine said, not as learned"
    assert given.usage == Usage(tokens_in=0, tokens_cached=0, tokens_out=0)
    assert known.model == "m"


def test_a_text_that_was_forgotten_is_not_known(rig: Rig) -> None:
    run = rig.filled(["a", "b"])
    rig.finish(run, accept)
    rig.store.forget(run.id, "k0")
    assert told(rig, run, "a", "b") == {(1, 0)}
