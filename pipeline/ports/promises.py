"""What a store tells of promises: windows of a run, answers that are held in them, and what was decided."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.answers import Answer, Plain
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Items of a run that one certificate of one step is about: those from one closing of the source to the next."""

    step_no: int
    number: int
    """0 is the first of its step."""
    first_item: int
    until_item: int
    """Item numbers from the first up to, not including, the second."""
    items: int
    """How many texts have or get an answer in it; neither copies nor the unresolved are counted: the promise is about
    answers, and what has none must not make room for mistakes."""
    drawing: Drawing | None = None
    """None: nothing was drawn yet."""
    drawn: tuple[int, ...] = ()
    """Item numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAnswers:
    """Answers of one window that wait; arrays of one length."""

    item_nos: NDArray[np.int64]
    tier_nos: NDArray[np.int64]
    confidences: NDArray[np.float64]
    calibrated: NDArray[np.bool_]
    """Whether the confidence is what its tier has learned of this step, and no model's own word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnAnswer:
    """What a cheap tier and the reference say of a drawn item."""

    item_no: int
    tier_no: int
    confidence: float
    answer: Answer
    reference: Answer | None
    """None: the reference has no answer that can be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledAnswer:
    """What a cheap tier, the last tier and people say of a drawn item."""

    item_no: int
    tier_no: int | None
    """The cheap tier whose answer was held; None: the item had gone up before it was drawn."""
    confidence: float | None
    answer: Answer | None
    top: Answer | None
    """None: the last tier has no answer that can be accepted."""
    labelled: bool
    """False: nobody has said yet what is right."""
    label: Plain = None
    """None, where it is labelled: no label fits, or the text does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """A window that was decided, as people look it up."""

    window: Window
    decision: Certificate | Refusal
    version: int
    """The PolicyVersion that it made."""
    audit: Audited | None = None
    """What the reference said of answers that it let stand; None: not asked, or not all answered yet."""
