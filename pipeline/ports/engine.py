"""Engine: what answers a batch of asks at a tier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.domain.ledger import Call
from pipeline.domain.outcomes import Given
from pipeline.domain.tiers import OnLong
from pipeline.prompts import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question about one text."""

    question: Question
    text: str
    on_long: OnLong = "escalate"
    """Only `truncate` concerns the engine: cut the text's end to fit. Otherwise a long text is answered TOO_LONG."""
    hidden: bool = False
    """Whether the model's hidden states are wanted, the last and those halfway up; for questions with a Choice, where
    the engine has them.

    Nothing more is read for the answer then, which is a guess where labels have several tokens, unless the form asks
    for the probability of every option.
    """
    half: bool = False
    """Whether of the hidden states only those halfway up are wanted: the rest of the model is not read then, and the
    answer is Malformed unless somebody makes one of the states."""

    key: str | None = None
    """Of this question in this run, the same when it is asked again: tells an endpoint that it is a repeat."""

    def __repr__(self) -> str:
        """Name the ask without showing customer text."""
        return f"Ask(step={self.question.step!r}, chars={len(self.text)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answers in the order of the asks.

    An endpoint that went down half-way leaves None for what it did not answer, and says so in `outage`: what was
    answered is paid for and is kept. An engine that could answer nothing at all raises EngineUnavailable instead.
    """

    given: tuple[Given | None, ...]
    calls: tuple[Call, ...]
    outage: str | None = None
    retry_after_s: float | None = None


class Engine(Protocol):
    """Answers batches. One per worker process, used by one thread at a time."""

    @property
    def model(self) -> str:
        """What answers, as the ledger names it."""
        ...

    def answer(self, asks: Sequence[Ask]) -> Reply:
        """Answer every ask; what the model does wrong is a Malformed value.

        Raises EngineUnavailable when nothing could be answered because the engine's endpoint is down.
        """
        ...

    def close(self) -> None:
        """Give back memory and connections; a closed engine is not used again."""
        ...


@runtime_checkable
class BeatingEngine(Protocol):
    """An engine that shows whether it is getting on with a long batch."""

    @property
    def beats(self) -> int:
        """Grows with every part of the work that is done."""
        ...


class TimedEngine(Engine, Protocol):
    """An engine on this machine, which can tell how fast that reads."""

    def read_tokens_per_s(self) -> float:
        """Measure how fast 512 tokens are read at once."""
        ...
