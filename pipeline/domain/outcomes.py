"""What becomes of one (item, step) at one tier: exactly one of Verdict, Escalation, Unresolved; for a while Held."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.answers import Answer, Malformed, Usage
from pipeline.domain.scores import Confidence, RawScore

LOW_CONFIDENCE = "low_confidence"
UNKNOWN_CONFIDENCE = "unknown_confidence"
CHECK_FAILED = "check_failed"
NOT_IN_TEXT = "not_in_text"
SUSPICIOUS = "suspicious"
"""The text looks as if it instructed the model that reads it."""
DRAWN = "drawn"
"""Drawn for a certificate: the reference answers it."""
AUDITED = "audited"
"""Would have stood by its certificate, and is answered by the reference to see whether that holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer of an engine to one ask, with what the engine knows of its own sureness."""

    answer: Answer | Malformed
    raw_score: RawScore | None
    """Of the whole answer; None where the engine gives no probabilities or there is no answer."""
    confidence: Confidence | None = None
    """How sure to be of it by what the tier has learned; None where it has learned nothing about this step."""
    field_scores: Mapping[str, RawScore] = field(default_factory=dict)
    """Of each field of a record, where known."""
    shares: Mapping[str, float] | None = None
    """Probability of every option, where all were wanted and the engine knows them."""
    usage: Usage
    call_no: int
    """Index of the Call in the reply that this answer came from."""
    doubted: bool = False
    """Its text names it, and it was not given again without what names it."""
    truncated: bool = False
    """The text was cut to fit, as the tier's `on_long` allows."""
    hidden: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """The model's last hidden state where the labels part, shape (width,); None where it was not asked for."""
    halfway: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """What the model shows halfway up: the mean of its hidden states over all tokens but the instruction's, and behind
    that the one where the labels part; shape (2 * width,). None where it was not asked for or is not shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer is accepted."""


@dataclass(frozen=True, slots=True)
class Held:
    """The answer is believed enough to be certified: it waits for the thresholds of its window."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """The next tier of the step's ladder is asked."""

    to_tier: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The top of the ladder gave no answer that can be accepted: a matter of the model, never of an outage."""

    reason: str


Outcome: TypeAlias = Verdict | Held | Escalation | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One answer of one tier to one (item, step), and what became of it."""

    item_no: int
    step_no: int
    given: Given
    confidence: Confidence | None
    field_confidences: Mapping[str, Confidence]
    outcome: Outcome
    call_id: UUID
