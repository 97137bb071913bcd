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
from pipeline.domain.errors import EngineUnavailable
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
    down: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer at once."""
        if self.down:
            raise EngineUnavailable("the endpoint is down")
        self.asked += [(ask.question.step, ask.text) for ask in asks]
        return InstantEngine(model=self.model).answer(asks)

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Shop:
    """One store, in which jobs of one tier are run one after another."""

    clock: FakeClock = field(default_factory=FakeClock)
    sources: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    def open(
        self,
        *texts: str,
        steps: Sequence[Mapping[str, Any]] = (TOPIC,),
        budget: Mapping[str, str] | None = None,
        **tier: object,
    ) -> RunRecord:
        """Read texts into a run."""
        one = {"name": "top", "engine": "instant", "model": "m", "price": "list", "chunk_items": 64, "reuse": True}
        job = Job.model_validate({"name": "j", "steps": steps, "tiers": [one | tier], "budget": budget})
        run, _ = self.store.open_run(new_run(job, f"source {next(self.sources)}", BOOK))
        if job.budget is not None:
            self.store.set_budget(run.id, job.budget)
        rows = [Item(key=str(number), source="s", line=number, text=text) for number, text in enumerate(texts)]
        self.store.add_rows(run.id, rows, at=0, keyed=False)
        self.store.finish_ingest(run.id)
        return run

    def judge(self, run: RunRecord, engine: Listening) -> Judged:
        """Judge a run's only open chunk."""
        (chunk,) = self.store._tables.open_chunks(run.id)
        return Judge(
            pool=run.job.tiers[0].pool,
            engine=engine,
            store=self.store,
            queue=MemoryQueue(),
            clock=self.clock,
            worker="w",
            lease_s=10,
            keep_lease=lambda _: contextlib.nullcontext(),
            entry_points_of=lambda _: {},
        ).judge(chunk.id)

    def run(self, *texts: str, engine: Listening | None = None, **job: Any) -> tuple[Judged, Listening, RunRecord]:  # noqa: ANN401 — as `open` takes it
        """Run texts through a job; returns what became of them, the engine, and the run."""
        engine, run = engine or Listening(), self.open(*texts, **job)
        return self.judge(run, engine), engine, run

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
    judged, engine, run = shop.run("three", "two", budget=poor)
    assert (engine.asked, judged.verdicts) == ([], 1), "for the third text there is none, wherever it stands"
    assert shop.spent(run) == Decimal(0)


def test_a_cap_for_each_item_does_not_stop_what_is_known() -> None:
    shop = Shop()
    shop.run("one")
    judged, _, _ = shop.run("new", "one", budget={"per_item_usd": "0.000000001"})
    assert (judged.verdicts, judged.reused) == (1, 1)


def test_what_is_known_costs_nothing_where_prices_are_not_known_either() -> None:
    shop = Shop()
    shop.run("one", price=None)
    _, _, run = shop.run("one", price=None)
    assert shop.store.costs(run.id, by=("tier",)).unknown_calls == 0


def test_a_retry_asks_what_was_found_wanting() -> None:
    shop = Shop()
    unsure = {"model": "score=0.5", "accept_at": 0.4}
    shop.run("one", engine=Listening("score=0.5"), **unsure)
    judged, engine, run = shop.run("one", engine=Listening("score=0.5"), **unsure | {"accept_at": 0.8})
    assert (engine.asked, judged.unresolved) == ([], 1)
    shop.store.retry(run.id, unresolved=True)
    judged = shop.judge(run, engine)
    assert engine.asked == [("topic", "one")]
    assert judged.reused == 0


def test_the_ledger_names_the_model_that_answered_at_the_time() -> None:
    shop = Shop()
    endpoint: dict[str, Any] = {"engine": "openai", "model": "big", "base_url": "http://127.0.0.1:9/v1"}
    shop.judge(shop.open("one", **endpoint), Listening("big-2026-01"))
    run, engine = shop.open("one", **endpoint), Listening("big")
    shop.judge(run, engine)
    assert not engine.asked
    assert [row.group["model"] for row in shop.store.costs(run.id, by=("model",)).rows] == ["big-2026-01"]


def test_what_is_known_ends_no_pause_of_an_endpoint() -> None:
    shop = Shop()
    shop.run("one")
    judged, _, waits = shop.run("two", engine=Listening(down=True))
    assert judged.result == "outage"
    known = shop.open("one")
    assert shop.judge(known, Listening()).result == "nothing", "its tier is paused"
    shop.clock.sleep(6)
    assert shop.judge(known, Listening(down=True)).reused == 1
    assert shop.judge(waits, Listening(down=True)).result == "outage"
    (pause,) = shop.store._tables.pauses_of(shop.store._tables.run(waits.id), 0)
    assert pause.times == 2, "the next pause is twice as long"
