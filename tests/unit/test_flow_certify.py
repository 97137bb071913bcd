"""The flow that certifies: whole runs in memory, with tiers whose mistakes are known, from ingest to done."""

import hashlib
from collections.abc import Callable
from uuid import uuid4

import numpy as np
import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.domain.answers import Label, Usage
from pipeline.domain.certify import Certificate, Refusal
from pipeline.domain.drawing import cautious_doubts
from pipeline.domain.job import Job
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import DRAWN, Given
from pipeline.domain.runs import RunState
from pipeline.domain.scores import Confidence, RawScore
from pipeline.flow.certify import Advanced, advance, promise_of, watch
from pipeline.flow.judge import Judge
from pipeline.flow.sweep import sweep
from pipeline.ports.engine import Ask, Reply
from pipeline.ports.store import ChunkNotice, RunRecord
from tests.contract.store_cases import Rig, items, make_job, tier

STEP = {"name": "mood", "kind": "classify", "labels": ["right", "wrong"]}
Say = Callable[[str], tuple[str, float]]
"""Text → label and score."""


class Scripted:
    """An engine that says what it is told to."""

    def __init__(self, say: Say, job: Job) -> None:
        self.say = say
        self.job = job
        self.model = "scripted"
        self.has_learned = False
        self.asked: list[str] = []

    def answer(self, asks: list[Ask]) -> Reply:
        self.asked += [ask.text for ask in asks]
        call = Call(id=uuid4(), model="m", tokens_in=1, tokens_cached=0, tokens_out=1, seconds=0.1)
        given = []
        for ask in asks:
            label, score = self.say(ask.text)
            usage = Usage(tokens_in=1, tokens_cached=0, tokens_out=1)
            sure = Confidence(score, calibrated=True) if self.has_learned else None
            given.append(Given(answer=Label(label), raw_score=RawScore(score), confidence=sure, usage=usage, call_no=0))
        return Reply(given=tuple(given), calls=(call,))

    def close(self) -> None:
        """Nothing to give back."""


def truth(_: str) -> tuple[str, float]:
    return "right", 1.0


def weak(rate: float, seed: int = 0) -> Say:
    """Return a tier that is wrong in all with probability `rate`: never where it is surest, most where it is least."""

    def say(text: str) -> tuple[str, float]:
        digest = hashlib.sha256(f"{seed}/{text}".encode()).digest()
        score, luck = (int.from_bytes(digest[at : at + 4]) / 2**32 for at in (0, 4))
        return ("wrong" if luck < 2 * rate * (1 - score) else "right"), score

    return say


def target_job(agreement: float = 0.9, *, tiers: int = 2, on_refused: str = "hold", **target: object) -> Job:
    names = ["small", "medium", "large"] if tiers == 3 else ["small", "large"]
    job = make_job(STEP, tiers=[tier(name, chunk_items=256) for name in names]).model_dump(mode="json")
    job["tiers"][0]["accept_at"] = 0.5 if tiers == 3 else None
    return Job.model_validate({**job, "target": {"agreement": agreement, "on_refused": on_refused, **target}})


