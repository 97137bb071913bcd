"""The Job: what to ask, of whom, and when to believe it. Frozen with a run, and known by its digest."""

import hashlib
import json
import string
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from pipeline.domain.budget import Budget
from pipeline.domain.checks import RangeCheck
from pipeline.domain.personal import KINDS, Kind
from pipeline.domain.review import Review
from pipeline.domain.steps import Choice, ExtractStep, Step
from pipeline.domain.targets import LabelTarget, Target
from pipeline.domain.tiers import Tier

STEP_COLUMNS = ("state", "confidence", "calibrated", "tier", "reason")
"""What a flat results file says of each step, beside its answer."""
PEOPLE_TIER = "people"
"""Who answered, in results, where people's labels stand in place of a tier's answer."""
MAX_STEPS = 60  # a chunk marks the steps of an item in one signed 64-bit mask


def template_columns(template: str) -> tuple[str, ...]:
    """Return the columns that a text template names, in order; raises ValueError when it is not a plain template."""
    columns: list[str] = []
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name or spec or conversion or any(sign in name for sign in ".[]"):
            msg = "`text` takes plain {column} places only; write {{ and }} for braces"
            raise ValueError(msg)
        if name not in columns:
            columns.append(name)
    return tuple(columns)


class Job(BaseModel):
    """A validated job file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$", description="a-z, 0-9 and -")]
    text: str = "{text}"
    """Template over the input's columns; `{text}` for plain lines."""
    key: str | None = Field(default=None, min_length=1)
    """Column that names an item; None: the line number."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=16)]
    target: Target | None = None
    """None: thresholds are as the tiers say, and nothing is promised."""
    review: Review | None = None
    """None: thresholds are looked at again when somebody asks for it."""
    budget: Budget | None = None
    """None: it may cost what it costs."""
    local_only: StrictBool = False
    """Refuse tiers that send texts to another machine."""
    redact: tuple[Kind, ...] = ()
    """Personal values that such tiers see placeholders for, as [EMAIL 1]."""
    on_suspicious: Literal["escalate", "accept"] = "escalate"
    """What becomes of answers about a text that looks as if it instructed the model: up the ladder, and unresolved at
    its top; or as of any other text."""
    flush_after_s: float = Field(default=10.0, strict=True, gt=0, le=86_400)
    """Escalations that do not fill a chunk travel on after this time."""

    @field_validator("text")
    @classmethod
    def _plain_template(cls, value: str) -> str:
        if not template_columns(value):
            msg = "`text` must name at least one column, as in {subject}"
            raise ValueError(msg)
        if "\0" in value:
            msg = "`text` holds a NUL, which no item can"
            raise ValueError(msg)
        return value

    @field_validator("redact")
    @classmethod
    def _in_one_order(cls, value: tuple[Kind, ...]) -> tuple[Kind, ...]:
        return tuple(kind for kind in KINDS if kind in value)  # another order is no other job

    @model_validator(mode="after")
    def _consistent(self) -> "Job":
        self._unique("steps", [step.name for step in self.steps])
        self._unique("tiers", [tier.name for tier in self.tiers])
        if any(tier.name == PEOPLE_TIER for tier in self.tiers):
            msg = f"tiers: `{PEOPLE_TIER}` stands in results for what people have labelled; choose another name"
            raise ValueError(msg)
        if any(step.name == "default" for step in self.steps):
            msg = "steps: `default` is the word for all other steps in accept_at; choose another name"
            raise ValueError(msg)
        self._columns_differ()
        order = {tier.name: number for number, tier in enumerate(self.tiers)}
        for step in self.steps:
            rungs = step.ladder
            if rungs is not None:
                if not rungs or any(name not in order for name in rungs):
                    msg = f"steps.{step.name}.ladder: name tiers out of: {', '.join(order)}"
                    raise ValueError(msg)
                if [order[name] for name in rungs] != sorted({order[name] for name in rungs}):
                    msg = f"steps.{step.name}.ladder: each tier once, in the order of the job's tiers (cheapest first)"
                    raise ValueError(msg)
            self._answerable(step)
            self._checks_fit(step)
        self._stays_local()
        known = {step.name for step in self.steps} | {"default"}
        self._target_fits(known)
        for tier in self.tiers:
            for name in tier.accept_at or {}:
                if name not in known:
                    msg = f"tiers.{tier.name}.accept_at: {name!r} is no step; allowed: {', '.join(sorted(known))}"
                    raise ValueError(msg)
        return self

    def _stays_local(self) -> None:
        """Refuse a tier that sends texts elsewhere, if the job forbids it."""
        remote = [tier.name for tier in self.tiers if not tier.is_local]
        if self.local_only and remote:
            msg = (
                f"local_only: tier {remote[0]} sends texts to another machine; leave it out, give it a base_url on "
                "this one (as in http://127.0.0.1:8000/v1), or take local_only out"
            )
            raise ValueError(msg)

    def _answerable(self, step: Step) -> None:
        """Refuse a step that a tier of its ladder, or all tiers, cannot answer."""
        named = [tier for tier in self.tiers if step.ladder is not None and tier.name in step.ladder]
        wrong = [tier.name for tier in named if not tier.answers(step)]
        if wrong or not any(tier.answers(step) for tier in named or self.tiers):
            tier = (wrong or [tier.name for tier in self.tiers])[0]
            msg = f"steps.{step.name}.ladder: tier {tier} (classical) only chooses one label; name other tiers"
            raise ValueError(msg)

    def _target_fits(self, known: set[str]) -> None:
        """Refuse a target for a step that is not there, or that has nobody to be held against."""
        if self.target is not None and self.budget is not None and self.budget.on_exhausted == "accept":
            msg = 'budget.on_exhausted: with a [target] no answer stands uncertified; write "hold" or "stop"'
            raise ValueError(msg)
        for name in () if self.target is None else self.target.agreement:
            if name not in known:
                msg = f"target.agreement: {name!r} is no step; allowed: {', '.join(sorted(known))}"
                raise ValueError(msg)
            alone = [one for number, one in enumerate(self.steps) if one.name == name and len(self.ladder(number)) == 1]
            if alone:
                msg = f"target.agreement: only one tier answers {name!r}: there is no other to compare it with"
                raise ValueError(msg)
        if self.target is not None and not self.certified_steps:
            msg = "target: no step has two tiers: the last tier of a ladder is the reference for those below"
            raise ValueError(msg)
        found = {label for number in self.certified_steps for label in self.label_targets(number)}
        for label in () if self.target is None else self.target.labels:
            if label not in found:
                msg = f"target.labels: no step with a target has the label {label!r}; write it as in the step's labels"
                raise ValueError(msg)

    def _columns_differ(self) -> None:
        """Refuse step names that would be the same columns in results as CSV or Parquet."""
        names = {step.name for step in self.steps}
        taken = {"key", "source", "line"} | {f"{name}_{part}" for name in names for part in STEP_COLUMNS}
        if names & taken:
            msg = f"steps: {min(names & taken)!r} is the name of a column of the results; choose another name"
            raise ValueError(msg)

    @staticmethod
    def _unique(what: str, names: list[str]) -> None:
        if len(set(names)) != len(names):
            msg = f"{what}: every name must be different"
            raise ValueError(msg)

    @staticmethod
    def _checks_fit(step: Step) -> None:
        fields = step.fields if isinstance(step, ExtractStep) else {}
        for check in step.checks:
            if check.field is not None and check.field not in fields:
                msg = f"steps.{step.name}.checks: {check.field!r} is no field of this step"
                raise ValueError(msg)
            looked_at = {spec.scalar for name, spec in fields.items() if check.field in {None, name}}
            if isinstance(check, RangeCheck) and not (looked_at and looked_at <= {"number", "integer"}):
                msg = f"steps.{step.name}.checks: a range needs numbers; name a field of type number or integer"
                raise ValueError(msg)

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the job but its budget: another digest is another run."""
        # Order is kept: labels and fields are asked in the job's order, so another order is another job. Defaults are
        # left out: a release with more keys must still know the runs of older ones.
        said = self.model_dump(mode="json", exclude={"budget"}, exclude_defaults=True)
        canonical = json.dumps(said, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def questions_digest(self) -> str:
        """SHA-256 over what is asked: the same where only tiers, thresholds or targets differ."""
        included = {"text", "steps", "redact"} if self.redact else {"text", "steps"}
        asked = self.model_dump(mode="json", include=included)
        for step in asked["steps"]:
            step.pop("ladder", None)
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()

    def redacted_at(self, tier_no: int) -> tuple[Kind, ...]:
        """Return which personal values a tier does not see: none are kept from one that texts do not leave here for."""
        return () if self.tiers[tier_no].is_local else self.redact

    def ladder(self, step_no: int) -> tuple[int, ...]:
        """Return the tier numbers that may answer step `step_no`, cheapest first."""
        step = self.steps[step_no]
        rungs = step.ladder
        if rungs is None:
            return tuple(number for number, tier in enumerate(self.tiers) if tier.answers(step))
        return tuple(number for number, tier in enumerate(self.tiers) if tier.name in rungs)

    def reader(self, step_no: int) -> int:
        """Return the number of the step's first tier that reads tokens; of its first tier where none does."""
        ladder = self.ladder(step_no)
        return next((number for number in ladder if self.tiers[number].engine != "classical"), ladder[0])

    def next_tier(self, step_no: int, tier_no: int) -> int | None:
        """Return the tier above `tier_no` on the step's ladder, or None at its top."""
        return next((number for number in self.ladder(step_no) if number > tier_no), None)

    def first_masks(self) -> dict[int, int]:
        """Return tier number → mask of the steps whose ladder begins there (bit n is step n)."""
        masks: dict[int, int] = {}
        for step_no in range(len(self.steps)):
            first = self.ladder(step_no)[0]
            masks[first] = masks.get(first, 0) | 1 << step_no
        return masks

    @property
    def certified_steps(self) -> dict[int, float]:
        """Numbers of the steps with a promise and somebody to compare with → their targets."""
        if self.target is None:
            return {}
        found = {number: self.target.of(step.name) for number, step in enumerate(self.steps)}
        return {number: share for number, share in found.items() if share is not None and len(self.ladder(number)) > 1}

    def label_targets(self, step_no: int) -> dict[str, LabelTarget]:
        """Return what is promised of single labels of a step with a target."""
        form = self.steps[step_no].form
        if self.target is None or step_no not in self.certified_steps or not isinstance(form, Choice):
            return {}
        return {label: asked for label, asked in self.target.labels.items() if label in form.options}

    def doubts(self, tier_no: int) -> bool:
        """Whether a tier's answers about suspicious texts are not believed; what does not read them obeys nobody."""
        return self.on_suspicious == "escalate" and self.tiers[tier_no].engine in {"llama", "openai"}

    def looks_again(self, tier_no: int) -> bool:
        """Whether a tier's answers that their texts name are asked for again; an endpoint would be paid for it."""
        return self.doubts(tier_no) and self.tiers[tier_no].engine == "llama"

    def is_certified(self, step_no: int, tier_no: int) -> bool:
        """Whether answers to this step at this tier stand only once they are certified."""
        return step_no in self.certified_steps and self.next_tier(step_no, tier_no) is not None

    def threshold(self, step_no: int, tier_no: int) -> float | None:
        """Return the least confidence accepted; None accepts any well-formed answer.

        With a target it is the least that may be certified: unless the job says otherwise, anything at the last tier
        below the reference.
        """
        ladder, tier = self.ladder(step_no), self.tiers[tier_no]
        if tier.accept_at is None and self.is_certified(step_no, tier_no) and ladder[-2:-1] == (tier_no,):
            return 0.0
        return tier.threshold(self.steps[step_no].name, last=tier_no == ladder[-1])


def steps_of(mask: int) -> tuple[int, ...]:
    """Return the step numbers in a mask, in order."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)
