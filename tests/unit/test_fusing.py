"""fuse = "auto": decided by evidence, frozen with the run, and never more than was measured."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.instant import InstantEngine
from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.asking import askings, frozen_auto, laid_out, prompt_digests
from pipeline.domain.answers import Label
from pipeline.domain.errors import ConfigError
from pipeline.domain.fusing import NOT_MEASURED, NOT_USABLE, FuseEvidence, StepEvidence, Trial, decide_fusing
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import PriceBook
from pipeline.flow.announcing import announce
from pipeline.flow.bench import Bench, fuse_trials
from pipeline.flow.ingest import new_run
from pipeline.flow.judge import Judge
from pipeline.flow.scoring import GoldLine
from pipeline.ports.engine import Ask, Reply
from pipeline.settings import Settings
from pipeline.wiring.benching import tier_to_bench
from pipeline.wiring.fusing import evidence_file, fuse_decisions, fused_numbers, keep_evidence

STEPS: list[dict[str, Any]] = [
    {"name": "topic", "kind": "classify", "labels": ["a", "b"]},
    {"name": "mood", "kind": "sentiment"},
    {"name": "tags", "kind": "multilabel", "labels": ["x", "y"]},
]
ITEMS = [Item(key=str(number), source="s", line=number, text=f"text {number}") for number in range(104)]


def job(engine: str = "llama", **tier: Any) -> Job:  # noqa: ANN401 — fields of the tier
    tiers = [{"name": "small", "engine": engine, "model": "m", "chunk_items": 8, **tier}]
    return Job.model_validate({"name": "j", "steps": STEPS, "tiers": tiers})


def step(name: str, same: float = 1.0, apart: float | None = None, fused: float | None = None) -> StepEvidence:
    return StepEvidence(step=name, answers=100, same=same, apart_accuracy=apart, fused_accuracy=fused)


def evidence(*trials: tuple[StepEvidence, ...], gain: float = 2.0) -> FuseEvidence:
    made = tuple(Trial(steps=steps, apart_items_per_s=1.0, fused_items_per_s=gain) for steps in trials)
    return FuseEvidence(model="m@000000000000", items=100, measured_at="2026-01-01T00:00:00+00:00", trials=made)


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (step("s", 0.5, 0.80, 0.79), True),
        (step("s", 1.0, 0.80, 0.78), False),
        (step("s", 0.5, 0.80, 0.95), True),
        (step("s", 0.99), True),
        (step("s", 0.98), False),
    ],
)
def test_a_step_holds_when_it_loses_at_most_a_point_or_without_gold_one_answer_in_a_hundred(
    found: StepEvidence, *, holds: bool
) -> None:
    assert found.holds is holds


def test_fewer_than_a_hundred_answers_are_no_evidence() -> None:
    few = StepEvidence(step="s", answers=99, same=1.0)
    assert not few.holds
    assert str(few) == "only 99 answers of s were compared, 100 are needed"


def test_without_a_measurement_steps_stay_apart_and_the_command_is_named() -> None:
    decision = decide_fusing(None)
    assert (decision.steps, decision.reason) == ((), NOT_MEASURED)
    assert "headrace bench engine" in decision.reason


def test_steps_that_all_hold_share_a_reading() -> None:
    assert decide_fusing(evidence((step("topic"), step("mood")))).steps == ("topic", "mood")


def test_what_does_not_hold_is_named_with_its_numbers() -> None:
    first = (step("topic", 1, 0.7, 0.7), step("mood", 1, 0.5, 0.5), step("details", 0.8, 0.92, 0.77))
    decision = decide_fusing(evidence(first, first[:2]))
    assert decision.steps == ("topic", "mood")
    assert decision.reason.endswith("details falls from 92% to 77%")
    assert decide_fusing(evidence(first)).steps == (), "two of them were never measured without the third"


def test_one_reading_that_is_no_faster_is_not_used() -> None:
    decision = decide_fusing(evidence((step("topic"), step("mood")), gain=0.97))
    assert (decision.steps, decision.reason) == ((), "one reading is 0.97 times as fast")


def systems(asked: Job, auto: Sequence[int]) -> list[str]:
    return [asking.questions[0].system for asking in askings(asked, 0, auto).values()]


def test_auto_reads_together_what_the_evidence_says_and_true_and_false_stay_what_they_are() -> None:
    topic, mood, tags = systems(job(), [0, 2])
    assert topic == tags != mood
    assert len(set(systems(job(), []))) == 3
    assert len(set(systems(job(), [1]))) == 3, "one step has nothing to share with"
    assert len(set(systems(job(fuse=True), []))) == 1
    assert len(set(systems(job(fuse=False), [0, 1, 2]))) == 3
    assert len(set(systems(job("openai"), [0, 1, 2]))) == 3


@pytest.mark.parametrize("auto", [(), (0, 1), (0, 2), (0, 1, 2)])
def test_a_run_keeps_what_was_decided_when_it_was_made(auto: tuple[int, ...]) -> None:
    frozen = prompt_digests(job(), {0: auto})
    assert frozen_auto(job(), 0, frozen) == set(auto)


def test_digests_of_words_that_nobody_would_use_now_mean_apart() -> None:
    frozen = prompt_digests(job(), {0: (0, 1, 2)})
    assert frozen_auto(job(), 0, {**frozen, "small/mood": "of another release"}) == frozenset()
    assert frozen_auto(job(), 0, {}) == frozenset()


@dataclass
class Tiring:
    """Answers as the instant engine does, but says `b` for one step where it stands in a prompt with others."""

    spoilt: str
    asked: list[Ask] = field(default_factory=list)
    model: str = "tiring"

    def answer(self, asks: Sequence[Ask]) -> Reply:
        self.asked += asks
        reply = InstantEngine(model="m").answer(asks)
        calls = (replace(reply.calls[0], seconds=0.001),)
        given = [
            replace(one, answer=Label("positive"))
            if ask.question.step == self.spoilt and "Question 1" in ask.question.system
            else one
            for ask, one in zip(asks, reply.given, strict=True)
            if one is not None
        ]
        return Reply(given=tuple(given), calls=calls)

    def close(self) -> None:
        pass

    def read_tokens_per_s(self) -> float:
        return 1000.0


def bench(engine: Tiring, clock: FakeClock) -> Bench:
    def show(*_: object) -> None:
        clock.sleep(1)

    return Bench(engine=engine, job=job(), tier_no=0, items=ITEMS, clock=clock, show=show)


@dataclass
class Slow(Tiring):
    """Takes a second per chunk."""

    clock: FakeClock = field(default_factory=FakeClock)

    def answer(self, asks: Sequence[Ask]) -> Reply:
        self.clock.sleep(1)
        return super().answer(asks)


def test_steps_that_do_not_hold_are_left_out_and_the_others_are_measured_again() -> None:
    clock = FakeClock()
    engine = Slow(spoilt="mood", clock=clock)
    measured = bench(engine, clock)
    apart = measured.timed((), "apart")
    assert (apart.total.items, apart.total.seconds) == (104, 13.0)
    gold = {item.key: GoldLine(key=item.key, answers={"topic": "a"}, group="all") for item in ITEMS}
    trials = fuse_trials(measured, apart, gold)
    assert [[one.step for one in trial.steps] for trial, _ in trials] == [["topic", "mood", "tags"], ["topic", "tags"]]
    topic, mood, _ = trials[0][0].steps
    assert (topic.apart_accuracy, topic.fused_accuracy) == (1.0, 1.0)
    assert (mood.same, mood.apart_accuracy) == (0.0, None)
    assert trials[-1][0].holding == ("topic", "tags")


def test_a_chunk_is_asked_as_its_run_was_made() -> None:
    instant = job("instant").model_copy(update={"tiers": job().tiers})
    for auto in ((), (0, 1)):
        store, queue, engine = MemoryStore(FakeClock()), MemoryQueue(), Tiring(spoilt="none")
        run, _ = store.open_run(new_run(instant, "0" * 64, PriceBook(), fused={0: auto}))
        store.add_rows(run.id, ITEMS[:3], at=0, keyed=False)
        store.finish_ingest(run.id)
        judge = Judge(
            pool=instant.tiers[0].pool,
            engine=engine,
            store=store,
            queue=queue,
            clock=FakeClock(),
            worker="w",
            lease_s=10,
            keep_lease=lambda _: contextlib.nullcontext(),
            entry_points_of=lambda _: {},
        )
        store.settle(run.id)
        announce(queue, store)
        (chunk_id,) = queue.chunk_ids(instant.tiers[0].pool, taken_within_s=60)
        judged = judge.judge(chunk_id)
        assert judged.fused == tuple(STEPS[number]["name"] for number in auto)
        assert judged.verdicts == 9
        assert len({ask.question.system for ask in engine.asked}) == (2 if auto else 3)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_evidence_counts_for_its_model_and_words_only(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.wiring.engines.model_store", lambda _: Store())
    assert fuse_decisions(job(), settings)[0].reason == NOT_MEASURED
    found = evidence((step("topic"), step("mood"), step("tags")))
    path = keep_evidence(job(), 0, Store.sha256, found, settings)
    assert json.loads(path.read_text())["items"] == 100
    decided = fuse_decisions(job(), settings)
    assert fused_numbers(job(), decided) == {0: {0, 1, 2}}
    assert fuse_decisions(job(fuse=True), settings) == {}
    other = job().model_copy(update={"steps": job().steps[:2]})
    assert fuse_decisions(other, settings)[0].steps == ()
    assert evidence_file(job(), 0, "1" * 64, settings) != path


def numbers(step: str = "mood", **measured: Any) -> dict[str, Any]:  # noqa: ANN401 — fields of the evidence
    return {"step": step, "answers": 200, "same": 1.0, **measured}


def measured(*steps: dict[str, Any], model: str = "m@000000000000", apart: float = 1.0, fused: float = 2.0) -> str:
    trial = {"steps": steps or [numbers("topic"), numbers()], "apart_items_per_s": apart, "fused_items_per_s": fused}
    return json.dumps({"model": model, "items": 200, "measured_at": "x", "trials": [trial]})


def test_evidence_that_can_be_true_is_used(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided_by(measured(), settings, monkeypatch) == ("topic", "mood")


@pytest.mark.parametrize(
    "written",
    [
        "{",
        "[" * 100_000,
        measured(apart=0.0),
        measured(apart=-2.0, fused=-1.0),
        measured(apart=float("nan")),
        measured(fused=float("inf")),
        measured(numbers("topic"), numbers(same=1.1)),
        measured(numbers("topic"), numbers(apart_accuracy=float("nan"), fused_accuracy=0.5)),
        measured(numbers("topic"), numbers(apart_accuracy=0.5, fused_accuracy=50.0)),
        measured(numbers("topic"), numbers(answers=10**400)),
        measured(numbers()),
        measured(numbers(), numbers()),
        measured(numbers(), numbers("foreign")),
        measured(model="m@111111111111"),
        measured(model="other"),
    ],
)
def test_evidence_that_cannot_be_true_leaves_the_steps_apart_and_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    assert decided_by(written, settings, monkeypatch) == NOT_USABLE


def decided_by(written: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str | tuple[str, ...]:
    monkeypatch.setattr("pipeline.wiring.engines.model_store", lambda _: Store())
    path = evidence_file(job(), 0, Store.sha256, settings)
    path.parent.mkdir(parents=True)
    path.write_text(written, encoding="utf-8")
    decision = fuse_decisions(job(), settings)[0]
    return decision.steps or decision.reason


class Store:
    """A store that knows one model."""

    sha256 = "0" * 64

    def best(self, _name: str, *, machine: str, heads: bool) -> "Store":
        assert machine
        assert not heads
        return self


def test_the_first_tier_with_a_model_of_our_own_is_measured_unless_one_is_named() -> None:
    tiers = [{"name": "far", "engine": "openai", "model": "m"}, {"name": "near", "engine": "llama", "model": "m"}]
    two = Job.model_validate({"name": "j", "steps": STEPS, "tiers": tiers})
    assert (tier_to_bench(two, None), tier_to_bench(two, "near")) == (1, 1)
    for name, said in (("far", "has the engine openai"), ("none", "it has: far, near")):
        with pytest.raises(ConfigError, match=said):
            tier_to_bench(two, name)
    with pytest.raises(ConfigError, match="no llama tier"):
        tier_to_bench(job("openai"), None)


def test_a_layout_names_each_step_once() -> None:
    assert list(laid_out(job(), 0, [2, 1])) == [0, 1, 2]
