"""What a tier has learned about a step: to choose (from words, or from a model's hidden states), and when to be sure.

It holds for one question, one model and one set of labels, and says which: with anything else it is refused.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain.curves import Curve, Floats, log_odds
from pipeline.domain.errors import ModelError
from pipeline.domain.outcomes import Given

Way: TypeAlias = Literal["words", "vector", "head", "curve", "balance"]
"""`words`: chooses by the text's words. `vector`: by an encoder's vector of the text, mostly together with its words.
`head`: by a model's hidden state. `curve`: keeps the model's own choice and learns only how sure to be. `balance`: by
the model's own chances without its liking for some labels, learned from texts whose answers nobody knows."""


class Figures(BaseModel):
    """How good it is on answers that it did not learn from. Shares are between 0 and 1; None: not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    accuracy: float
    before: float | None
    """Accuracy of the model's own choice on the same rows; None where there is none."""
    log_loss: float
    """In nats, of the confidence: the chance that it gave to being right or wrong, as it turned out."""
    plain_log_loss: float
    """The same with the probability as the choice itself gives it."""
    ece_excess: float
    """Calibration error beyond that of perfectly calibrated confidences."""


class LearnedStep(BaseModel):
    """One step's part: what it is bound to, and how sure to be. The arrays that choose lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    way: Way
    asked: str
    """Digest of the question; for `words` and `vector`, which read none, of the step's name and options."""
    options: tuple[str, ...]
    """Labels in the order of the classes; empty for a record."""
    half: bool = False
    """Whether its head looks at nothing beyond halfway up the model, which then need not be read further."""
    knows_none: bool
    """Whether the class behind the last option is that of texts which no label fits."""
    curve: Curve | None
    """None where nothing was known of what is right: then how sure to be is what the choice itself says."""
    figures: Figures | None
    """None likewise."""


class Learned(BaseModel):
    """All that one tier has learned of a job's steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str | None
    """Which model's answers or vectors it is about: name and digest of the file; None for words alone."""
    steps: tuple[LearnedStep, ...] = Field(min_length=1)

    def of(self, step: str) -> LearnedStep | None:
        """Return a step's part; None where it has learned nothing about that."""
        return next((one for one in self.steps if one.step == step), None)

    def refuse_other_model(self, model: str | None, *, name: str) -> None:
        """Raise ModelError where it is about another model (None: none at all); `name` is how it is kept."""
        if self.model != model:
            raise ModelError(
                f"{name} was learned with {self.model or 'no model'}, and the tier has {model or 'none'} now: headrace "
                "learn JOB"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is said of some texts: shares (texts, classes) and signals (texts, n), of which the first is log-odds."""

    shares: Floats
    signals: Floats


def options_digest(step: str, options: Sequence[str]) -> str:
    """Return what a choice by words is bound to."""
    return hashlib.sha256(json.dumps([step, list(options)], ensure_ascii=False).encode()).hexdigest()


def choice_signals(shares: Floats) -> Floats:
    """Return four signals (texts, 4) of a choice among all options: its log-odds, margin, runner-up, and spread."""
    if shares.shape[1] < 2:  # noqa: PLR2004 — a choice is between two
        raise ValueError("signals are of a choice between two options or more")
    ranked = np.sort(shares, axis=1)
    spread = -(shares * np.log(shares + 1e-12)).sum(axis=1)
    return np.column_stack(
        [
            log_odds(ranked[:, -1]),
            log_odds(ranked[:, -1] - ranked[:, -2]),
            log_odds(ranked[:, -2]),
            np.log(spread + 1e-4),
        ]
    )


def said_signals(given: Sequence[Given], *, width: int | None = None) -> Floats:
    """Return signals (answers, n) of answers by what their engine says of them.

    Of a label its log-odds; of a record besides those the least sure field's, their mean, and how many are null.
    NaN where the engine gave no probability, or says less than `width` signals want (None: than the others').
    """
    rows = [_said(one) for one in given]
    wanted = width or max(map(len, rows), default=1)
    return np.array([row[:wanted] if len(row) >= wanted else [np.nan] * wanted for row in rows], dtype=np.float64)


def _said(given: Given) -> list[float]:
    if given.raw_score is None:
        return [np.nan]
    whole = float(log_odds(np.array(given.raw_score.value)))
    fields = np.array([score.value for score in given.field_scores.values()])
    if not len(fields):
        return [whole]
    values = getattr(given.answer, "value", {})
    empty = sum(values.get(name) is None for name in given.field_scores) / len(fields)
    odds = log_odds(fields)
    return [whole, float(odds.min()), float(odds.mean()), empty]


def classes_of(gold: Sequence[str | None], options: Sequence[str]) -> NDArray[np.int64]:
    """Return each label's class: its option's number, and one more for None, which is that no label fits.

    ValueError for a label that is no option.
    """
    numbers: dict[str | None, int] = {option: number for number, option in enumerate(options)}
    numbers[None] = len(options)
    unknown = sorted({str(label) for label in gold if label not in numbers})
    if unknown:
        raise ValueError(f"{len(unknown)} labels are none of the step's")
    return np.array([numbers[label] for label in gold], dtype=np.int64)
