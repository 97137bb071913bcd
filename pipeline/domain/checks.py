"""Validators on an answer. A failed check escalates like low confidence, with its own reason."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.domain.answers import Answer, Fields, FieldValue, Label, Number
from pipeline.domain.fields import FieldSpec
from pipeline.domain.money import amount_of
from pipeline.domain.patterns import PatternError, to_python
from pipeline.domain.spans import candidates, is_boundary

EntryPoint: TypeAlias = Callable[[object, str], bool]
"""The user's own check: (plain answer value, text) → does it hold?"""


class _Check(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str | None = None
    """Field of an extract step; None checks the whole answer (or every field)."""

    @property
    def title(self) -> str:
        """How a failed check is named as a reason."""
        kind = str(getattr(self, "kind", ""))
        return f"{kind}:{self.field}" if self.field else kind


class PatternCheck(_Check):
    """The value must match in full."""

    kind: Literal["pattern"]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            to_python(value)
        except PatternError as error:
            raise ValueError(str(error)) from None
        return value


class RangeCheck(_Check):
    """A number must lie between the two, both included."""

    kind: Literal["range"]
    minimum: float | None = Field(default=None, strict=True, allow_inf_nan=False)
    maximum: float | None = Field(default=None, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _some_range(self) -> "RangeCheck":
        if self.minimum is None and self.maximum is None:
            msg = "give `minimum`, `maximum` or both"
            raise ValueError(msg)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            msg = "`minimum` is above `maximum`"
            raise ValueError(msg)
        return self


class OccursCheck(_Check):
    """The value must occur in the text (case and white space aside)."""

    kind: Literal["occurs"]


class PythonCheck(_Check):
    """A function of the user's own, `package.module:function`, called with (value, text); false or raising fails."""

    kind: Literal["python"]
    entry_point: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


Check: TypeAlias = Annotated[PatternCheck | RangeCheck | OccursCheck | PythonCheck, Field(discriminator="kind")]


def _values(answer: Answer, field: str | None) -> tuple[FieldValue, ...]:
    """Return the single values that a check looks at; absent ones are not checked."""
    match answer:
        case Fields(value):
            picked: tuple[FieldValue, ...] = tuple(value.values()) if field is None else (value.get(field),)
        case Label(value) | Number(value):
            picked = (value,)
        case _:
            picked = (answer.value,)
    flat: list[FieldValue] = []
    for part in picked:
        flat.extend(part if isinstance(part, tuple) else (part,))
    return tuple(part for part in flat if part is not None)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(to_python(pattern))


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _occurs(value: FieldValue, text: str) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int | float):
        return _number_occurs(value, text)
    return _squeeze(str(value)) in _squeeze(text)


def _number_occurs(value: float, text: str) -> bool:
    """Look for 1234.5 as 1234.5, 1234.50, 1,234.50, 1 234,50, 1'234.50 or 1.234,50, but not within another number."""
    whole, _, decimals = format(Decimal(repr(value)), "f").partition(".")
    decimals = decimals.rstrip("0")
    ending = rf"[.,]{decimals}0*" if decimals else r"(?:[.,]0+)?"
    number = re.compile(rf"(?<!\d)(?<!\d\.){whole}{ending}(?!\.?\d)")
    ungrouped = (text, *(re.sub(rf"(?<=\d){group}(?=\d{{3}}\b)", "", text) for group in (r"[,'\s]", r"[.'\s]")))
    return any(number.search(version) is not None for version in ungrouped)


def _holds(check: Check, answer: Answer, text: str, entry_points: Mapping[str, EntryPoint]) -> bool:
    values = _values(answer, check.field)
    match check:
        case PatternCheck(pattern=pattern):
            compiled = _compiled(pattern)
            return all(compiled.fullmatch(str(value)) is not None for value in values)
        case RangeCheck(minimum=low, maximum=high):
            return all(
                isinstance(value, int | float) and (low is None or value >= low) and (high is None or value <= high)
                for value in values
            )
        case OccursCheck():
            return all(_occurs(value, text) for value in values)
        case PythonCheck(entry_point=name):
            return _user_check_holds(entry_points[name], answer, check.field, text)


def _user_check_holds(function: EntryPoint, answer: Answer, field: str | None, text: str) -> bool:
    value: object = answer.value
    if isinstance(value, Mapping):
        value = dict(value) if field is None else value.get(field)
    try:
        return bool(function(value, text))
    except Exception:  # noqa: BLE001 — the user's own code: whatever it raises is "does not hold", never a lost chunk
        return False


def failed_check(
    checks: tuple[Check, ...], answer: Answer, text: str, entry_points: Mapping[str, EntryPoint]
) -> str | None:
    """Return the title of the first check that does not hold, or None when all do."""
    for check in checks:
        if not _holds(check, answer, text, entry_points):
            return check.title
    return None


def invented_field(fields: Mapping[str, FieldSpec], answer: Answer, text: str) -> str | None:
    """Return the first copied field whose value does not stand in the text, or None when all do.

    An engine of ours cannot write such a value; an endpoint's model can.
    """
    if not isinstance(answer, Fields):
        return None
    for name, spec in fields.items():
        if not spec.copied or spec.scalar in {"boolean", "one_of"}:
            continue
        if not all(_stands_in(text, spec, value) for value in _values(answer, name)):
            return name
    return None


def _stands_in(text: str, spec: FieldSpec, value: FieldValue) -> bool:
    if spec.scalar == "money":  # EUR 64.9 is EUR 64.90, but not to be found within EUR 64.905
        return any(amount_of(str(one.value)) == amount_of(str(value)) for one in candidates(spec, text))
    found = _is_said(value, text) if isinstance(value, str) else _occurs(value, text)
    return found or any(one.value == value for one in candidates(spec, text))


def _is_said(value: str, text: str) -> bool:
    """Look for a string, case and white space aside, that begins and ends between words, or letters and digits."""
    value, text = _squeeze(value), _squeeze(text)
    at = text.find(value)
    while at >= 0:
        if not _is_within(text, at) and not _is_within(text, at + len(value)):
            return True
        at = text.find(value, at + 1)
    return False


def _is_within(text: str, at: int) -> bool:
    """Tell whether a place is inside a word or a number: "44" is no value of "4417"."""
    if is_boundary(text, at):
        return False
    return text[at - 1].isdigit() == text[at].isdigit()
