"""What an endpoint accepts. Endpoints differ, so a request starts rich and gives up one parameter for each refusal."""

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Literal


class Format(IntEnum):
    """How the shape of an answer is asked for, strictest first."""

    SCHEMA = 0
    """`response_format` of type json_schema, strict."""
    SCHEMA_WITHOUT_PATTERNS = 1
    """The same for endpoints whose schemas know no `pattern`; the pattern is checked after the answer anyway."""
    OBJECT_WITH_SCHEMA = 2
    """Type json_object with a `schema` member: llama-cpp-python's server and some hosts."""
    OBJECT = 3
    """Type json_object; the schema only in words."""
    PLAIN = 4
    """No `response_format`: only words."""


class Parameter(StrEnum):
    """What an endpoint may refuse without the request being wrong otherwise."""

    FORMAT = "response_format"
    LOGPROBS = "logprobs"
    LIMIT = "max_tokens"
    TEMPERATURE = "temperature"
    SYSTEM_ROLE = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to write a request."""

    format: Format = Format.SCHEMA
    top_logprobs: int = 20
    """Alternatives asked for at each token; 0 asks for no log-probabilities at all."""
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The first is known everywhere, the second is what reasoning models insist on."""
    temperature: bool = True
    """Ask for temperature 0; reasoning models refuse any."""
    system_role: bool = True
    """False puts the system text in front of the first user turn: some chat templates know no system role."""

    def without(self, parameter: Parameter, *, patterns: bool) -> "Dialect | None":
        """Return the next poorer way after a refusal, or None when there is nothing left to give up.

        `patterns` says whether the answer's schema has any: if not, leaving them out would repeat the same request.
        """
        match parameter:
            case Parameter.FORMAT:
                if self.format is Format.PLAIN:
                    return None
                step = 2 if self.format is Format.SCHEMA and not patterns else 1
                return replace(self, format=Format(self.format + step))
            case Parameter.LOGPROBS:
                fewer = {20: 5, 5: 0}.get(self.top_logprobs)
                return None if fewer is None else replace(self, top_logprobs=fewer)
            case Parameter.LIMIT:
                other = self.limit_name == "max_tokens"
                return replace(self, limit_name="max_completion_tokens") if other else None
            case Parameter.TEMPERATURE:
                return replace(self, temperature=False) if self.temperature else None
            case Parameter.SYSTEM_ROLE:
                return replace(self, system_role=False) if self.system_role else None
