"""The fields of an extract step: what types there are, how an answer's JSON becomes their values, and back to a schema.

Every field may be absent: `null` is always allowed and means "the text does not say".
"""

import datetime as dt
import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from pipeline.domain.answers import FieldValue
from pipeline.domain.money import PATTERN as _MONEY
from pipeline.domain.money import amount_of
from pipeline.domain.patterns import PatternError, to_python

ScalarType = Literal["string", "number", "integer", "boolean", "date", "money", "one_of"]
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MAX_STRING_CHARS = 400
MAX_LIST_ITEMS = 20


class FieldSpec(BaseModel):
    """One field to extract. `type = "list"` holds several values of the type named by `of`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ScalarType | Literal["list"]
    description: str = ""
    pattern: str | None = None
    """Full match that a string must have; see `patterns` for the subset."""
    options: tuple[str, ...] = ()
    """Allowed values of `one_of`."""
    of: ScalarType | None = None
    """Type of a list's values; None is string."""
    copied: StrictBool = Field(default=True, validation_alias=AliasChoices("copy", "copied"))
    """Strings, numbers, dates and money must stand in the text; otherwise the answer is null."""
    shared: StrictBool = False
    """Its value may stand where another field's does (see `claims`)."""
    minimum: float | None = Field(default=None, strict=True, allow_inf_nan=False)
    maximum: float | None = Field(default=None, strict=True, allow_inf_nan=False)

    @field_validator("pattern")
    @classmethod
    def _known_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                to_python(value)
            except PatternError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FieldSpec":
        scalar = self.scalar
        if (scalar == "one_of") != bool(self.options):
            msg = "`options` lists the values of type one_of, and only of that type"
            raise ValueError(msg)
        if len(set(self.options)) != len(self.options) or "" in self.options:
            msg = "`options` must be different and not empty"
            raise ValueError(msg)
        if self.pattern is not None and scalar != "string":
            msg = "`pattern` belongs to type string (or a list of strings)"
            raise ValueError(msg)
        if (self.minimum is not None or self.maximum is not None) and scalar not in {"number", "integer"}:
            msg = "`minimum` and `maximum` belong to types number and integer"
            raise ValueError(msg)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            msg = "`minimum` is above `maximum`"
            raise ValueError(msg)
        if self.type != "list" and self.of is not None:
            msg = "`of` belongs to type list"
            raise ValueError(msg)
        return self

    @property
    def scalar(self) -> ScalarType:
        """The type of one value: of the field itself, or of a list's members."""
        return (self.of or "string") if self.type == "list" else self.type

    @cached_property
    def compiled(self) -> "re.Pattern[str] | None":
        """The pattern, for `re`."""
        return None if self.pattern is None else re.compile(to_python(self.pattern))

    def scalar_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one non-null value."""
        match self.scalar:
            case "string":
                return (
                    {"type": "string"}
                    if self.pattern is None
                    else {"type": "string", "pattern": f"^(?:{to_python(self.pattern)})$"}
                )
            case "date":
                return {"type": "string", "pattern": f"^{_DATE}$"}
            case "money":
                return {"type": "string", "pattern": f"^{_MONEY}$"}
            case "one_of":
                return {"type": "string", "enum": list(self.options)}
            case kind:
                return {"type": kind}

    def nullable_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the field, null included."""
        inner = self.scalar_schema()
        if self.type == "list":
            inner = {"type": "array", "items": inner}
        return {"anyOf": [inner, {"type": "null"}]}

    def parse(self, value: object) -> FieldValue:
        """Return the value as this field's type; raises ValueError, without the value in it, when it is none."""
        if value is None:
            return None
        if self.type == "list":
            if not isinstance(value, list):
                msg = "is no list"
                raise ValueError(msg)
            if len(value) > MAX_LIST_ITEMS:
                msg = f"has more than {MAX_LIST_ITEMS} values"
                raise ValueError(msg)
            return tuple(self.parse_one(part) for part in value)
        return self.parse_one(value)

    def parse_one(self, value: object) -> FieldValue:
        """Return one value, of a list one member, as `parse` does; null is none."""
        match self.scalar:
            case "string" | "one_of" | "date" | "money":
                return self._parse_string(value)
            case "boolean":
                if isinstance(value, bool):
                    return value
            case "number" | "integer":
                return self._parse_number(value)
        msg = f"is no {self.scalar}"
        raise ValueError(msg)

    def _parse_string(self, value: object) -> str:
        if not isinstance(value, str):
            msg = "is no string"
            raise ValueError(msg)  # noqa: TRY004 — callers catch one kind: a wrong answer
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            msg = "holds a character that can't be stored"  # a model may well write \u0000 or half a pair
            raise ValueError(msg)
        if self.scalar == "one_of" and value not in self.options:
            msg = "is none of the options"
            raise ValueError(msg)
        if self.scalar == "date":
            if re.fullmatch(_DATE, value) is None:
                msg = "is no date as YYYY-MM-DD"
                raise ValueError(msg)
            dt.date.fromisoformat(value)
        if self.scalar == "money":
            amount_of(value)
        if self.compiled is not None and self.compiled.fullmatch(value) is None:
            msg = "does not match its pattern"
            raise ValueError(msg)
        return value

    def _parse_number(self, value: object) -> float | int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            msg = f"is no {self.scalar}"
            raise ValueError(msg)  # noqa: TRY004 — callers catch one kind: a wrong answer
        if not _is_finite(value):
            msg = "is no number that can be kept"
            raise ValueError(msg)
        if self.scalar == "integer":
            if value != int(value):
                msg = "is no integer"
                raise ValueError(msg)
            value = int(value)
        if (self.minimum is not None and value < self.minimum) or (self.maximum is not None and value > self.maximum):
            msg = "is out of its range"
            raise ValueError(msg)
        return value


def _is_finite(value: float) -> bool:
    """Tell whether a number can be kept: what JSON's grammar allows goes beyond what databases, files and sums take."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


Fieldset = Annotated[dict[str, FieldSpec], Field(min_length=1, max_length=50)]


def object_schema(fields: Mapping[str, FieldSpec]) -> dict[str, Any]:
    """Return the strict JSON schema of the whole object: all fields required, each nullable, nothing else allowed."""
    return {
        "type": "object",
        "properties": {name: spec.nullable_schema() for name, spec in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def parse_object(fields: Mapping[str, FieldSpec], data: object) -> dict[str, FieldValue]:
    """Return field values in the job's order; raises ValueError naming the field, never its value."""
    if not isinstance(data, dict):
        msg = "the answer is no JSON object"
        raise ValueError(msg)  # noqa: TRY004 — callers catch one kind: a wrong answer
    unknown = len(set(data) - set(fields))
    if unknown:
        msg = f"the answer has {unknown} fields that were not asked for"
        raise ValueError(msg)
    values: dict[str, FieldValue] = {}
    for name, spec in fields.items():
        if name not in data:
            msg = f"field {name} is missing"
            raise ValueError(msg)
        try:
            values[name] = spec.parse(data[name])
        except ValueError as error:
            msg = f"field {name} {error}"
            raise ValueError(msg) from None
    return values
