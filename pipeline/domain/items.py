"""What comes in: items, and the input lines that are not items."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class RejectReason(StrEnum):
    """Why an input line is not an Item."""

    BAD_ENCODING = "bad_encoding"
    BAD_JSON = "bad_json"
    SHORT_ROW = "short_row"
    LONG_ROW = "long_row"
    MISSING_COLUMN = "missing_column"
    EMPTY_TEXT = "empty_text"
    EMPTY_KEY = "empty_key"
    TEXT_TOO_LONG = "text_too_long"
    KEY_CONFLICT = "key_conflict"
    ROW_TOO_LARGE = "row_too_large"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Salt:
    """What makes fingerprints a run's own, so that a store can look one up by itself.

    They all begin with the same 4 bytes: in an index, a run's entries lie together, and a store of many runs works on
    the part of it that is this run's. The 12 bytes that remain tell texts apart: among a billion, two are confused
    with a probability of 6e-12.
    """

    prefix: bytes
    salt: bytes

    @classmethod
    def of(cls, run_name: str) -> Self:
        """Return a run's salt."""
        salt = run_name.encode()
        return cls(hashlib.sha256(salt).digest()[:4], salt)


NO_SALT = Salt(b"", b"")


def fingerprint(text: str, *, salt: Salt = NO_SALT) -> bytes:
    """Return the 16 bytes under which a text (or key) is known: equal texts are asked once.

    Lone surrogates cannot be stored and are refused by the sources; `surrogatepass` keeps this total all the same.
    """
    digest = hashlib.sha256(salt.salt + text.encode("utf-8", "surrogatepass")).digest()
    return (salt.prefix + digest)[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One ticket or one log line, its text already rendered by the job's template."""

    key: str
    """The user's own name of it, unique in its source; the line number where the job names no key."""
    source: str
    """File name as given, `-` for standard input."""
    line: int
    """First line of the row in its source, from 1."""
    text: str

    def __repr__(self) -> str:
        """Name the item without showing customer text."""
        return f"Item(source={self.source!r}, line={self.line}, chars={len(self.text)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    """An input line that is not an Item: counted, kept and listed, never dropped in silence."""

    source: str
    line: int
    reason: RejectReason
    detail: str
    """What is wrong and what to do, without any text of the row."""
