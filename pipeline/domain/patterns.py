r"""The pattern language of string fields: the part of regular expressions that grammars enforce and `re` agrees with.

Allowed: literal characters; escapes of punctuation; `\d \w \s` and `.`; character classes with ranges and negation;
groups `(…)` and `(?:…)`; `|`; `* + ? {n} {n,} {n,m}`. The match is always a full match, so `^ $` at the two ends are
accepted and dropped. Refused, with a reason: anchors elsewhere, back references, look-around, lazy and possessive
quantifiers, named groups, flags, `\b \D \W \S`. `\d \w \s` mean ASCII only, on both sides.

The grammar converter that ships with llama.cpp takes `\d` for a literal, so patterns are parsed here into a small tree
(`parse`), which the grammar and `re` are both written from. A property test holds the two together.
"""

from dataclasses import dataclass
from typing import TypeAlias

MAX_REPEAT = 200
MAX_PATTERN_CHARS = 500
_DIGIT = (("0", "9"),)
_WORD = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE = (("\t", "\t"), ("\n", "\n"), ("\r", "\r"), (" ", " "))
_SHORTHANDS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}


class PatternError(ValueError):
    """The pattern is outside the documented subset; the message says where and what is allowed."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of (or, negated, outside) the ranges."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Seq:
    """Parts one after another; empty matches the empty string."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of the options."""

    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times; None is unbounded."""

    node: "Node"
    low: int
    high: int | None


Node: TypeAlias = Chars | Seq | Alt | Repeat


class _Parser:
    """Recursive descent over the pattern's characters."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def fail(self, what: str) -> PatternError:
        return PatternError(f"pattern: {what} at character {self.at + 1} is not supported")

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def alternation(self) -> Node:
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Alt(tuple(options))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.peek() not in {"", "|", ")"}:
            parts.append(self.quantified())
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def quantified(self) -> Node:
        node = self.atom()
        bounds = self.bounds()
        if bounds is None:
            return node
        if self.peek() and self.peek() in "?*+{":
            what = "a quantifier on a quantifier (lazy, possessive or doubled)"
            raise self.fail(what)
        return Repeat(node, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, pair in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self.take(sign):
                return pair
        if not self.take("{"):
            return None
        low = self.number()
        high: int | None = low
        if self.take(","):
            high = None if self.peek() == "}" else self.number()
        if not self.take("}") or (high is not None and (high < low or high > MAX_REPEAT)) or low > MAX_REPEAT:
            what = f"a repetition other than {{n}}, {{n,}} or {{n,m}} up to {MAX_REPEAT}"
            raise self.fail(what)
        return low, high

    def number(self) -> int:
        start = self.at
        while self.peek() in set("0123456789"):
            self.at += 1
        if start == self.at:
            what = "a repetition without a number"
            raise self.fail(what)
        return int(self.pattern[start : self.at])

    def atom(self) -> Node:
        if self.take("("):
            if self.take("?") and not self.take(":"):
                what = "a group other than (…) or (?:…)"
                raise self.fail(what)
            node = self.alternation()
            if not self.take(")"):
                what = "a group that is not closed"
                raise self.fail(what)
            return node
        if self.take("["):
            return self.char_class()
        if self.take("."):
            return Chars((("\n", "\n"),), negated=True)
        if self.take("\\"):
            ranges = self.escape()
            return Chars(ranges)
        sign = self.peek()
        if sign in set("^$*+?{})]"):
            what = f"a bare {sign!r} here (escape it with a backslash)"
            raise self.fail(what)
        self.at += 1
        return Chars(((sign, sign),))

    def escape(self) -> tuple[tuple[str, str], ...]:
        sign = self.peek()
        if sign in _SHORTHANDS and sign:
            self.at += 1
            return _SHORTHANDS[sign]
        if sign in _CONTROLS and sign:
            self.at += 1
            return ((_CONTROLS[sign], _CONTROLS[sign]),)
        if not sign or sign.isalnum():
            what = f"the escape \\{sign}"
            raise self.fail(what)
        self.at += 1
        return ((sign, sign),)

    def char_class(self) -> Chars:
        negated = self.take("^")
        ranges: list[tuple[str, str]] = []
        while not self.take("]"):
            low = self.class_part()
            if (
                len(low) == 1
                and low[0][0] == low[0][1]
                and self.peek() == "-"
                and self.pattern[self.at + 1 : self.at + 2] != "]"
            ):
                self.at += 1
                high = self.class_part()
                if len(high) != 1 or high[0][0] != high[0][1] or high[0][0] < low[0][0]:
                    what = "a range whose ends are not two characters in order"
                    raise self.fail(what)
                low = ((low[0][0], high[0][0]),)
            ranges.extend(low)
        if not ranges:
            what = "an empty character class"
            raise self.fail(what)
        return Chars(tuple(ranges), negated=negated)

    def class_part(self) -> tuple[tuple[str, str], ...]:
        if self.take("\\"):
            return self.escape()
        sign = self.peek()
        if not sign:
            what = "a character class that is not closed"
            raise self.fail(what)
        self.at += 1
        return ((sign, sign),)


def parse(pattern: str) -> Node:
    """Return the tree of a pattern; raises PatternError with the place and the reason."""
    if len(pattern) > MAX_PATTERN_CHARS:
        msg = f"pattern: longer than {MAX_PATTERN_CHARS} characters"
        raise PatternError(msg)
    inner = _without_ends(pattern)
    parser = _Parser(inner)
    node = parser.alternation()
    if parser.at != len(inner):
        what = "a ')' without its '('"
        raise parser.fail(what)
    return node


def either(one: str, other: str) -> str:
    """Return the pattern that matches what one of two does; raises PatternError where it would be too long."""
    pattern = f"(?:{_without_ends(one)})|(?:{_without_ends(other)})"
    parse(pattern)
    return pattern


def _without_ends(pattern: str) -> str:
    """Drop the anchors at the two ends."""
    inner = pattern.removeprefix("^")
    body = inner.removesuffix("$")
    # An odd backslash makes the sign a literal.
    return body if (len(body) - len(body.rstrip("\\"))) % 2 == 0 else inner


def _class_char(char: str) -> str:
    return f"\\{char}" if char in "\\]^-[&~|" else {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char, char)


def to_python(pattern: str) -> str:
    """Return the same language as a regular expression for `re.fullmatch`, written from the tree."""
    return _python(parse(pattern))


def _python(node: Node) -> str:
    match node:
        case Chars(ranges, negated):
            inside = "".join(
                _class_char(low) if low == high else f"{_class_char(low)}-{_class_char(high)}" for low, high in ranges
            )
            return f"[{'^' if negated else ''}{inside}]"
        case Seq(parts):
            return "".join(_python(part) for part in parts)
        case Alt(options):
            return "(?:" + "|".join(_python(option) for option in options) + ")"
        case Repeat(inner, low, high):
            return f"(?:{_python(inner)}){{{low},{'' if high is None else high}}}"
