"""The values that a field may have, as far as scoring must tell them apart while a value is being written.

A Space is asked about texts: what the value would look like, from its first byte on, if a certain token came next. It
may allow too much (then scores come out lower than they are), never too little.
"""

import json
import re
from collections.abc import Sequence
from typing import Protocol

from pipeline.domain.fields import FieldSpec

_ENDS = b",}] \t\r\n"
"""What may stand behind a JSON value."""
_CLOSED = (b'"', b"]", b"true", b"false", b"null")
"""Values that end so need nothing behind them to be complete."""
_NUMERIC = re.compile(rb"[-+.0-9eE]*(?:[,}\] \t\r\n].*)?", re.DOTALL)
"""The beginning of a number, and whatever may follow behind its end."""


class Space(Protocol):
    """The values that a field may have, as text from the value's first byte on; one of them is the answer."""

    def allowed(self, text: bytes) -> bool:
        """Say whether some value, with what may follow it, begins with the text."""
        ...

    def leads(self, text: bytes, taken: bytes) -> bool:
        """Say whether the text leaves the answer possible, and nothing that `taken` does not leave possible."""
        ...

    def settled(self, text: bytes) -> bool:
        """Say whether only the answer remains possible."""
        ...

    def free(self, text: bytes) -> bool:
        """Say whether behind this text nearly every token is allowed."""
        ...

    def unseen(self, text: bytes, listed: Sequence[bytes]) -> int | None:
        """Return how many values that are possible after `text` no listed text begins; None: any number."""
        ...


class FiniteValues:
    """A label, one of a list, a boolean: values that can be counted, each in all its spellings."""

    def __init__(self, options: Sequence[Sequence[bytes]], answer: int) -> None:
        """Take the spellings of each value, and which of them is the answer."""
        self._options = options
        self._answer = answer

    def _possible(self, text: bytes) -> frozenset[int]:
        return frozenset(
            number
            for number, spellings in enumerate(self._options)
            if any(spelling.startswith(text) or _ended(text, spelling) for spelling in spellings)
        )

    def allowed(self, text: bytes) -> bool:
        """Say whether some value begins so."""
        return bool(self._possible(text))

    def leads(self, text: bytes, taken: bytes) -> bool:
        """Compare the sets of values that remain."""
        possible = self._possible(text)
        return self._answer in possible and possible <= self._possible(taken)

    def settled(self, text: bytes) -> bool:
        """Say whether the answer alone remains."""
        return self._possible(text) == {self._answer}

    def free(self, text: bytes) -> bool:  # noqa: ARG002 — the protocol's signature
        """Return False: each value is spelled out."""
        return False

    def unseen(self, text: bytes, listed: Sequence[bytes]) -> int:
        """Count the values that no listed text leads to."""
        seen = {number for other in listed for number in self._possible(other)}
        return len(self._possible(text) - seen)


class OpenValues:
    """A string, a number, a date, a list, or null: told apart by their first characters only, so allowing too much."""

    def __init__(self, answer: bytes, *, opener: bytes) -> None:
        """Take the answer's own JSON text, and the bytes with which a value of the type may begin."""
        self._answer = answer
        self._opener = opener
        self._self_ending = answer.endswith(_CLOSED)

    def allowed(self, text: bytes) -> bool:
        """Look at the first character; what follows inside a number must be of a number."""
        if not text or b"null".startswith(text) or _ended(text, b"null"):
            return True
        if text[0] not in self._opener:
            return False
        return self.free(text) or _NUMERIC.fullmatch(text) is not None

    def leads(self, text: bytes, taken: bytes) -> bool:
        """Compare with the answer's text; formatting behind its end does not matter."""
        if self.settled(taken):
            return self.settled(text)
        return text.startswith(taken) and (self._answer.startswith(text) or _ended(text, self._answer))

    def settled(self, text: bytes) -> bool:
        """Say whether the answer is complete; a number needs something behind it."""
        return _ended(text, self._answer) and (self._self_ending or len(text) > len(self._answer))

    def free(self, text: bytes) -> bool:
        """Inside a string or a list."""
        return text[:1] in {b'"', b"["}

    def unseen(self, text: bytes, listed: Sequence[bytes]) -> None:  # noqa: ARG002 — the protocol's signature
        """Not countable."""
        return


def _ended(text: bytes, value: bytes) -> bool:
    """Say whether the text is the whole value, and behind it at most what may follow a value."""
    return text.startswith(value) and (len(text) == len(value) or text[len(value)] in _ENDS)


def spellings(value: str) -> tuple[bytes, ...]:
    """Return a string's JSON texts, with and without escapes of what is not ASCII."""
    return tuple({json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode()})


def choice_space(options: Sequence[str], answer: str, written: str, *, bare: bool) -> Space:
    """Return the labels as JSON strings or bare words; `written` is the answer's own spelling."""
    texts: list[tuple[bytes, ...]] = [(option.encode(),) if bare else spellings(option) for option in options]
    number = options.index(answer)
    texts[number] += (written.encode(),)
    return FiniteValues(texts, number)


def field_space(spec: FieldSpec, written: str) -> Space:
    """Return what a field of this type may hold; `written` is the JSON text of its value."""
    finite: dict[str, list[tuple[bytes, ...]]] = {
        "boolean": [(b"true",), (b"false",)],
        "one_of": [spellings(option) for option in spec.options],
    }
    text = written.encode()
    if spec.type in finite:
        options = [*finite[spec.type], (b"null",)]
        known = [number for number, texts in enumerate(options) if text in texts]
        if known:
            return FiniteValues(options, known[0])
    openers = {"list": b"[", "number": b"-0123456789", "integer": b"-0123456789"}
    return OpenValues(text, opener=openers.get(spec.type, b'"'))
