"""Phone, card and social security numbers: by their length and form, and by the words beside them.

Seven digits or more, however grouped, are a phone's or a card's unless the text says what else they are (an order, an
amount). No library of numbering plans is asked: people mistype, and a number that is wrong by a digit says as much of
its owner. For the same reason a card's check digit is only looked at where the text calls the number something else.

Short numbers are taken where a word says so (`ssn 1234`, `card ending in 1234`) and, of four to six digits, in messages
of a few words, which answer a question that is not there to read.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipeline.domain.personal.cues import beside, explained, is_paid, is_unit, meaning, named, stands_alone
from pipeline.domain.personal.found import Found, Kind

_GAP = r"[ \t\u00a0.\-\u2010-\u2013/()]"
_RUN = re.compile(rf"(?<!\d)\d+(?:{_GAP}{{1,3}}\d+){{0,200}}")
_GROUP = re.compile(r"\d+")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# A spreadsheet shows 4111111111111111 as 4.11E+15, and a cleaning step leaves 411 e 15 of that.
_POWER = re.compile(r"(?<![\w.])\d{1,3}(?:[.,]\d{1,14})?\s?[eE]\s?\+?\s?(?:1[1-9]|2[0-2])(?!\w)")
_NONE = (
    _POWER,
    re.compile(
        r"(?<!\d)(?<!\d[./-])(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2}))(?![./-]?\d)"
    ),
    re.compile(r"(?<![\d.])\d{1,3}(?:\.000){1,5}(?![\d.])"),
    re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3}){1,6}(?:\.\d{1,4})?|\d{1,12}[.,]\d{1,2})(?![\d,]|\.\d)"),
    re.compile(rf"(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\w|\.\d)"),
    re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?!\w)"),
)
"""Powers (found apart), dates, decimals, addresses of machines, UUIDs."""
_MASK = "\u00a4"
_EXTENSION = re.compile(r"[ ,]{0,2}(?:x|ext\.?|extn\.?|extension)[ .:#]{0,2}\d{1,6}(?!\w)", re.IGNORECASE)
_SSN = re.compile(r"\d{3}([ -])\d{2}\1\d{4}")
_YEAR = re.compile(r"(?:19|20)\d\d")
_LONG = 7
"""Digits from which on a number is a phone's or longer."""
_SURELY_APART = 10
"""Digits from which on a number counts though letters touch it, as where a blank is missing."""
_PREFIX, _TRUNK_PREFIX, _PREFIXES = 3, 5, 2
"""Digits of a country's or an area's code before a long group, of one with the trunk's 0, and how many there may be."""
_CARD, _SSN_DIGITS = range(13, 20), 9
_MOST_PHONE = 15
_LEAST_CUED, _LEAST = 3, 4
"""Digits of a number that the text calls a social security number, and of any other."""
_FEW_WORDS = 12
_LONGEST_SHORT = 300
"""Characters of a message of few words."""
_Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Number:
    """A number as written, and what stands beside it."""

    written: str
    digits: str
    before: list[str]
    """Words, nearest first; so `behind`."""
    behind: list[str]
    in_few_words: bool
    """Whether the whole message is short."""

    @property
    def is_formed(self) -> bool:
        """Whether its form alone says what it is, whatever the words do."""
        many = len(self.digits)
        return (
            (self.written[0] in "+(" and many <= _MOST_PHONE)
            or _SSN.fullmatch(self.written) is not None
            or (many in _CARD and _is_checked(self.digits))
        )


def numbers_in(text: str, kinds: Collection[Kind]) -> Iterator[Found]:
    """Yield each number that may be of these kinds; spans do not overlap."""
    in_few_words = len(text) <= _LONGEST_SHORT and len(text.split()) <= _FEW_WORDS
    if not {"card", "ssn"}.isdisjoint(kinds):
        yield from (Found("number", *match.span()) for match in _POWER.finditer(text))
    long_enough = (run for run in _RUN.finditer(_masked(text)) if run.end() - run.start() >= _LEAST_CUED)
    for run in long_enough:
        for start, end in _numbers_of(run):
            number = _read(text, start, end, in_few_words=in_few_words)
            kind = None if number is None else _kind_of(number, kinds)
            if kind is not None:
                extended = _EXTENSION.match(text, end) if kind == "phone" else None
                yield Found(kind, start, end if extended is None else extended.end())


