"""Any order of adding, claiming, answering, crashing, cancelling and mending ends with every outcome there once.

The same random schedule is also played on the twin and on Postgres at once: they must agree after every step.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pipeline.adapters.memory import FakeClock, MemoryStore
from pipeline.adapters.postgres import PostgresStore
from pipeline.domain.items import Item, RejectedRow
from pipeline.domain.outcomes import LOW_CONFIDENCE, Escalation, Outcome, Unresolved, Verdict
from pipeline.domain.runs import FINAL_STATES, RunState
from pipeline.ports.store import ChunkNotice, ClaimedChunk, Store
from tests.contract.store_cases import LONG_S, MOOD, TOPIC, Rig, call, item, judge, make_job, rejected, tier

JOB = make_job(
    MOOD,
    {**TOPIC, "ladder": ["small", "large"]},
    tiers=[tier("small", chunk_items=3), tier("medium", chunk_items=2), tier("large", chunk_items=4)],
)
TEXTS = tuple("abcdefghijklmnopqrst")
PICK = st.integers(0, 1000)


def decide(item_no: int, step_no: int, tier_no: int) -> Outcome:
    """Decide by numbers alone, so that every store decides the same."""
    upper = JOB.next_tier(step_no, tier_no)
    luck = (item_no * 7 + step_no * 3 + tier_no * 5) % 4
    if luck == 0:
        return Verdict()
    return Unresolved(LOW_CONFIDENCE) if upper is None else Escalation(upper, LOW_CONFIDENCE)


class Schedule(RuleBasedStateMachine):
    """Plays one schedule on all stores and compares what each step gave."""

    def __init__(self, stores: tuple[Store, ...], source: str) -> None:
        super().__init__()
        self.rigs = [Rig(store=store) for store in stores]
        self.runs = [rig.open(JOB, source=source) for rig in self.rigs]
        self.claims: list[list[ClaimedChunk]] = []
        self.rows = 0

    def each(self, do: Callable[[Store, int], Any]) -> Any:  # noqa: ANN401 — whatever the step gives
        """Do a step on every store; all must give the same."""
        got = [do(rig.store, run.id) for rig, run in zip(self.rigs, self.runs, strict=True)]
        assert all(one == got[0] for one in got)
        return got[0]

    def waiting(self) -> list[list[ChunkNotice]]:
        """Return each store's unpublished chunks of the run; all must be of the same sizes."""
        found = [
            [notice for notice in rig.waiting() if notice.run_name == run.name]
            for rig, run in zip(self.rigs, self.runs, strict=True)
        ]
        assert all(_shapes(notices) == _shapes(found[0]) for notices in found)
        return found

    def ingesting(self) -> bool:
        return self.state() is RunState.INGESTING

    def state(self) -> RunState:
        state: RunState = self.each(lambda store, run_id: store.run(run_id).state)
        return state

    @precondition(ingesting)
    @rule(texts=st.lists(st.sampled_from(TEXTS), max_size=7), bad=st.booleans(), again=st.integers(0, 3))
    def add_rows(self, texts: list[str], bad: bool, again: int) -> None:  # noqa: FBT001 — hypothesis passes names
        rows: list[Item | RejectedRow] = [item(text, key=f"{text}{number % 2}") for number, text in enumerate(texts)]
        rows += [rejected()] if bad else []
        behind = min(again, self.rows)
        repeated = [item("not stored again", key=f"r{number}") for number in range(behind)]
        self.each(
            lambda store, run_id: _added(
                store.add_rows(run_id, [*repeated, *rows], at=self.rows - behind, keyed=False).notices
            )
        )
        self.rows += len(rows)

    @precondition(ingesting)
    @rule()
    def finish_ingest(self) -> None:
        self.each(lambda store, run_id: store.finish_ingest(run_id))

    @rule()
    def reopen_ingest(self) -> None:
        self.each(lambda store, run_id: store.reopen_ingest(run_id))

    @rule(pick=PICK, crashes=st.booleans())
    def claim(self, pick: int, crashes: bool) -> None:  # noqa: FBT001 — hypothesis passes names
        found = self.waiting()
        if not found[0]:
            return
        lease_s = 0.0 if crashes else LONG_S
        claimed = [
            rig.claim(notices[pick % len(notices)].chunk_id, lease_s=lease_s)
            for rig, notices in zip(self.rigs, found, strict=True)
        ]
        assert all(_asked(one) == _asked(claimed[0]) for one in claimed)
        self.claims.append(claimed)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, outage_after=st.integers(0, 3) | st.none())
    def commit(self, pick: int, outage_after: int | None) -> None:
        self._commit(self.claims[pick % len(self.claims)], outage_after)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        claimed = iter(self.claims[pick % len(self.claims)])
        self.each(lambda store, _: store.give_back(next(claimed)))

    @rule()
    def settle(self) -> None:
        self.each(_settled)

    @precondition(lambda self: self.state() not in FINAL_STATES)
    @rule()
    def flush(self) -> None:
        self.each(lambda store, run_id: _added(store.flush(run_id, older_than_s=0)))

    @rule(pick=PICK)
    def publish_some(self, pick: int) -> None:
        for rig, notices in zip(self.rigs, self.waiting(), strict=True):
            rig.store.mark_published([notice.chunk_id for notice in notices[: pick % 4]])

    @rule(pick=PICK)
    def redis_loses_all(self, pick: int) -> None:
        """Claim what was published and never claimed, as after a sweep."""
        pool = JOB.tiers[pick % len(JOB.tiers)].pool
        lost = [
            [one for one in rig.store.published_pending(pool=pool, older_than_s=0) if one.run_name == run.name]
            for rig, run in zip(self.rigs, self.runs, strict=True)
        ]
        assert all(_shapes(notices) == _shapes(lost[0]) for notices in lost)
        if lost[0]:
            self.claims.append(
                [rig.claim(notices[0].chunk_id) for rig, notices in zip(self.rigs, lost, strict=True)],
            )

    @rule()
    def cancel(self) -> None:
        self.each(lambda store, run_id: store.cancel(run_id))

    @rule(unresolved=st.booleans())
    def retry(self, unresolved: bool) -> None:  # noqa: FBT001 — hypothesis passes names
        self.each(lambda store, run_id: store.retry(run_id, unresolved=unresolved))

    @rule(text=st.sampled_from(TEXTS), which=st.integers(0, 1), dry_run=st.booleans())
    def forget(self, text: str, which: int, dry_run: bool) -> None:  # noqa: FBT001 — hypothesis passes names
        """Forget a key whose text rows with another key may have, whoever is at it."""
        self.each(lambda store, run_id: store.forget(run_id, f"{text}{which}", dry_run=dry_run))

    @invariant()
    def all_agree(self) -> None:
        progress = self.each(_counted)
        assert progress["items"] + progress["rejected"] + progress["forgotten"] == self.rows

    def teardown(self) -> None:
        if self.state() in FINAL_STATES:
            self.retry(unresolved=False)
        self.finish_ingest()
        for claimed in self.claims:
            self._commit(claimed, None)
        for rig in self.rigs:
            for pool in rig.store.pools():
                for notice in rig.store.published_pending(pool=pool, older_than_s=0):
                    rig.store.commit(judge(rig.claim(notice.chunk_id), decide))
        states = [rig.finish(run, decide) for rig, run in zip(self.rigs, self.runs, strict=True)]
        assert set(states) == {RunState.DONE}
        progress = self.each(_counted)
        assert progress["answered"] == progress["items"] * len(JOB.steps)
        lines = self.each(lambda store, run_id: [line.as_json() for line in store.results(run_id)])
        assert len(lines) == progress["items"]
        assert all(answer["state"] != "pending" for line in lines for answer in line["answers"].values())

    def _commit(self, claimed: list[ClaimedChunk], outage_after: int | None) -> None:
        entry = call()
        accepted = []
        for rig, one in zip(self.rigs, claimed, strict=True):
            judged = judge(one, decide, entry=entry)
            if outage_after is not None and outage_after < len(one.item_nos):
                done = set(one.item_nos[:outage_after])
                pairs = zip(one.item_nos, one.step_masks, strict=True)
                judged = replace(
                    judged,
                    attempts=tuple(attempt for attempt in judged.attempts if attempt.item_no in done),
                    remaining=tuple(pair for pair in pairs if pair[0] not in done),
                )
            committed = rig.store.commit(judged)
            accepted.append((committed.accepted, _added(committed.notices)))
        assert all(one == accepted[0] for one in accepted)


