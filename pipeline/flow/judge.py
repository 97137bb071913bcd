"""Judge one chunk: claim → answer → commit (checks the fence) → publish. The ack is the worker's."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeAlias

from pipeline.domain.budget import Funded
from pipeline.domain.checks import EntryPoint
from pipeline.domain.dead import try_again_after_s
from pipeline.domain.errors import ConservationError, EngineUnavailable, HeadraceError, MessageError, StoreUnavailable
from pipeline.domain.job import Job, steps_of
from pipeline.domain.ledger import LedgerEntry
from pipeline.domain.outcomes import Attempt, Escalation, Given, Held, Unresolved, Verdict
from pipeline.domain.pricing import Price
from pipeline.domain.runs import RunState
from pipeline.flow.announcing import announce, announce_next
from pipeline.flow.certify import Advanced, PromiseStore, advance, watch
from pipeline.flow.earlier import Before, Source, answered_before, entered, sources_of, with_known
from pipeline.flow.frozen import Answered, FrozenRun, Place
from pipeline.flow.second_look import looked_again
from pipeline.ports.clock import Clock
from pipeline.ports.engine import Ask, Engine, Reply
from pipeline.ports.queue import Queue
from pipeline.ports.store import ClaimedChunk, Committed, JudgedChunk

MAX_CLAIMS = 5
"""A chunk that broke its worker this often is halved, down to the item that does it, which is then dead."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0
_COMMIT_AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Half a minute: a server that is started anew is back by then."""

LeaseKeeper: TypeAlias = Callable[[ClaimedChunk], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of a chunk, as numbers for the log."""

    chunk_id: int
    result: str
    """committed, refused (an old fence), nothing (not ours to do), no_money, or outage."""
    run: str | None = None
    items: int = 0
    reused: int = 0
    """Answers that earlier runs knew."""
    verdicts: int = 0
    held: int = 0
    """Answers that wait to be certified."""
    escalations: int = 0
    unresolved: int = 0
    fused: tuple[str, ...] = ()
    """Steps that share a reading at this tier by evidence, as frozen when the run was made."""
    seconds: float = 0.0
    run_state: RunState | None = None
    promises: tuple[str, ...] = ()
    """What was drawn, certified or refused since this chunk was the last one open."""
    withdrawn: tuple[str, ...] = ()
    """Certificates that their audits have broken."""
    reason: str | None = None


