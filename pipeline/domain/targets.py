"""The target of a job: what share of a run's answers must be the reference's, and how sure that must be."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.domain.steps import Name

_Share: TypeAlias = Annotated[float, Field(strict=True, gt=0.5, lt=1.0)]
DEFAULT = "default"
TOP: Literal["top"] = "top"
PEOPLE: Literal["labels"] = "labels"


class LabelTarget(BaseModel):
    """What is promised of one label beside the whole: .95 of all answers may lose a rare label altogether."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recall: _Share | None = None
    """Of the items that the reference gives this label, the least share whose answer is this label."""
    precision: _Share | None = None
    """Of the items whose answer is this label, the least share to which the reference gives it."""

    @model_validator(mode="after")
    def _something(self) -> "LabelTarget":
        if not self.shares:
            msg = "write recall, precision or both, as in { recall = 0.98 }"
            raise ValueError(msg)
        return self

    @property
    def shares(self) -> dict[Literal["recall", "precision"], float]:
        """What is asked for, by its name."""
        found: dict[Literal["recall", "precision"], float | None]
        found = {"recall": self.recall, "precision": self.precision}
        return {what: share for what, share in found.items() if share is not None}


class Target(BaseModel):
    """A promise that is asked for. Answers of cheap tiers are held back until it is certified for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: dict[Name, _Share]
    """Step name (or `default`) → least share of items whose answer is the reference's. A number is for all steps."""
    delta: Annotated[float, Field(strict=True, gt=0.0, lt=0.5)] = 0.1
    """The most that the chance of breaking the promise may be, for all steps together."""
    reference: Literal["top", "labels"] = TOP
    """Whose answers count as right: those of the last tier of a step's ladder, or the labels that people give."""
    sample: Annotated[int, Field(strict=True, ge=20, le=100_000)] = 300
    """With labels as the reference: how many texts of a window people are asked to label."""
    labels: dict[str, LabelTarget] = Field(default_factory=dict)
    """Label → what is promised of it, in every step with a target that has it."""
    on_refused: Literal["hold", "escalate"] = "hold"
    """What to do where no thresholds can be shown to keep it: wait for a person, or ask the top tier everything."""

    audit: Annotated[float, Field(strict=True, ge=0.0, le=0.5)] = 0.0
    """Share of the answers that a certificate lets stand which the reference is asked all the same, to watch it."""

    @model_validator(mode="after")
    def _watched_by_the_reference(self) -> "Target":
        if self.reference == PEOPLE and self.audit:
            msg = "audit asks the last tier, and here labels are the reference: leave audit out"
            raise ValueError(msg)
        return self

    @field_validator("agreement", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return {DEFAULT: value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    def of(self, step: str) -> float | None:
        """Return a step's target; None where the job promises nothing of it."""
        return self.agreement.get(step, self.agreement.get(DEFAULT))