class Whole:
    """A run with all its workers, in one thread."""

    def __init__(self, job: Job, says: list[Say], texts: list[str]) -> None:
        self.store = MemoryStore(FakeClock())
        self.queue = MemoryQueue()
        self.rig = Rig(store=self.store)
        self.run: RunRecord = self.rig.open(job, source=str(len(texts)))
        self.store.add_rows(self.run.id, items(texts), at=0, keyed=False)
        self.store.finish_ingest(self.run.id)
        self.engines = [Scripted(say, job) for say in says]
        self.judges = [
            Judge(
                pool=job.tiers[number].pool,
                engine=engine,  # type: ignore[arg-type]
                store=self.store,
                queue=self.queue,
                clock=FakeClock(),
                worker="w",
                lease_s=60,
                keep_lease=lambda _: _Nothing(),
                entry_points_of=lambda _: {},
            )
            for number, engine in enumerate(self.engines)
        ]
        self.said: list[str] = []
        self.withdrawn: list[str] = []

    def work(self) -> RunState:
        """Work until nothing moves any more."""
        pools = {judge.pool: judge for judge in self.judges}
        while notices := [*self.rig.waiting(), *self._published()]:
            for notice in notices:
                judged = pools[notice.pool].judge(notice.chunk_id)
                self.said += judged.promises
                self.withdrawn += judged.withdrawn
        return self.store.progress(self.run.id).state

    def _published(self) -> list[ChunkNotice]:
        return [
            notice for pool in self.store.pools() for notice in self.store.published_pending(pool=pool, older_than_s=0)
        ]

    def wrong(self) -> int:
        return sum(line.answers["mood"].value == "wrong" for line in self.store.results(self.run.id))


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def texts_of(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def test_a_run_with_a_target_goes_from_pilot_to_bulk_and_keeps_its_promise() -> None:
    whole = Whole(target_job(0.9), [weak(0.2), truth], texts_of(2000))
    assert whole.work() is RunState.DONE
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Certificate)
    assert whole.wrong() <= 200
    asked = len(whole.engines[1].asked)
    assert asked == len(set(whole.engines[1].asked))  # no answer of the reference is bought twice
    assert asked / 2000 == pytest.approx(done.decision.goes_up)
    assert 0.2 < done.decision.goes_up < 0.75
    assert len(whole.said) == 2
    assert "drawn" in whole.said[0]
    # Of the reference 1 token in at $1 and 1 out at $2 a million are wanted for each answer.
    assert whole.said[0].endswith(f", for about ${len(done.window.drawn) * 3e-6:.4f}")
    assert "at least 90.0%" in whole.said[1]


def test_the_promise_holds_in_as_many_runs_as_it_says() -> None:
    broken = 0
    for seed in range(100):
        whole = Whole(target_job(0.9), [weak(0.25, seed), truth], texts_of(500))
        assert whole.work() is RunState.DONE
        broken += whole.wrong() > 50
    assert broken <= 16  # 10 are expected at most; 16 or fewer of 100 with probability .98


def test_an_audit_asks_its_share_of_what_stands_and_the_certificate_holds() -> None:
    whole = Whole(target_job(0.9, audit=0.05), [weak(0.2), truth], texts_of(2000))
    assert whole.work() is RunState.DONE
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Certificate)
    assert done.audit is not None
    standing = sum(line.answers["mood"].tier == "small" for line in whole.store.results(whole.run.id))
    assert done.audit.audited == pytest.approx(0.05 * (standing + done.audit.audited), abs=1)
    assert not done.audit.withdrawn
    assert whole.withdrawn == []
    asked = whole.engines[1].asked
    assert len(asked) == len(set(asked)), "an audited answer is not bought twice"


def test_a_reference_that_turned_against_the_answers_has_the_certificate_withdrawn() -> None:
    asked: set[str] = set()

    def fickle(text: str) -> tuple[str, float]:
        asked.add(text)
        return ("right" if len(asked) < 700 else "wrong"), 1.0  # after the drawing it says the opposite

    whole = Whole(target_job(0.9, audit=0.3), [lambda _: ("right", 0.9), fickle], texts_of(3000))
    assert whole.work() is RunState.DONE
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Certificate)
    assert done.audit is not None
    assert done.audit.withdrawn
    (said,) = whole.withdrawn
    assert "the certificate is withdrawn" in said
    assert watch(whole.store, whole.run) == (), "it is told once"


def test_two_cheap_tiers_are_certified_together() -> None:
    whole = Whole(target_job(0.9, tiers=3), [weak(0.3), weak(0.1, 1), truth], texts_of(2000))
    assert whole.work() is RunState.DONE
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Certificate)
    assert len(done.decision.thresholds) == 2
    tiers = [line.answers["mood"].tier for line in whole.store.results(whole.run.id)]
    assert {"small", "medium", "large"} == set(tiers)
    assert whole.wrong() <= 200


def test_a_hopeless_target_is_refused_before_the_bulk_is_bought() -> None:
    whole = Whole(target_job(0.98), [lambda _: ("wrong", 0.9), truth], texts_of(1000))
    assert whole.work() is RunState.HELD
    (done,) = whole.store.concluded(whole.run.id)
    assert isinstance(done.decision, Refusal)
    assert done.decision.best_target < 0.2
    assert done.decision.must_go_up > 0.8
    assert len(whole.engines[1].asked) == done.decision.drawn < 400
    assert "cannot be promised" in whole.said[-1]
    whole.store.retry(whole.run.id, unresolved=False)
    assert whole.work() is RunState.DONE
    assert whole.wrong() == 0