@dataclass(kw_only=True)
class Judge:
    """Answers chunks of one pool with one engine; one per worker process."""

    pool: str
    engine: Engine
    store: PromiseStore
    queue: Queue
    clock: Clock
    worker: str
    lease_s: float
    keep_lease: LeaseKeeper
    entry_points_of: Callable[[Job], Mapping[str, EntryPoint]]
    _runs: dict[int, FrozenRun] = field(default_factory=dict)
    _sources: dict[tuple[int, int], tuple[Source, ...]] = field(default_factory=dict)
    """By run and tier."""
    _chunk_s: float | None = None
    """How long the last chunk took."""

    def judge(self, chunk_id: int) -> Judged:
        """Do one chunk from claim to publish.

        An outage is no exception: the chunk is given back and its tier paused. Anything else that is raised gives the
        chunk back too, and after MAX_CLAIMS times marks it dead, before it goes on to the caller.
        """
        claimed = self.store.claim(chunk_id, worker=self.worker, lease_s=self.lease_s)
        if claimed is None:
            return Judged(chunk_id=chunk_id, result="nothing")
        try:
            # For others, while we are at this one.
            announce_next(self.queue, self.store, claimed, chunk_s=self._chunk_s)
            return self._judge(claimed)
        except EngineUnavailable as error:
            return self._pause(claimed, str(error), error.retry_after_s, give_back=True)
        except Exception as error:
            wait_s = try_again_after_s(claimed.claims)
            self.store.give_back(claimed, dead_after=MAX_CLAIMS, failure=_failure(error), wait_s=wait_s)
            self._settle(claimed.run_id)
            raise

    def _judge(self, claimed: ClaimedChunk) -> Judged:
        frozen = self._frozen(claimed.run_id)
        if frozen.job.tiers[claimed.tier_no].pool != self.pool:
            raise MessageError(f"chunk {claimed.chunk_id} belongs to another pool than {self.pool}")
        before = self._before(frozen, claimed)
        funded = self._funded(frozen, claimed, before)
        asked = claimed.only(funded.asked)
        claimed = claimed.only([one for one in range(len(claimed.item_nos)) if one not in funded.over_cap])
        if not asked.item_nos:
            if claimed.item_nos:  # else all of it was set aside
                self.store.out_of_money(claimed)
            state = self._settle(claimed.run_id)[0]
            return Judged(chunk_id=claimed.chunk_id, result="no_money", run=frozen.run.name, run_state=state)
        wanted = set(asked.item_nos)
        before = {place: known for place, known in before.items() if place[0] in wanted}
        places, asks = frozen.asks(asked, before)
        started_s = self.clock.monotonic_s()
        with self.keep_lease(claimed):
            made = self._reply(frozen, claimed.tier_no, asks) if asks else Reply(given=(), calls=())
            reply, known = with_known(made, before)
            merged = itertools.chain(
                frozen.merged(claimed.tier_no, places, asks, reply), _known_answers(claimed, known)
            )
            ledger = entered(reply, len(made.calls), self._price(frozen, claimed))
            judged = self._judged(frozen, claimed, merged, reply, ledger)
            judged = dataclasses.replace(judged, reused=len(known))
            attempts = judged.attempts
            if len(asked.item_nos) < len(claimed.item_nos):
                pairs = zip(claimed.item_nos, claimed.step_masks, strict=True)
                unasked = (pair for pair in pairs if pair[0] not in wanted)
                judged = dataclasses.replace(judged, remaining=(*judged.remaining, *unasked))
            committed = self._committed(judged)
        if not committed.accepted:
            return Judged(chunk_id=claimed.chunk_id, result="refused", run=frozen.run.name)
        self._chunk_s = self.clock.monotonic_s() - started_s
        if committed.notices or committed.resumed:
            announce(self.queue, self.store, claimed.run_id)
        if reply.outage is not None:
            return self._pause(claimed, reply.outage, reply.retry_after_s, give_back=False)
        state, advanced = self._settle(claimed.run_id)
        return Judged(
            chunk_id=claimed.chunk_id,
            result="committed",
            run=frozen.run.name,
            items=len(asked.item_nos),
            reused=len(before),
            verdicts=sum(isinstance(attempt.outcome, Verdict) for attempt in attempts),
            held=sum(isinstance(attempt.outcome, Held) for attempt in attempts),
            escalations=sum(isinstance(attempt.outcome, Escalation) for attempt in attempts),
            unresolved=sum(isinstance(attempt.outcome, Unresolved) for attempt in attempts),
            fused=frozen.fused(claimed.tier_no),
            seconds=self.clock.monotonic_s() - started_s,
            run_state=state,
            promises=advanced.said,
            withdrawn=watch(self.store, frozen.run) if state is RunState.DONE else (),
        )

    def _committed(self, judged: JudgedChunk) -> Committed:
        """Commit, again and again while Postgres is away for a moment: what was answered has been paid for."""
        for wait_s in _COMMIT_AGAIN_AFTER_S:
            try:
                return self.store.commit(judged)
            except StoreUnavailable:
                self.clock.sleep(wait_s)
        return self.store.commit(judged)

    def _reply(self, frozen: FrozenRun, tier_no: int, asks: Sequence[Ask]) -> Reply:
        engine = frozen.shield(tier_no).over(self.engine)
        reply = engine.answer(asks)
        if len(reply.given) != len(asks):
            raise ConservationError(f"{len(asks)} asks, {len(reply.given)} answers: the engine lost or doubled some")
        return looked_again(engine, asks, reply) if frozen.job.looks_again(tier_no) else reply

    def _before(self, frozen: FrozenRun, claimed: ClaimedChunk) -> Before:
        """Return what earlier runs answered already; of a model on this machine, only the very same file.

        A retry asks: what was known was found wanting.
        """
        tier = frozen.job.tiers[claimed.tier_no]
        if not tier.reuse or claimed.generation:
            return {}
        model = None if tier.engine == "openai" else self.engine.model
        key = (frozen.run.id, claimed.tier_no)
        with self.keep_lease(claimed):
            if key not in self._sources:
                self._sources[key] = sources_of(self.store, frozen, claimed.tier_no)
            asked = list(frozen.askings(claimed.tier_no))
            return answered_before(self.store, self._sources[key], claimed, asked, model)

    def _funded(self, frozen: FrozenRun, claimed: ClaimedChunk, before: Before) -> Funded:
        """Reserve what the chunk may cost; returns for which of its items there is money: what is known needs none."""
        price = self._price(frozen, claimed)
        every = range(len(claimed.item_nos))
        if frozen.job.budget is None and (price is None or price.usd_per_mtok_in is None):
            return Funded(asked=tuple(every))
        paid = [
            place
            for place in every
            if any((claimed.item_nos[place], step) not in before for step in steps_of(claimed.step_masks[place]))
        ]
        if not paid:
            return Funded(asked=tuple(every))
        part = claimed.only(paid)
        funded = self.store.reserve(part, frozen.most_costs(part, price, before))
        free = set(every).difference(paid)
        return Funded(
            asked=tuple(sorted(free.union(paid[place] for place in funded.asked))),
            over_cap=tuple(paid[place] for place in funded.over_cap),
        )

    def _price(self, frozen: FrozenRun, claimed: ClaimedChunk) -> Price | None:
        return frozen.run.price_book.price(frozen.job.tiers[claimed.tier_no].price, self.clock.now().date())

    def _frozen(self, run_id: int) -> FrozenRun:
        if run_id not in self._runs:
            run = self.store.run(run_id)
            self._runs[run_id] = FrozenRun(run=run, entry_points=self.entry_points_of(run.job))
        return self._runs[run_id]

    def _judged(
        self,
        frozen: FrozenRun,
        claimed: ClaimedChunk,
        answered: Iterable[Answered],
        reply: Reply,
        ledger: tuple[LedgerEntry, ...],
    ) -> JudgedChunk:
        attempts: list[Attempt] = []
        left: dict[int, int] = {}
        for place, text, given in answered:
            if given is None:
                left[place[0]] = left.get(place[0], 0) | 1 << place[1]
            else:
                attempts.append(frozen.attempt(claimed.tier_no, place, text, given, reply))
        return JudgedChunk(
            claimed=claimed,
            policy_version=frozen.policy.version,
            attempts=tuple(attempts),
            ledger=ledger,
            remaining=tuple(left.items()),
        )

    def _pause(self, claimed: ClaimedChunk, reason: str, retry_after_s: float | None, *, give_back: bool) -> Judged:
        if give_back:
            self.store.give_back(claimed)
        first_s, longest_s = (_FIRST_PAUSE_S, _LONGEST_PAUSE_S) if retry_after_s is None else (retry_after_s,) * 2
        self.store.pause_tier(claimed.run_id, claimed.tier_no, reason=reason, first_s=first_s, longest_s=longest_s)
        return Judged(chunk_id=claimed.chunk_id, result="outage", reason=reason)

    def _settle(self, run_id: int) -> tuple[RunState, Advanced]:
        state, notices = self.store.settle(run_id)
        advanced = advance(self.store, self._frozen(run_id).run) if state is RunState.RUNNING else Advanced()
        if notices or advanced.notices:
            announce(self.queue, self.store, run_id)
        if advanced.said and not advanced.notices:  # all that was held stands: this may have been the end
            state, _ = self.store.settle(run_id)
        return state, advanced


def _known_answers(claimed: ClaimedChunk, known: Mapping[Place, Given]) -> Iterator[Answered]:
    texts = dict(zip(claimed.item_nos, claimed.texts, strict=True))
    return ((place, texts[place[0]], given) for place, given in known.items())


def _failure(error: Exception) -> str:
    """Return what is kept of an error: our own words; of others what they are called, for theirs may quote a text."""
    return str(error) if isinstance(error, HeadraceError) else type(error).__name__
