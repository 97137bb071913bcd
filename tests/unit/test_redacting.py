"""What leaves the machine at a redacting job's remote tier, and what comes of the answers."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.adapters.openai_compatible.dialect import Dialect
from pipeline.adapters.openai_compatible.request import body_of
from pipeline.domain.answers import Answer, Fields, Label, Usage
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.pricing import PriceBook
from pipeline.domain.steps import Choice
from pipeline.flow.ingest import announce, new_run
from pipeline.flow.judge import Judge, Judged
from pipeline.flow.redacting import shielded
from pipeline.ports.engine import Ask, Reply

TEXT = "Please write to mia@example.com or ring +1 555 014 2368, my card 4111 1111 1111 1111 was charged twice."
VALUES = ("mia@example.com", "555 014 2368", "4111 1111 1111 1111")
FAR, NEAR = "https://api.example.com/v1", "http://127.0.0.1:8000/v1"
CONTACT = {
    "name": "contact",
    "kind": "extract",
    "fields": {"mail": {"type": "string", "pattern": "[^ @]+@[^ @]+"}, "phone": {"type": "string"}},
    "examples": [{"text": "I am leo@example.org", "answer": {"mail": "leo@example.org"}}],
}
MOOD = {"name": "mood", "kind": "sentiment"}


class Recording:
    """An engine that keeps what it is asked, and answers records with what it is told to."""

    model = "recording"

    def __init__(self, said: Mapping[str, Any]) -> None:
        self.said = said
        self.asked: list[Ask] = []

    def answer(self, asks: Sequence[Ask]) -> Reply:
        self.asked += asks
        call = Call(id=uuid4(), model="m", tokens_in=1, tokens_cached=0, tokens_out=1, seconds=0.1)
        return Reply(given=tuple(self._given(ask) for ask in asks), calls=(call,))

    def _given(self, ask: Ask) -> Given:
        answer: Answer = Label("neutral") if isinstance(ask.question.form, Choice) else Fields(dict(self.said))
        return Given(answer=answer, raw_score=None, usage=Usage(tokens_in=1, tokens_out=1), call_no=0)

    def close(self) -> None:
        self.asked.clear()

    def sent(self) -> str:
        """Return all bodies of requests that the asks become."""
        bodies = [
            body_of(ask.question, ask.text, Dialect(), model="m", max_answer_tokens=64) for ask in self.asked
        ]
        return json.dumps(bodies, ensure_ascii=False)


def job_at(url: str, *, redact: Sequence[str] = ("email", "phone", "card", "ssn")) -> Job:
    tier = {"name": "top", "engine": "openai", "model": "m", "base_url": url, "on_unknown_confidence": "accept"}
    return Job.model_validate({"name": "j", "steps": [CONTACT, MOOD], "tiers": [tier], "redact": list(redact)})


def judged(job: Job, engine: Recording) -> tuple[Judged, MemoryStore, int]:
    """Let a worker judge one item from claim to commit."""
    clock = FakeClock()
    store, queue = MemoryStore(clock), MemoryQueue()
    run, _ = store.open_run(new_run(job, uuid4().hex, PriceBook()))
    added = store.add_rows(run.id, [Item(key="1", source="s", line=1, text=TEXT)], at=0, keyed=False)
    announce(queue, store, added.notices)
    store.finish_ingest(run.id)
    waiting = store.unpublished(grace_s=0, dead_after=9) or queue.chunk_ids(job.tiers[0].pool, taken_within_s=60)
    judge = Judge(
        pool=job.tiers[0].pool,
        engine=engine,
        store=store,
        queue=queue,
        clock=clock,
        worker="w",
        lease_s=10,
        keep_lease=lambda _: contextlib.nullcontext(),
        entry_points_of=lambda _: {},
    )
    first = next(iter(waiting))
    return judge.judge(first if isinstance(first, int) else first.chunk_id), store, run.id


def answer_to(store: MemoryStore, run_id: int) -> tuple[Any, str | None]:
    (result,) = [one for one in store.results(run_id) if one.step == "contact"]
    return result.answer, result.reason
