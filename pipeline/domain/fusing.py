"""Whether steps may share a reading (`fuse = "auto"`): the evidence of a measurement, and what follows from it. Pure.

Steps hold when one reading for all of them costs no step more than a point of accuracy; without gold answers, when 99 %
of the answers stay the same. Where some do not hold, the others are tried again without them, since every instruction
in a prompt bears on all its answers: only what was measured is put to use.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

MOST_LOST = 0.01
"""Accuracy that one reading may cost a step: one point."""
LEAST_SAME = 0.99
"""Share of answers that must stay the same where there is no gold."""
LEAST_ANSWERS = 100
"""Answers of a step that must have been compared: of fewer, one more wrong is more than a point."""
MODEL_DIGITS = 12
"""Digits of a model file's hash behind the model's name."""
_MOST_ANSWERS = 1_000_000_000
_ROUNDING = 1e-9
NOT_MEASURED = "no measurement of this job on this model yet: headrace bench engine JOB INPUT"
NOT_USABLE = "what was measured of this job on this model is not usable: headrace bench engine JOB INPUT measures again"
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Speed: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StepEvidence(_Frozen):
    """One step, asked by itself and in one reading with others."""

    step: str
    answers: Annotated[int, Field(ge=0, le=_MOST_ANSWERS)]
    """That were compared; with gold answers, those that have one."""
    same: _Share
    """Share of answers that are the same both ways."""
    apart_accuracy: _Share | None = None
    fused_accuracy: _Share | None = None
    """Against gold answers; None where there are none."""

    @property
    def holds(self) -> bool:
        """Whether one reading leaves the answers as good as they are."""
        if self.answers < LEAST_ANSWERS:
            return False
        if self.apart_accuracy is not None and self.fused_accuracy is not None:
            return self.apart_accuracy - self.fused_accuracy <= MOST_LOST + _ROUNDING
        return self.same >= LEAST_SAME - _ROUNDING

    def __str__(self) -> str:
        """Say what one reading does to the step."""
        if self.answers < LEAST_ANSWERS:
            return f"only {self.answers} answers of {self.step} were compared, {LEAST_ANSWERS} are needed"
        if self.apart_accuracy is None or self.fused_accuracy is None:
            return f"{self.same:.0%} of {self.step}'s answers stay the same"
        if self.fused_accuracy >= self.apart_accuracy:
            return f"{self.step} rises from {self.apart_accuracy:.0%} to {self.fused_accuracy:.0%}"
        return f"{self.step} falls from {self.apart_accuracy:.0%} to {self.fused_accuracy:.0%}"


class Trial(_Frozen):
    """Some steps read together, all others apart, against all apart."""

    steps: tuple[StepEvidence, ...]
    apart_items_per_s: _Speed
    fused_items_per_s: _Speed

    @property
    def holding(self) -> tuple[str, ...]:
        """Names of the steps that hold."""
        return tuple(one.step for one in self.steps if one.holds)

    @property
    def gain(self) -> float:
        """How many times as fast it is."""
        return self.fused_items_per_s / self.apart_items_per_s


class FuseEvidence(_Frozen):
    """All that was tried with one model and the steps of one tier."""

    model: str
    items: int
    measured_at: str
    trials: tuple[Trial, ...] = Field(min_length=1)
    """All steps first, then each time those that held."""

    def fits(self, steps: Collection[str], model_sha256: str) -> bool:
        """Whether it can be a measurement of these steps, at least two of them each time, on this model file."""
        tried = [[one.step for one in trial.steps] for trial in self.trials]
        return self.model.endswith(f"@{model_sha256[:MODEL_DIGITS]}") and all(
            len(names) > 1 and len(set(names)) == len(names) and set(names) <= set(steps) for names in tried
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseDecision:
    """Which steps of a tier share a reading."""

    steps: tuple[str, ...]
    """None, or at least two."""
    reason: str


def decide_fusing(evidence: FuseEvidence | None) -> FuseDecision:
    """Return what `auto` comes to: the steps of the last trial, if all of them hold and it was faster."""
    if evidence is None:
        return FuseDecision(steps=(), reason=NOT_MEASURED)
    last = evidence.trials[-1]
    lost = [one for trial in evidence.trials for one in trial.steps if not one.holds]
    why_not = ", ".join(dict.fromkeys(map(str, lost)))
    if len(last.holding) < len(last.steps):
        return FuseDecision(steps=(), reason=why_not)
    if last.gain <= 1:
        return FuseDecision(steps=(), reason=f"one reading is {last.gain:.2f} times as fast")
    kept = f"answers hold in one reading, {last.gain:.2f} times as fast"
    return FuseDecision(steps=last.holding, reason=f"{kept}; {why_not}" if why_not else kept)
