"""Judge one chunk: claim → answer → commit (checks the fence) → publish. The ack is the worker's."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TypeAlias

from pipeline.asking import Asking, askings, frozen_auto
from pipeline.domain.budget import Funded, most_usd
from pipeline.domain.calibration import uncalibrated
from pipeline.domain.checks import EntryPoint
from pipeline.domain.dead import try_again_after_s
from pipeline.domain.errors import ConservationError, EngineUnavailable, HeadraceError, MessageError
from pipeline.domain.job import Job, steps_of
from pipeline.domain.ledger import enter
from pipeline.domain.outcomes import Attempt, Escalation, Given, Held, Unresolved, Verdict
from pipeline.domain.policy import PolicyVersion, believe, decide, policy_of
from pipeline.domain.runs import RunState
from pipeline.flow.announcing import announce, announce_next
from pipeline.flow.certify import Advanced, PromiseStore, advance, watch
from pipeline.flow.redacting import Shield
from pipeline.flow.second_look import looked_again
from pipeline.ports.clock import Clock
from pipeline.ports.engine import Ask, Engine, Reply
from pipeline.ports.queue import Queue
from pipeline.ports.store import ClaimedChunk, JudgedChunk, RunRecord

MAX_CLAIMS = 5
"""A chunk that broke its worker this often is halved, down to the item that does it, which is then dead."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0

