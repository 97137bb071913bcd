"""`reuse`: what a tier answered in an earlier run of the job is not asked for again."""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from pipeline.adapters.instant import InstantEngine
from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.pricing import Price, PriceBook
from pipeline.domain.runs import RunState
from pipeline.flow.ingest import new_run
from pipeline.flow.judge import Judge, Judged
from pipeline.ports.engine import Ask, Reply
from pipeline.ports.store import RunRecord

BOOK = PriceBook(
    prices=(
        Price.model_validate(
            {"name": "list", "valid_from": "2020-01-01", "usd_per_mtok_in": "1", "usd_per_mtok_out": "1"}
        ),
    )
)
TOPIC = {"name": "topic", "kind": "classify", "labels": ["a", "b"]}
MOOD = {"name": "mood", "kind": "sentiment"}


@dataclass
class Listening:
    """An engine that remembers what it was asked."""

    model: str = "m"
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer at once."""
        self.asked += [(ask.question.step, ask.text) for ask in asks]
        return InstantEngine(model=self.model).answer(asks)

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Shop:
    """One store, in which jobs of one tier are run one after another."""

    store: MemoryStore = field(default_factory=lambda: MemoryStore(FakeClock()))
    sources: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(
        self,
        *texts: str,
        engine: Listening | None = None,
        steps: Sequence[Mapping[str, Any]] = (TOPIC,),
        budget: Mapping[str, str] | None = None,
        **tier: object,
    ) -> tuple[Judged, Listening, RunRecord]:
        """Run texts through a job; returns what became of them, the engine, and the run."""
        engine = engine or Listening()
        one = {"name": "top", "engine": "instant", "model": "m", "price": "list", "chunk_items": 64, "reuse": True}
        job = Job.model_validate({"name": "j", "steps": steps, "tiers": [one | tier], "budget": budget})
        run, _ = self.store.open_run(new_run(job, f"source {next(self.sources)}", BOOK))
        if job.budget is not None:
            self.store.set_budget(run.id, job.budget)
        rows = [Item(key=str(number), source="s", line=number, text=text) for number, text in enumerate(texts)]
        (notice,) = self.store.add_rows(run.id, rows, at=0, keyed=False).notices
        self.store.finish_ingest(run.id)
        judge = Judge(
            pool=job.tiers[0].pool,
            engine=engine,
            store=self.store,
            queue=MemoryQueue(),
            clock=self.store._tables.clock,
            worker="w",
            lease_s=10,
            keep_lease=lambda _: contextlib.nullcontext(),
            entry_points_of=lambda _: {},
        )
        return judge.judge(notice.chunk_id), engine, run

    def spent(self, run: RunRecord) -> Decimal:
        """Return what a run has cost."""
        return self.store.costs(run.id, by=("tier",)).known_usd


def test_texts_that_an_earlier_run_answered_are_not_asked_again_and_cost_nothing() -> None:
    shop = Shop()
    shop.run("one", "two")
    judged, engine, run = shop.run("two", "three", "one")
    assert engine.asked == [("topic", "three")]
    assert (judged.reused, judged.verdicts, judged.run_state) == (2, 3, RunState.DONE)
    alone = Shop()
    _, _, three = alone.run("three")
    assert shop.spent(run) == alone.spent(three) > 0, "only the third text is paid for"
    answers = {line.key: line.answers["topic"].value for line in shop.store.results(run.id)}
    assert answers == {"0": "a", "1": "a", "2": "a"}


def test_an_engine_that_has_nothing_left_to_answer_is_not_called() -> None:
    shop = Shop()
    shop.run("one")
    judged, engine, run = shop.run("one")
    assert (engine.asked, judged.reused, judged.run_state) == ([], 1, RunState.DONE)
    assert shop.spent(run) == Decimal(0)


def test_what_was_reused_is_known_to_later_runs_too() -> None:
    shop = Shop()
    shop.run("one")
    shop.run("one", "two")
    _, engine, _ = shop.run("two", "one", "three")
    assert engine.asked == [("topic", "three")]


def test_of_several_steps_only_those_that_are_new_are_asked() -> None:
    shop = Shop()
    shop.run("one")
    judged, engine, _ = shop.run("one", steps=(MOOD, TOPIC))
    assert engine.asked == [("mood", "one")]
    assert (judged.reused, judged.verdicts) == (1, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"reuse": False},
        {"steps": ({**TOPIC, "question": "Which is it?"},)},
        {"steps": ({**TOPIC, "labels": ["a", "b", "c"]},)},
        {"steps": ({**TOPIC, "name": "kind"},)},
        {"model": "score=0.5", "engine": Listening(model="score=0.5")},
        {"max_text_tokens": 16},
        {"name": "huge"},
    ],
)
def test_another_question_another_tier_or_a_tier_that_does_not_say_so_is_asked(other: dict[str, Any]) -> None:
    shop = Shop()
    shop.run("one")
    engine = other.pop("engine", None) if isinstance(other.get("engine"), Listening) else None
    judged, engine, _ = shop.run("one", engine=engine, **other)
    assert [text for _, text in engine.asked] == ["one"]
    assert judged.reused == 0


def test_another_file_of_the_same_name_is_asked() -> None:
    shop = Shop()
    shop.run("one")
    judged, engine, _ = shop.run("one", engine=Listening(model="m@tuned"))
    assert (len(engine.asked), judged.reused) == (1, 0)


def test_what_is_known_needs_no_money() -> None:
    shop = Shop()
    shop.run("one", "two")
    poor = {"usd": "0.000000001"}
    judged, engine, _ = shop.run("two", "one", budget=poor)
    assert (engine.asked, judged.result, judged.verdicts) == ([], "committed", 2)
    judged, engine, _ = shop.run("two", "three", budget=poor)
    assert (engine.asked, judged.verdicts) == ([], 1), "for the third text there is none"
