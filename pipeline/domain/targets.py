"""The target of a job: what share of a run's answers must be the reference's, and how sure that must be."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.domain.steps import Name

_Share: TypeAlias = Annotated[float, Field(strict=True, gt=0.5, lt=1.0)]
DEFAULT = "default"


class Target(BaseModel):
    """A promise that is asked for. Answers of cheap tiers are held back until it is certified for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: dict[Name, _Share]
    """Step name (or `default`) → least share of items whose answer is the reference's. A number is for all steps."""
    delta: Annotated[float, Field(strict=True, gt=0.0, lt=0.5)] = 0.1
    """The most that the chance of breaking the promise may be, for all steps together."""
    reference: Literal["top"] = "top"
    """Whose answers count as right: those of the last tier of a step's ladder."""
    on_refused: Literal["hold", "escalate"] = "hold"
    """What to do where no thresholds can be shown to keep it: wait for a person, or ask the top tier everything."""

    audit: Annotated[float, Field(strict=True, ge=0.0, le=0.5)] = 0.0
    """Share of the answers that a certificate lets stand which the reference is asked all the same, to watch it."""

    @field_validator("agreement", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return {DEFAULT: value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    def of(self, step: str) -> float | None:
        """Return a step's target; None where the job promises nothing of it."""
        return self.agreement.get(step, self.agreement.get(DEFAULT))
