"""The kinds of personal values, and where a text says one."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["email", "phone", "card", "ssn", "iban", "ip"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Found:
    """A personal value, in characters of the text."""

    kind: Kind | Literal["number"]
    """`number`: the text does not say of what; it may well end a card's or a social security number."""
    start: int
    end: int
