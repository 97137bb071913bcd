"""OpenAIEngine: one chat completion per ask, several in flight at once, retried in process for as long as makes sense.

Why the client library's own retries are switched off (openai 3.54 was read): it retries 408, 409, 429 and every 5xx,
sleeping through a Retry-After of up to two minutes. But some servers answer 500 to a parameter that they do not know,
an exhausted quota comes as 429, and once one request has found the endpoint down the others should stop waiting. Here
a wait is what the endpoint asks for and a little more, else 0.5 s doubled up to 8 s, less a random share of up to a
half. A wish to wait longer than 30 s is passed on as an outage, for the tier to pause. A time-out is retried once, as
it has already cost `timeout_s`.

Length: an endpoint's tokeniser is not ours, so a text is called too long beforehand only when it surely is: more than
8 characters for each token of the window (less frame and answer) or of `max_text_tokens`; about 4 are usual. Between
the two the endpoint decides. Where the ask allows cutting, the text's end is cut to 4 characters a token, and if the
endpoint still refuses, halved until it fits.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias
from uuid import uuid4

from pipeline.adapters.openai_compatible.client import client_of
from pipeline.adapters.openai_compatible.completion import Completion, completion_of, reading_of
from pipeline.adapters.openai_compatible.dialect import Dialect, Format
from pipeline.adapters.openai_compatible.failures import WORLD_ERRORS, Failure, Fault, fault_of
from pipeline.adapters.openai_compatible.request import body_of, frame_chars, has_patterns
from pipeline.adapters.openai_compatible.scoring import scores_of
from pipeline.domain.answers import Answer, Defect, Malformed, Usage
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.scores import RawScore
from pipeline.ports.engine import Ask, Reply
from pipeline.prompts import Question

LONGEST_WAIT_S: Final = 30.0
SURELY_CHARS_PER_TOKEN: Final = 8
USUAL_CHARS_PER_TOKEN: Final = 4
_FIRST_WAIT_S, _LONGEST_BACKOFF_S = 0.5, 8.0
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
    ) -> None:
        """Prepare a client without connecting; raises ConfigError when key or address cannot work."""
        self._model = model
        self._context_tokens = context_tokens
        self._max_text_tokens = max_text_tokens
        self._max_answer_tokens = max_answer_tokens
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._retries = retries
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
            outcome = await self._settled(ask.question, text, batch)
            if isinstance(outcome, _Answered):
                return replace(outcome, given=replace(outcome.given, truncated=len(text) < len(ask.text)))
            if outcome.failure is Failure.REJECTED:
                return await self._rejected(ask.question, outcome, batch)
            if outcome.failure is not Failure.TOO_LONG:
                return outcome
            shorter = min(len(text) // 2, max(0, limit // 2))
            if ask.on_long != "truncate" or shorter < _LEAST_CHARS:
                return self._undecided(Defect.TOO_LONG, _TOO_LONG_THERE, seconds=time.monotonic() - started)
            text = text[:shorter]

    async def _settled(self, question: Question, text: str, batch: "_Batch") -> _Outcome:
        """Ask in poorer and poorer dialects and with retries, until there is a completion or a fault that lasts."""
        dialect = self._dialects.get(question.digest) or replace(self._latest, format=Format.SCHEMA)
        patterns = has_patterns(question.form)
        tries = 0
        while True:
            body = body_of(question, text, dialect, model=self._model, max_answer_tokens=self._max_answer_tokens)
            started = time.monotonic()
            try:
                completion = await self._completion(body)
            except WORLD_ERRORS as error:
                fault = fault_of(error, now_unix_s=time.time())
            else:
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
            if not await self._may_retry(fault, tries, batch):
                return fault
            tries += 1

    async def _completion(self, body: dict[str, Any]) -> Completion:
        async with asyncio.timeout(self._timeout_s):  # the client's own limits each read, not the whole
            response = await self._client.chat.completions.with_raw_response.create(**body)
        return completion_of(json.loads(response.content))

    async def _may_retry(self, fault: Fault, tries: int, batch: "_Batch") -> bool:
        """Wait before another try; False when there should be none."""
        allowed = min(self._retries, 1) if fault.timed_out else self._retries
        if fault.failure is not Failure.TRANSIENT or tries >= allowed or batch.down.is_set():
            return False
        wait_s = min(_FIRST_WAIT_S * 2**tries, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
        if fault.retry_after_s is not None:
            if fault.retry_after_s > LONGEST_WAIT_S:
                return False
            wait_s = max(wait_s, fault.retry_after_s * random.uniform(1.0, 1.1))
        try:
            async with asyncio.timeout(wait_s):
                await batch.down.wait()
        except TimeoutError:
            return True
        return False

    async def _rejected(self, question: Question, fault: Fault, batch: "_Batch") -> _Outcome:
        """Tell a text that the endpoint rejects from an endpoint that rejects everything.

        If the step never worked here, it is asked about a harmless text; should that work, the text was at fault.
        """
        started = time.monotonic()
        if question.digest not in self._dialects:
            probe = await self._settled(question, _PROBE_TEXT, batch)
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


class _Batch:
    """State of one `answer`: what waits, what came of it, and whether the endpoint was found down."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.waiting: Iterator[tuple[int, Ask]] = iter(enumerate(asks))
        self.outcomes: list[_Answered | None] = [None] * len(asks)
        self.extra_calls: list[Call] = []
        self.fault: Fault | None = None
        self.down = asyncio.Event()