def _masked(text: str) -> str:
    """Return the text without the numbers that are something else, as long as before."""
    for pattern in _NONE:
        text = pattern.sub(lambda match: _MASK * len(match[0]), text)
    return text


def _numbers_of(run: "re.Match[str]") -> Iterator[_Span]:
    """Yield the numbers of a run: a long group is one by itself, with codes that stand before it; short ones join."""
    held: list[re.Match[str]] = []
    for group in _GROUP.finditer(run.string, *run.span()):
        if len(group[0]) < _LONG:
            held.append(group)
            continue
        first = group
        for _ in range(_PREFIXES):
            if held and _is_code(held[-1][0]):
                first = held.pop()
        if held:
            yield _opened(run.string, held[0].start(), held[-1].end()), held[-1].end()
        yield _opened(run.string, first.start(), group.end()), group.end()
        held = []
    if held:
        yield _opened(run.string, held[0].start(), held[-1].end()), held[-1].end()


def _is_code(digits: str) -> bool:
    return len(digits) <= (_TRUNK_PREFIX if digits[0] == "0" else _PREFIX)


def _opened(text: str, start: int, end: int) -> int:
    """Return where a number begins, with its plus sign and with a bracket that closes within it."""
    if text[start - 1 : start] == "(" and ")" in text[start:end]:
        start -= 1
    if text[start - 1 : start] == "+":
        start -= 1
    return start


def _read(text: str, start: int, end: int, *, in_few_words: bool) -> _Number | None:
    """Return the number there; None where it is too short, or a letter touches it as in a product's name."""
    written = text[start:end]
    digits = "".join(_GROUP.findall(written))
    is_touched = text[start - 1 : start].isalpha() or text[end : end + 1].isalpha()
    if len(digits) < _LEAST_CUED or (is_touched and len(digits) < _SURELY_APART):
        return None
    return _Number(
        written=written,
        digits=digits,
        before=beside(text, start, behind=False),
        behind=beside(text, end, behind=True),
        in_few_words=in_few_words,
    )


def _kind_of(number: _Number, kinds: Collection[Kind]) -> "Kind | Literal['number'] | None":
    many = len(number.digits)
    if many < _LONG:
        return _short(number, many, kinds)
    elsewise = named(number.before) or is_paid(number.before) or is_unit(number.behind)
    if elsewise and not number.is_formed:
        return None
    return next((kind for kind in _long_kinds(number, many) if kind in kinds), _unnamed(kinds))


def _long_kinds(number: _Number, many: int) -> Iterator[Kind]:
    """Yield what a long number may be, the likeliest first."""
    said = meaning(number.before)
    if _SSN.fullmatch(number.written):
        yield "ssn"
    if number.written[0] != "+" and many in _CARD:
        yield "card"
    if said == "ssn" and many <= _SSN_DIGITS:
        yield "ssn"
    if said == "card" and number.written[0] != "+":
        yield "card"
    if many == _SSN_DIGITS and said != "phone" and number.written.isdigit():
        yield "ssn"
    yield "phone"


def _short(number: _Number, many: int, kinds: Collection[Kind]) -> "Kind | Literal['number'] | None":
    said = meaning(number.before) or explained(number.behind)
    if is_unit(number.behind) or (many < _LEAST and said != "ssn"):
        return None
    if said == "ssn":
        return "ssn" if "ssn" in kinds else None
    if _YEAR.fullmatch(number.written) and not (number.in_few_words and said in {"any", "card"}):
        return None
    if said == "phone":
        return "phone" if "phone" in kinds else None
    if said == "card":
        return "card" if "card" in kinds else None
    alone = said is None and number.in_few_words and stands_alone(number.behind)
    return _unnamed(kinds) if alone or said == "any" else None


def _unnamed(kinds: Collection[Kind]) -> "Literal['number'] | None":
    """Return the kind of a number of which nothing is said: it may end a card's number or a social security number."""
    return None if {"card", "ssn"}.isdisjoint(kinds) else "number"


def _is_checked(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO 7812, Luhn)."""
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0
