"""What leaves the machine at a redacting job's remote tier, and what comes of the answers."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from pipeline.adapters.memory import FakeClock, MemoryQueue, MemoryStore
from pipeline.adapters.openai_compatible.dialect import Dialect
from pipeline.adapters.openai_compatible.request import body_of
from pipeline.asking import askings
from pipeline.domain.answers import Answer, Fields, Label, Usage
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.pricing import Price, PriceBook
from pipeline.domain.runs import StepResult
from pipeline.domain.steps import Choice, Record
from pipeline.flow.announcing import announce
from pipeline.flow.ingest import new_run
from pipeline.flow.judge import Judge, Judged
from pipeline.flow.redacting import shielded
from pipeline.ports.engine import Ask, Reply

TEXT = "Please write to mia@example.com or ring +1 555 014 2368, my card 4111 1111 1111 1111 was charged twice."
VALUES = ("mia@example.com", "555 014 2368", "4111 1111 1111 1111")
FAR, NEAR = "https://api.example.com/v1", "http://127.0.0.1:8000/v1"
PRICE = Price(name="p", valid_from=date(2020, 1, 1), usd_per_mtok_in=Decimal(1), usd_per_mtok_out=Decimal(2))
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
        bodies = [body_of(ask.question, ask.text, Dialect(), model="m", max_answer_tokens=64) for ask in self.asked]
        return json.dumps(bodies, ensure_ascii=False)


def job_at(url: str, *, redact: Sequence[str] = ("email", "phone", "card", "ssn"), **more: Any) -> Job:  # noqa: ANN401 — as a job file gives it
    tier = {
        "name": "top",
        "engine": "openai",
        "model": "m",
        "base_url": url,
        "price": "p",
        "on_unknown_confidence": "accept",
    }
    return Job.model_validate({"name": "j", "steps": [CONTACT, MOOD], "tiers": [tier], "redact": list(redact), **more})


def judged(job: Job, engine: Recording) -> tuple[Judged, MemoryStore, int]:
    """Let a worker judge one item from claim to commit."""
    clock = FakeClock()
    store, queue = MemoryStore(clock), MemoryQueue()
    run, _ = store.open_run(new_run(job, uuid4().hex, PriceBook(prices=(PRICE,))))
    added = store.add_rows(run.id, [Item(key="1", source="s", line=1, text=TEXT)], at=0, keyed=False)
    announce(queue, store, run.id)
    store.finish_ingest(run.id)
    chunk_id = added.notices[0].chunk_id
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
    return judge.judge(chunk_id), store, run.id


def contact_of(store: MemoryStore, run_id: int) -> StepResult:
    (line,) = store.results(run_id)
    return line.answers["contact"]


def test_a_remote_tier_is_sent_no_personal_value_and_extraction_gives_back_the_tickets_own() -> None:
    engine = Recording({"mail": "[EMAIL 1]", "phone": "[PHONE 1]"})
    done, store, run_id = judged(job_at(FAR), engine)
    assert (done.result, done.verdicts) == ("committed", 2)
    assert [value for value in VALUES if value in engine.sent()] == []
    assert {ask.text for ask in engine.asked} == {
        "Please write to [EMAIL 1] or ring [PHONE 1], my card [CARD 1] was charged twice."
    }
    found = contact_of(store, run_id)
    assert (found.state, found.value) == ("verdict", {"mail": "mia@example.com", "phone": "+1 555 014 2368"})


def test_the_schema_that_is_sent_lets_a_placeholder_stand_where_a_pattern_is() -> None:
    engine = Recording({"mail": None, "phone": None})
    judged(job_at(FAR), engine)
    form = engine.asked[0].question.form
    assert isinstance(form, Record)
    assert form.as_dict()["mail"].parse("[EMAIL 1]") == "[EMAIL 1]"


def test_the_jobs_own_examples_are_sent_as_they_are() -> None:
    engine = Recording({"mail": None, "phone": None})
    judged(job_at(FAR), engine)
    assert "leo@example.org" in engine.sent()


@pytest.mark.parametrize(
    ("said", "reason"), [("[PHONE 7]", "not_in_text:phone"), ("+1 555 014 2369", "not_in_text:phone")]
)
def test_a_placeholder_that_nobody_gave_is_an_invented_value(said: str, reason: str) -> None:
    _, store, run_id = judged(job_at(FAR), Recording({"mail": None, "phone": said}))
    found = contact_of(store, run_id)
    assert (found.state, found.reason) == ("unresolved", reason)


@pytest.mark.parametrize(("url", "redact"), [(NEAR, ["email", "phone", "card"]), (FAR, [])])
def test_a_tier_on_this_machine_and_a_job_that_redacts_nothing_send_the_text_as_it_is(
    url: str, redact: list[str]
) -> None:
    engine = Recording({"mail": "mia@example.com", "phone": None})
    _, store, run_id = judged(job_at(url, redact=redact), engine)
    assert {ask.text for ask in engine.asked} == {TEXT}
    assert contact_of(store, run_id).value == {"mail": "mia@example.com", "phone": None}


def test_money_is_reserved_for_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def most_usd(_: object, texts: Sequence[str], **__: int) -> Decimal:
        counted.append(texts[-1])
        return Decimal(0)

    monkeypatch.setattr("pipeline.flow.frozen.most_usd", most_usd)
    engine = Recording({"mail": None, "phone": None})
    judged(job_at(FAR, budget={"usd": "1"}), engine)
    assert set(counted) == {ask.text for ask in engine.asked} != {TEXT}


def test_an_engine_behind_a_shield_is_the_engine_in_all_else() -> None:
    engine = Recording({})
    kept = shielded(engine, job_at(FAR), 0)
    assert (kept.model, shielded(engine, job_at(NEAR), 0)) == ("recording", engine)
    question = askings(job_at(FAR), 0)[1].questions[0]
    kept.answer([Ask(question=question, text=TEXT)])
    kept.close()
    assert engine.asked == []


def test_an_answer_too_few_and_one_that_was_not_given_come_back_as_they_are() -> None:
    class Losing(Recording):
        def answer(self, asks: Sequence[Ask]) -> Reply:
            reply = super().answer(asks)
            return replace(reply, given=(None, reply.given[1]), outage="down half-way")

    question = askings(job_at(FAR), 0)[1].questions[0]
    reply = shielded(Losing({}), job_at(FAR), 0).answer([Ask(question=question, text=TEXT)] * 3)
    assert (len(reply.given), reply.given[0], reply.outage) == (2, None, "down half-way")