def _asked(claimed: ClaimedChunk) -> tuple[object, ...]:
    return (claimed.tier_no, claimed.generation, claimed.fence, claimed.item_nos, claimed.step_masks, claimed.texts)


def _shapes(notices: list[ChunkNotice]) -> list[tuple[str, int]]:
    return [(notice.tier, notice.items) for notice in notices]


def _added(notices: tuple[ChunkNotice, ...]) -> list[tuple[str, int]]:
    return sorted(_shapes(list(notices)))


def _settled(store: Store, run_id: int) -> tuple[RunState, list[tuple[str, int]]]:
    state, notices = store.settle(run_id)
    return state, _added(notices)


def _counted(store: Store, run_id: int) -> dict[str, Any]:
    progress = store.progress(run_id)
    seen = progress.as_json()
    del seen["seconds"], seen["run"]
    return {**seen, "answered": progress.answered, "calls": progress.calls, "baseline": progress.baseline_usd}


def _play(stores: tuple[Store, ...], *, examples: int, steps: int) -> None:
    numbers = itertools.count(1)

    class Played(Schedule):
        def __init__(self) -> None:
            super().__init__(stores, f"source {next(numbers)}")

    run_state_machine_as_test(
        Played,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )


def test_any_schedule_ends_with_every_outcome_there_once() -> None:
    _play((MemoryStore(FakeClock()),), examples=60, steps=40)


def test_the_twin_and_postgres_agree_on_any_schedule(emptied_database_url: str) -> None:
    real = PostgresStore(emptied_database_url)
    try:
        _play((MemoryStore(FakeClock()), real), examples=8, steps=40)
    finally:
        real.close()
