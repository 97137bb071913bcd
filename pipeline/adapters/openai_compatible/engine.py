"""OpenAIEngine: one chat completion per ask, several in flight at once, retried in process for as long as makes sense.

Why the client library's own retries are switched off (openai 3.54 was read): it retries 408, 409, 429 and every 5xx,
sleeping through a Retry-After of up to two minutes. But some servers answer 500 to a parameter that they do not know,
an exhausted quota comes as 429, and once one request has found the endpoint down the others should stop waiting. See
`retrying`.

Every request carries an idempotency key made of its place and its words: an endpoint that knows such keys charges once
for what a worker that died had already asked. A text over which an endpoint breaks (500, again and again) while it
answers another is refused, so that it does not look like an outage for ever.

Length: an endpoint's tokeniser is not ours, so a text is called too long beforehand only when it surely is: more than
8 characters for each token of the window (less frame and answer) or of `max_text_tokens`; about 4 are usual. Between
the two the endpoint decides. Where the ask allows cutting, the text's end is cut to 4 characters a token, and if the
endpoint still refuses, halved until it fits.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from uuid import uuid4

from pipeline.adapters.openai_compatible.client import client_of
from pipeline.adapters.openai_compatible.completion import Completion, completion_of, reading_of
from pipeline.adapters.openai_compatible.dialect import Dialect, Format
from pipeline.adapters.openai_compatible.failures import WORLD_ERRORS, Failure, Fault, fault_of
from pipeline.adapters.openai_compatible.request import body_of, frame_chars, has_patterns
from pipeline.adapters.openai_compatible.retrying import Retries
from pipeline.adapters.openai_compatible.scoring import scores_of
from pipeline.domain.answers import Answer, Defect, Malformed, Usage
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import Question

SURELY_CHARS_PER_TOKEN: Final = 8
USUAL_CHARS_PER_TOKEN: Final = 4
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
Pace: TypeAlias = Callable[[int], float]
"""Tokens that a request may come to → seconds to wait before it is sent."""
_LEAST_CHARS = 16
_PROBE_TEXT = "Hello."
_TOO_LONG_THERE = "the endpoint says that the text is too long"
_NOTHING_USED = Usage(tokens_in=0, tokens_cached=0, tokens_out=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What became of an ask that the endpoint, or its length, decided."""

    given: Given
    """Its `call_no` is set when the batch is complete."""
    call: Call


_Outcome: TypeAlias = _Answered | Fault