Place: TypeAlias = tuple[int, int]
"""(item_no, step_no)"""
_Answered: TypeAlias = tuple[Place, str, Given | None]
"""A place, its item's text and its answer."""
LeaseKeeper: TypeAlias = Callable[[ClaimedChunk], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of a chunk, as numbers for the log."""

    chunk_id: int
    result: str
    """committed, refused (an old fence), nothing (not ours to do), no_money, or outage."""
    run: str | None = None
    items: int = 0
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


@dataclass(frozen=True, kw_only=True)
class _Frozen:
    """A run's job, ready to be asked: made once per run and worker."""

    run: RunRecord
    entry_points: Mapping[str, EntryPoint]
    _askings: dict[int, Mapping[int, Asking]] = field(default_factory=dict)
    _auto: dict[int, frozenset[int]] = field(default_factory=dict)
    _shields: dict[int, Shield] = field(default_factory=dict)

    @property
    def job(self) -> Job:
        return self.run.job

    def askings(self, tier_no: int) -> Mapping[int, Asking]:
        if tier_no not in self._askings:
            self._auto[tier_no] = frozen_auto(self.job, tier_no, self.run.prompt_digests)
            self._askings[tier_no] = askings(self.job, tier_no, self._auto[tier_no])
        return self._askings[tier_no]

    def shield(self, tier_no: int) -> Shield:
        """Return what a tier does not see."""
        return self._shields.setdefault(tier_no, Shield(kinds=self.job.redacted_at(tier_no)))

    def fused(self, tier_no: int) -> tuple[str, ...]:
        """Return the names of the steps that share a reading by evidence."""
        return tuple(self.job.steps[number].name for number in sorted(self._auto.get(tier_no, ())))

    @cached_property
    def policy(self) -> PolicyVersion:
        return policy_of(self.job)


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
    _runs: dict[int, _Frozen] = field(default_factory=dict)
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
            announce_next(
                self.queue, self.store, claimed, chunk_s=self._chunk_s
            )  # for others, while we are at this one
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
        funded = self._funded(frozen, claimed)
        asked = claimed.only(funded.asked)
        claimed = claimed.only([one for one in range(len(claimed.item_nos)) if one not in funded.over_cap])
        if not asked.item_nos:
            if claimed.item_nos:  # else all of it was set aside
                self.store.out_of_money(claimed)
            state = self._settle(claimed.run_id)[0]
            return Judged(chunk_id=claimed.chunk_id, result="no_money", run=frozen.run.name, run_state=state)
        places, asks = _asks(frozen, asked)
        started_s = self.clock.monotonic_s()
        with self.keep_lease(claimed):
            reply = self._reply(frozen, claimed.tier_no, asks)
        judged, attempts = self._judged(frozen, claimed, _merged(frozen, claimed.tier_no, places, asks, reply), reply)
        if len(asked.item_nos) < len(claimed.item_nos):
            pairs = zip(claimed.item_nos, claimed.step_masks, strict=True)
            unasked = (pair for pair in pairs if pair[0] not in asked.item_nos)
            judged = dataclasses.replace(judged, remaining=(*judged.remaining, *unasked))
        committed = self.store.commit(judged)
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

    def _reply(self, frozen: _Frozen, tier_no: int, asks: Sequence[Ask]) -> Reply:
        engine = frozen.shield(tier_no).over(self.engine)
        reply = engine.answer(asks)
        if len(reply.given) != len(asks):
            raise ConservationError(f"{len(asks)} asks, {len(reply.given)} answers: the engine lost or doubled some")
        return looked_again(engine, asks, reply) if frozen.job.looks_again(tier_no) else reply

    def _funded(self, frozen: _Frozen, claimed: ClaimedChunk) -> Funded:
        """Reserve what the chunk may cost; returns for which of its items there is money."""
        tier = frozen.job.tiers[claimed.tier_no]
        price = frozen.run.price_book.price(tier.price, self.clock.now().date())
        if frozen.job.budget is None and (price is None or price.usd_per_mtok_in is None):
            return Funded(asked=tuple(range(len(claimed.item_nos))))
        shield = frozen.shield(claimed.tier_no)
        texts = map(shield.text, claimed.texts)
        tries = 1 + min(tier.retries, 1)  # one that timed out is asked once more, and both may be charged
        tries += frozen.job.looks_again(claimed.tier_no)
        costs = [
            sum(
                (
                    most_usd(
                        price,
                        (*shield.question(question).words, text),
                        answer_tokens=tier.max_answer_tokens,
                        tries=tries,
                    )
                    for step_no, asking in frozen.askings(claimed.tier_no).items()
                    if step_no in steps_of(mask)
                    for question in asking.questions
                ),
                Decimal(0),
            )
            for mask, text in zip(claimed.step_masks, texts, strict=True)
        ]
        return self.store.reserve(claimed, costs)

    def _frozen(self, run_id: int) -> _Frozen:
        if run_id not in self._runs:
            run = self.store.run(run_id)
            self._runs[run_id] = _Frozen(run=run, entry_points=self.entry_points_of(run.job))
        return self._runs[run_id]

    def _judged(
        self, frozen: _Frozen, claimed: ClaimedChunk, answered: Iterable[_Answered], reply: Reply
    ) -> tuple[JudgedChunk, tuple[Attempt, ...]]:
        attempts: list[Attempt] = []
        left: dict[int, int] = {}
        for place, text, given in answered:
            if given is None:
                left[place[0]] = left.get(place[0], 0) | 1 << place[1]
            else:
                attempts.append(_attempt(frozen, claimed.tier_no, place, text, given, reply))
        tier = frozen.job.tiers[claimed.tier_no]
        price = frozen.run.price_book.price(tier.price, self.clock.now().date())
        judged = JudgedChunk(
            claimed=claimed,
            policy_version=frozen.policy.version,
            attempts=tuple(attempts),
            ledger=tuple(enter(call, price) for call in reply.calls),
            remaining=tuple(left.items()),
        )
        return judged, judged.attempts

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


def _failure(error: Exception) -> str:
    """Return what is kept of an error: our own words; of others what they are called, for theirs may quote a text."""
    return str(error) if isinstance(error, HeadraceError) else type(error).__name__


def _asks(frozen: _Frozen, claimed: ClaimedChunk) -> tuple[list[Place], list[Ask]]:
    """Lay out the items of a chunk step by step, so that an engine meets all items of one question together.

    A step of several questions has as many asks, one after another.
    """
    on_long = frozen.job.tiers[claimed.tier_no].on_long
    places: list[Place] = []
    asks: list[Ask] = []
    for step_no, asking in frozen.askings(claimed.tier_no).items():
        for item_no, mask, text in zip(claimed.item_nos, claimed.step_masks, claimed.texts, strict=True):
            if step_no in steps_of(mask):
                places.append((item_no, step_no))
                place = f"{frozen.run.name}/{item_no}/{step_no}/{claimed.tier_no}/{claimed.generation}"
                asks += [
                    Ask(question=question, text=text, on_long=on_long, key=f"{place}/{number}")
                    for number, question in enumerate(asking.questions)
                ]
    return places, asks


def _merged(
    frozen: _Frozen, tier_no: int, places: Sequence[Place], asks: Sequence[Ask], reply: Reply
) -> Iterator[_Answered]:
    """Yield each place's answer, made of those to all of its questions; None where one of them was not answered."""
    at = 0
    for place in places:
        asking = frozen.askings(tier_no)[place[1]]
        until = at + len(asking.questions)
        given = [one for one in reply.given[at:until] if one is not None]
        yield place, asks[at].text, asking.merge(given) if len(given) == until - at else None
        at = until


def _attempt(frozen: _Frozen, tier_no: int, place: Place, text: str, given: Given, reply: Reply) -> Attempt:
    item_no, step_no = place
    confidence, field_confidences = believe(given, uncalibrated)
    outcome = decide(
        frozen.job,
        frozen.policy,
        (step_no, tier_no),
        given,
        confidence,
        text=text,
        entry_points=frozen.entry_points,
    )
    return Attempt(
        item_no=item_no,
        step_no=step_no,
        given=given,
        confidence=confidence,
        field_confidences=field_confidences,
        outcome=outcome,
        call_id=reply.calls[given.call_no].id,
    )