def test_a_refused_target_may_let_all_go_up_without_asking() -> None:
    whole = Whole(target_job(0.98, on_refused="escalate"), [lambda _: ("wrong", 0.9), truth], texts_of(300))
    assert whole.work() is RunState.DONE
    assert whole.wrong() == 0


def test_what_is_drawn_is_the_same_whoever_draws_it_and_another_in_another_run() -> None:
    def drawn(source: int) -> list[int]:
        whole = Whole(target_job(0.9), [weak(0.2), truth], texts_of(source))
        whole.work()
        (done,) = whole.store.concluded(whole.run.id)
        return list(done.window.drawn)

    assert drawn(400) == drawn(400)
    assert drawn(400) != [number for number in drawn(401) if number < 400]


def test_an_answer_that_is_not_sure_enough_to_be_held_goes_up_at_once() -> None:
    job = target_job(0.9).model_dump(mode="json")
    job["tiers"][0]["accept_at"] = {"default": 0.8}
    whole = Whole(Job.model_validate(job), [weak(0.2), truth], texts_of(1000))
    assert whole.work() is RunState.DONE
    lines = [line.answers["mood"] for line in whole.store.results(whole.run.id)]
    reasons = {reason for answer in lines for _, reason in answer.escalated_from}
    assert {"low_confidence", DRAWN} == reasons
    assert all(answer.confidence is not None and answer.confidence >= 0.8 for answer in lines if answer.tier == "small")


def test_a_sweep_takes_up_what_no_worker_did() -> None:
    whole = Whole(target_job(0.9), [weak(0.2), truth], texts_of(300))
    for judge in whole.judges:
        judge._settle = lambda _run_id: (RunState.RUNNING, Advanced())  # type: ignore[method-assign, assignment]
    whole.work()
    assert whole.store.windows(whole.run.id)
    swept = sweep(whole.store, whole.queue)
    assert any("drawn" in line for line in swept.promises)


def test_the_chance_to_fail_is_shared_by_the_steps_with_a_target() -> None:
    job = make_job(STEP, {**STEP, "name": "topic"}).model_dump(mode="json")
    both = Job.model_validate({**job, "target": {"agreement": {"mood": 0.9, "topic": 0.95}, "delta": 0.1}})
    assert promise_of(both, 0).delta == pytest.approx(0.05)
    assert promise_of(both, 1).target == 0.95
    one = Job.model_validate({**job, "target": {"agreement": {"mood": 0.9}}})
    assert one.certified_steps == {0: 0.9}
    assert promise_of(one, 0).delta == 0.1


def test_a_job_without_a_target_has_nothing_to_advance() -> None:
    store = MemoryStore(FakeClock())
    run = Rig(store=store).filled("ab")
    assert advance(store, run).said == ()
    with pytest.raises(ValueError, match="promises nothing"):
        promise_of(run.job, 0)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"agreement": {"nothing": 0.9}}, "is no step"),
        ({"agreement": 1.0}, "less than 1"),
        ({"agreement": "0.9"}, "dict"),
        ({"agreement": 0.9, "delta": 0.7}, "less than 0.5"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(target: dict[str, object], said: str) -> None:
    job = make_job(STEP).model_dump(mode="json")
    with pytest.raises(ValueError, match=said):
        Job.model_validate({**job, "target": target})


def test_a_target_without_a_second_tier_is_refused() -> None:
    job = make_job(STEP, tiers=[tier("small")]).model_dump(mode="json")
    with pytest.raises(ValueError, match="no step has two tiers"):
        Job.model_validate({**job, "target": {"agreement": 0.9}})


def test_more_is_drawn_of_what_a_model_says_of_itself_than_of_what_was_learned() -> None:
    def drawn(*, has_learned: bool) -> int:
        whole = Whole(target_job(0.9), [lambda text: ("right", 0.999 - len(text) / 1e6), truth], texts_of(2000))
        whole.engines[0].has_learned = has_learned
        whole.work()
        (done,) = whole.store.concluded(whole.run.id)
        return len(done.window.drawn)

    assert drawn(has_learned=True) < drawn(has_learned=False)


def test_doubts_of_the_uncalibrated_grow_from_sure_to_unsure() -> None:
    doubts = cautious_doubts(np.array([1.0, 0.9, 0.9, 0.2]))
    assert doubts[0] < doubts[1] == doubts[2] < doubts[3]
    assert np.all((doubts >= 0) & (doubts <= 1))