class OpenAIEngine:
    """Answers by chat completions of an OpenAI-compatible endpoint. For one thread at a time; owns an event loop."""

    def __init__(
        self,
        *,
        model: str,
        base_url: str | None,
        api_key: str | None,
        azure_api_version: str | None,
        context_tokens: int,
        max_text_tokens: int | None,
        max_answer_tokens: int,
        concurrency: int,
        timeout_s: float,
        retries: int,
        pace: Pace | None = None,
    ) -> None:
        """Prepare a client without connecting; raises ConfigError when key or address cannot work.

        `pace` is asked before every request, in a thread, with the tokens that it may come to, and returns how long to
        wait.
        """
        self._model = model
        self._context_tokens = context_tokens
        self._max_text_tokens = max_text_tokens
        self._max_answer_tokens = max_answer_tokens
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = Retries(each=retries)
        self._pace = pace
        self._beats = 0
        self._client = client_of(base_url=base_url, api_key=api_key, azure_api_version=azure_api_version)
        self._dialects: dict[str, Dialect] = {}
        """Question digest → the dialect in which it was last answered: also the proof that the question works here."""
        self._latest = Dialect()
        self._runner = asyncio.Runner()
        self._closed = False

    def __repr__(self) -> str:
        """Name model and endpoint; no key."""
        return f"OpenAIEngine(model={self._model!r}, endpoint={self._endpoint!r})"

    @property
    def model(self) -> str:
        """The model or deployment name that is asked for."""
        return self._model

    @property
    def beats(self) -> int:
        """How many requests have ended, one way or the other."""
        return self._beats

    @property
    def _endpoint(self) -> str:
        url = self._client.base_url
        return url.host if url.port is None else f"{url.host}:{url.port}"

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer every ask by one completion; see the port. Raises EngineUnavailable when nothing could be answered."""
        if not asks:
            return Reply(given=(), calls=())
        outcomes, extra, fault = self._runner.run(self._answer_all(asks))
        calls = [outcome.call for outcome in outcomes if outcome is not None]
        numbers = iter(range(len(calls)))
        given = tuple(
            None if outcome is None else replace(outcome.given, call_no=next(numbers)) for outcome in outcomes
        )
        outage = None if fault is None else f"endpoint {self._endpoint} {fault.what}"
        wait_s = None if fault is None else fault.retry_after_s
        if outage is not None and not calls:
            raise EngineUnavailable(outage, retry_after_s=wait_s)
        return Reply(given=given, calls=(*calls, *extra), outage=outage, retry_after_s=wait_s)

    def close(self) -> None:
        """Close connections and the event loop; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._runner.run(self._client.close())
        self._runner.close()

    async def _answer_all(self, asks: Sequence[Ask]) -> tuple[list[_Answered | None], list[Call], Fault | None]:
        batch = _Batch(asks)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(asks))):
                group.create_task(self._work(batch))
        return batch.outcomes, batch.extra_calls, batch.fault

    async def _work(self, batch: "_Batch") -> None:
        for number, ask in batch.waiting:
            outcome = await self._outcome_of(ask, batch)
            if isinstance(outcome, Fault):
                batch.fault = batch.fault or outcome
                batch.down.set()
            else:
                batch.outcomes[number] = outcome
            if batch.down.is_set():
                return

    async def _outcome_of(self, ask: Ask, batch: "_Batch") -> _Outcome:
        """Ask until the endpoint decides: answered, or down."""
        limit = self._limit_chars(ask.question)
        if len(ask.text) > limit and (ask.on_long != "truncate" or limit < _LEAST_CHARS):
            return self._undecided(Defect.TOO_LONG, "the text is far longer than this tier takes", seconds=0.0)
        text = ask.text if len(ask.text) <= limit else ask.text[: limit // 2]
        started = time.monotonic()
        while True:
            outcome = await self._settled(ask, text, batch)
            if isinstance(outcome, Fault) and outcome.broke and not batch.down.is_set():
                outcome = await self._broken(ask, text, outcome, batch)
            if isinstance(outcome, _Answered):
                return replace(outcome, given=replace(outcome.given, truncated=len(text) < len(ask.text)))
            if outcome.failure is Failure.REJECTED:
                return await self._rejected(ask, outcome, batch)
            if outcome.failure is not Failure.TOO_LONG:
                return outcome
            shorter = min(len(text) // 2, max(0, limit // 2))
            if ask.on_long != "truncate" or shorter < _LEAST_CHARS:
                return self._undecided(Defect.TOO_LONG, _TOO_LONG_THERE, seconds=time.monotonic() - started)
            text = text[:shorter]

    async def _settled(self, ask: Ask, text: str, batch: "_Batch", *, retried: bool = True) -> _Outcome:
        """Ask in poorer and poorer dialects and with retries, until there is a completion or a fault that lasts."""
        question = ask.question
        dialect = self._dialects.get(question.digest) or replace(self._latest, format=Format.SCHEMA)
        patterns = has_patterns(question.form)
        tries = broken = 0
        while True:
            body = body_of(question, text, dialect, model=self._model, max_answer_tokens=self._max_answer_tokens)
            started = time.monotonic()
            try:
                completion = await self._completion(body, None if ask.key is None else f"{ask.key}/{broken}")
            except WORLD_ERRORS as error:
                fault = fault_of(error, now_unix_s=time.time())
            else:
                self._retries.answered()
                self._latest = self._dialects[question.digest] = dialect
                return self._answered(question, completion, seconds=time.monotonic() - started)
            if fault.failure is Failure.PARAMETER and fault.parameter is not None:
                poorer = dialect.without(fault.parameter, patterns=patterns)
                if poorer is None:
                    return replace(fault, failure=Failure.REJECTED)
                dialect = poorer
                continue
            if fault.failure is Failure.FILTERED:
                seconds = time.monotonic() - started
                return self._undecided(Defect.REFUSED, "the endpoint's content filter declined", seconds=seconds)
            if not retried or not await self._may_retry(fault, tries, batch):
                return fault
            tries += 1
            broken += fault.broke  # an endpoint that keeps answers by their key would repeat its failure

    async def _completion(self, body: dict[str, Any], key: str | None) -> Completion:
        if self._pace is not None:
            chars = sum(len(message["content"]) for message in body["messages"])
            tokens = chars // USUAL_CHARS_PER_TOKEN + self._max_answer_tokens
            await asyncio.sleep(await asyncio.to_thread(self._pace, tokens))
        headers = None if key is None else {IDEMPOTENCY_HEADER: _once(key, body)}
        try:
            async with asyncio.timeout(self._timeout_s):  # the client's own limits each read, not the whole
                response = await self._client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
        finally:
            self._beats += 1
        return completion_of(json.loads(response.content))

    async def _may_retry(self, fault: Fault, tries: int, batch: "_Batch") -> bool:
        """Wait before another try; False when there should be none."""
        wait_s = None if batch.down.is_set() else self._retries.wait_s(fault, tries)
        if wait_s is None:
            return False
        try:
            async with asyncio.timeout(wait_s):
                await batch.down.wait()
        except TimeoutError:
            return True
        return False

    async def _broken(self, ask: Ask, text: str, fault: Fault, batch: "_Batch") -> _Outcome:
        """Tell a text over which the endpoint breaks from an endpoint that is broken: that answers no other either."""
        started = time.monotonic()
        probe = await self._settled(replace(ask, key=None), _PROBE_TEXT, batch, retried=False)
        if isinstance(probe, Fault):
            return fault
        batch.extra_calls.append(probe.call)
        again = await self._settled(ask, text, batch, retried=False)
        if isinstance(again, _Answered) or not again.broke:
            return again
        seconds = time.monotonic() - started
        return self._undecided(Defect.REFUSED, "the endpoint fails over this text and answers others", seconds=seconds)

    async def _rejected(self, ask: Ask, fault: Fault, batch: "_Batch") -> _Outcome:
        """Tell a text that the endpoint rejects from an endpoint that rejects everything.

        If the step never worked here, it is asked about a harmless text; should that work, the text was at fault.
        """
        started = time.monotonic()
        if ask.question.digest not in self._dialects:
            probe = await self._settled(replace(ask, key=None), _PROBE_TEXT, batch)
            if isinstance(probe, Fault):
                return replace(fault, failure=Failure.DOWN)
            batch.extra_calls.append(probe.call)
        seconds = time.monotonic() - started
        return self._undecided(Defect.REFUSED, "the endpoint rejects the request with this text", seconds=seconds)

    def _answered(self, question: Question, completion: Completion, *, seconds: float) -> _Answered:
        reading = reading_of(completion, question.form)
        raw_score, field_scores = scores_of(completion, reading, question.form)
        return self._recorded(
            reading.answer,
            completion.usage,
            seconds=seconds,
            model=completion.model or self._model,
            raw_score=raw_score,
            field_scores=field_scores,
        )

    def _undecided(self, defect: Defect, detail: str, *, seconds: float) -> _Answered:
        """Answer without a completion: nothing was used, and the call says so."""
        return self._recorded(Malformed(defect=defect, detail=detail), _NOTHING_USED, seconds=seconds)

    def _recorded(
        self,
        answer: Answer | Malformed,
        usage: Usage,
        *,
        seconds: float,
        model: str | None = None,
        raw_score: RawScore | None = None,
        field_scores: dict[str, RawScore] | None = None,
    ) -> _Answered:
        call = Call(
            id=uuid4(),
            model=model or self._model,
            tokens_in=usage.tokens_in,
            tokens_cached=usage.tokens_cached,
            tokens_out=usage.tokens_out,
            seconds=seconds,
        )
        given = Given(answer=answer, raw_score=raw_score, field_scores=field_scores or {}, usage=usage, call_no=0)
        return _Answered(given=given, call=call)

    def _limit_chars(self, question: Question) -> int:
        """Return from how many characters on a text surely does not fit."""
        window = SURELY_CHARS_PER_TOKEN * (self._context_tokens - self._max_answer_tokens) - frame_chars(question)
        trusted = window if self._max_text_tokens is None else SURELY_CHARS_PER_TOKEN * self._max_text_tokens
        return max(0, min(window, trusted))


def _once(key: str, body: Mapping[str, Any]) -> str:
    """Return a request's idempotency key: another body, as in another dialect, is another request."""
    return hashlib.sha256(f"{key} {json.dumps(body, sort_keys=True)}".encode()).hexdigest()


class _Batch:
    """State of one `answer`: what waits, what came of it, and whether the endpoint was found down."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.waiting: Iterator[tuple[int, Ask]] = iter(enumerate(asks))
        self.outcomes: list[_Answered | None] = [None] * len(asks)
        self.extra_calls: list[Call] = []
        self.fault: Fault | None = None
        self.down = asyncio.Event()
