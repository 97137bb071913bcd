"""Amounts of money in running text: `EUR 64.90`, a currency's ISO code and a plain decimal with the digits as said.

The currency stands before or behind the figures (`currencies`). An amount without one is none, and so is one in
thousands or millions (`$5k`, `3 Mio. EUR`), whose figures are not what it is worth.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeAlias

from pipeline.domain.currencies import CODES, DOLLARS, LAKHS, MARK, Mark, currencies, is_name, is_word
from pipeline.domain.numbers import FIGURES, readings

PATTERN = r"[A-Z]{3} -?(0|[1-9][0-9]{0,14})([.][0-9]{1,9})?"
"""An amount's form, in what `re` and converters of JSON schemas have in common: one of them takes no `\\.`."""
_BLANK = "[ \t\u00a0\u202f]"
_MOST_BLANKS = 8
_GAP = rf"{_BLANK}{{0,{_MOST_BLANKS}}}(?:\r?\n{_BLANK}{{0,{_MOST_BLANKS}}})?"
_BEHIND = re.compile(rf"(?:[.,](?:--?|[\u2013\u2014]))?{_GAP}")  # 5.- CHF
_BEFORE = re.compile(rf"{_GAP}\Z")
_MORE_FIGURES = re.compile(rf"{_GAP}[-\u2212]?[.]?[0-9]")
_MOST_BEFORE = 2 * _MOST_BLANKS + 2
_MINUS = "-\u2212"
_MASK = "\u00a4"  # neither a letter nor a figure nor a blank: a mark does not join the figures beside it
# No part of a word, of other figures, of a date. Cents alone stand right behind a sign.
_AMOUNT = re.compile(
    rf"(?<![A-Za-z_0-9])(?<![0-9][.,:/'\u2019])(?<!-[0-9][0-9]-)(?:{FIGURES}|(?<={_MASK})(?P<cents>[.][0-9]{{2}}))"
    r"(?![A-Za-z_0-9])(?![.,'\u2019][0-9])"
)
_SCALED = re.compile(
    rf"{_BLANK}{{0,2}}(?:[百千천万만億萬亿억兆조]|(?i:[kmbt](?![\w-])|"
    r"(?:mn|mio|mln|mill|bn|mrd|tn|trn|tsd|cr|lac|hundred|thousand|tausend|million|millionen|milliarde|milliarden|"
    r"billion|billionen|trillion|lakh|crore|mille|mil|millones|milliard|tys|тыс|млн|млрд|миллион|миллиард)s?\b))"
)
_Offer: TypeAlias = tuple[tuple[str, ...], str, int, int]
"""Codes, sign, and the span of figures and currency."""


def amounts_in(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each amount with the span that says it, currency included, in the order of the text; all its readings."""
    marks = _Marks(text)
    masked = MARK.sub(lambda mark: _MASK * len(mark[0]), text)
    for found in _AMOUNT.finditer(masked):
        if _SCALED.match(text, found.end()):
            continue
        for codes, sign, start, end in _offers(found, marks):
            for reading in _readings(found):
                for code in codes:
                    if found["lakhs"] is None or code in LAKHS:
                        yield f"{code} {sign}{reading}", start, end


def amount_of(value: str) -> tuple[str, Decimal]:
    """Return the currency and what it comes to; raises ValueError, without the value in it, for what is no amount."""
    if re.fullmatch(PATTERN, value) is None or value[:3] not in CODES:
        msg = "is no amount as EUR 64.90"
        raise ValueError(msg)
    return value[:3], Decimal(value[4:])


class _Marks:
    """The currencies that a text names, by where they stand."""

    def __init__(self, text: str) -> None:
        self.text = text
        marks = list(MARK.finditer(text))
        self._by_end = {mark.end(): mark for mark in marks if not is_name(mark)}
        self._by_start = {mark.start(): mark for mark in marks}
        self.shared: set[int] = set()
        """Ends of marks behind figures, which perhaps are of those and not of the next ones."""

    def before(self, start: int) -> Mark | None:
        """Return the mark before figures; on the line above it is theirs alone, or is none of theirs."""
        gap = _BEFORE.search(self.text, max(0, start - _MOST_BEFORE), start)
        mark = None if gap is None else self._by_end.get(gap.start())
        if mark is None or ("\n" in self.text[mark.end() : start] and mark.end() in self.shared):
            return None
        return mark

    def behind(self, end: int) -> tuple[Mark | None, bool]:
        """Return the mark behind figures, and whether on their line; on the next one it has no other figures."""
        gap = _BEHIND.match(self.text, end)
        mark = None if gap is None else self._by_start.get(gap.end())
        if gap is None or mark is None or "\n" not in gap[0]:
            return mark, True
        return (None if _MORE_FIGURES.match(self.text, mark.end()) else mark), False


def _readings(found: "re.Match[str]") -> Iterator[str]:
    return iter((f"0{found['cents']}",)) if found["cents"] else readings(found)


def _offers(found: "re.Match[str]", marks: _Marks) -> Iterator[_Offer]:
    """Yield in which currencies these figures may be."""
    text, shared = marks.text, marks.shared
    start, sign = found.start(), ""
    if _is_minus(text, start - 1) and start - 1 not in shared:
        start, sign = start - 1, "-"
    first = marks.before(start)
    last, near = marks.behind(found.end())
    if found["point"] is None and found["cents"] is None:  # TRY 2 TIMES
        first = None if first is None or is_word(first, before=True) else first
        last = None if last is None or is_word(last, before=False) else last
    if last is not None and (first is None or first.end() in shared):
        shared.add(last.end())
        yield currencies(last), sign, start, last.end()
    if first is None:
        return
    codes, end = currencies(first), found.end()
    if last is not None and near and last["sign"] is None and _says_more(currencies(last), first):
        codes, end = currencies(last), last.end()
    start = first.start()
    if not sign and _is_minus(text, start - 1):
        start, sign = start - 1, "-"
    yield codes, sign, start, end


def _is_minus(text: str, at: int) -> bool:
    """Tell whether a minus sign stands there: not a dash between two words, or of a range."""
    return at >= 0 and text[at] in _MINUS and not (at > 0 and text[at - 1].isalnum())


def _says_more(codes: tuple[str, ...], sign: Mark) -> bool:
    """Tell whether a mark behind the figures says which of a sign's currencies is meant: `$5 CAD`, `kr 5 SEK`."""
    return set(codes) <= set(currencies(sign)) or (sign["sign"] == "$" and DOLLARS.issuperset(codes))
