"""Shapes: a content with its digits made equal, so that the masks are asked once a shape and not once a line.

Lines of one shape have values in the same places, because no mask and no rule of `words` tells one digit from another;
only digits that stay in the pattern (`tty2`) have to be compared. Where digits and letters make a hexadecimal number
that stands alone, all of it is made equal.
"""

import re
from dataclasses import dataclass, field

from pipeline.domain.logs.masks import VARIABLE
from pipeline.domain.logs.slots import spans_in
from pipeline.domain.logs.words import key_of_masked, looks_of

_DIGITS = str.maketrans("0123456789", "0000000000")
_EXACT = "\0"
"""Before the looks of a pattern in which digits stay."""
_DIGIT = re.compile(r"\d")
_HEX = re.compile(r"(?<![\w.])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}(?!\w)")
"""As the mask of that kind has it."""
_MOST = 20_000
"""Shapes, and looks, that are remembered; then all are forgotten, for most of them never come again."""
_MOST_ALIKE = 64
"""Patterns of one shape that are remembered, as of `tty1` to `tty9`."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of all contents of one shape."""

    pattern: str
    spans: tuple[tuple[int, int], ...]
    """Where their values stand."""
    literals: tuple[tuple[int, str], ...]
    """Where digits stay, and what stands there."""


@dataclass(slots=True)
class Shapes:
    """Patterns by the shapes of contents."""

    _known: dict[str, list[Known]] = field(default_factory=dict)
    _patterns: dict[str, str] = field(default_factory=dict)
    """By what the masks make of contents: names and paths that vary make ever new shapes, which look the same."""

    def read(self, content: str) -> tuple[str, tuple[str, ...]]:
        """Return a content's pattern and its values."""
        shape = shape_of(content)
        found = self._like(shape, content)
        if found is None:
            wide = widened(content)
            found = self._like(wide, content) if wide != shape else None
            if found is None:
                found = self.known(content)
                self._remember(wide, found)
        return found.pattern, tuple([content[start:end] for start, end in found.spans])

    def known(self, content: str, *, at: int = 0) -> Known:
        """Return what is known of contents that are shaped as this one; places are counted from where `at` is 0."""
        pattern = self._pattern(content)
        spans = spans_in(pattern, content)
        if spans is None:
            msg = "a content does not fit the pattern that was made of it"
            raise AssertionError(msg)
        literals, end_before = [], 0
        if _DIGIT.search(pattern) is not None:
            for literal, (start, end) in zip(pattern.split(VARIABLE), [*spans, (len(content), 0)], strict=True):
                if any(map(str.isdigit, literal)):
                    literals.append((at + end_before, content[end_before:start]))
                end_before = end
        return Known(pattern, tuple((at + start, at + end) for start, end in spans), tuple(literals))

    def _pattern(self, content: str) -> str:
        looks = looks_of(content)
        shape = shape_of(looks)
        pattern = self._patterns.get(shape) or self._patterns.get(_EXACT + looks)
        if pattern is None:
            if len(self._patterns) >= _MOST:
                self._patterns.clear()
            pattern = "".join(key_of_masked(looks))
            self._patterns[_EXACT + looks if _DIGIT.search(pattern) else shape] = pattern
        return pattern

    def _like(self, shape: str, content: str) -> Known | None:
        for one in self._known.get(shape, ()):
            if all(content.startswith(text, at) for at, text in one.literals):
                return one
        return None

    def _remember(self, shape: str, found: Known) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        alike = self._known.setdefault(shape, [])
        if len(alike) < _MOST_ALIKE:
            alike.append(found)


def shape_of(text: str) -> str:
    """Return a text with its digits made equal."""
    return text.translate(_DIGITS)


def widened(text: str) -> str:
    """Return the same with hexadecimal numbers made equal, too."""
    return _HEX.sub(_blank, text).translate(_DIGITS)


def _blank(number: re.Match[str]) -> str:
    return "\0" * len(number.group())
