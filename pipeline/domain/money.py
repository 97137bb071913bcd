"""Amounts of money in running text: `EUR 64.90`, a currency's ISO code and a plain decimal with the digits as said.

The currency stands before or behind the figures (`currencies`). An amount without one is none, and so is one in
thousands or millions (`$5k`, `3 Mio. EUR`), whose figures are not what it is worth.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeAlias

from pipeline.domain.currencies import CODES, DOLLARS, MARK, WORDS, Mark, currencies, is_name
from pipeline.domain.numbers import FIGURES, readings

PATTERN = r"[A-Z]{3} -?(0|[1-9][0-9]{0,14})([.][0-9]{1,9})?"
"""An amount's form, in what `re` and converters of JSON schemas have in common: one of them takes no `\\.`."""
_BLANKS = " \u00a0\u202f"
_MINUS = "-\u2212"
_MASK = "\u00a4"  # neither a letter nor a figure nor a blank: a mark does not join the figures beside it
# No part of a word, of other figures, of a date.
_AMOUNT = re.compile(
    rf"(?<![A-Za-z_0-9])(?<![0-9][.,:/'\u2019])(?<!-[0-9][0-9]-){FIGURES}(?![A-Za-z_0-9])(?![.,'\u2019][0-9])"
)
_SCALED = re.compile(
    rf"[{_BLANKS}]?(?:[千万億萬亿]|"
    r"(?i:k|mn?|mio|mln|mill|bn|mrd|tsd|hundred|thousand|tausend|million|millionen|milliarden|billion|lakh|crore)s?\b)"
)
_Offer: TypeAlias = tuple[tuple[str, ...], str, int, int]
"""Codes, sign, and the span of figures and currency."""


def amounts_in(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each amount with the span that says it, currency included, in the order of the text; all its readings."""
    marks = list(MARK.finditer(text))
    before = {mark.end(): mark for mark in marks if not is_name(mark)}
    behind = {mark.start(): mark for mark in marks}
    masked = MARK.sub(lambda mark: _MASK * len(mark[0]), text)
    shared: set[int] = set()  # ends of marks behind figures, which perhaps are of those and not of the next ones
    for found in _AMOUNT.finditer(masked):
        if _SCALED.match(text, found.end()):
            continue
        for codes, sign, start, end in _offers(text, found, before, behind, shared):
            for reading in readings(found):
                for code in codes:
                    yield f"{code} {sign}{reading}", start, end


def amount_of(value: str) -> tuple[str, Decimal]:
    """Return the currency and what it comes to; raises ValueError, without the value in it, for what is no amount."""
    if re.fullmatch(PATTERN, value) is None or value[:3] not in CODES:
        msg = "is no amount as EUR 64.90"
        raise ValueError(msg)
    return value[:3], Decimal(value[4:])


def _offers(
    text: str, found: "re.Match[str]", before: Mapping[int, Mark], behind: Mapping[int, Mark], shared: set[int]
) -> Iterator[_Offer]:
    """Yield in which currencies these figures may be."""
    start, sign = found.start(), ""
    if _is_minus(text, start - 1) and start - 1 not in shared:
        start, sign = start - 1, "-"
    first = before.get(start) or (before.get(start - 1) if text[start - 1 : start] in _BLANKS else None)
    if first is not None and first["code"] in WORDS and found["point"] is None:
        first = None  # TRY 2 TIMES
    end = found.end()
    last = behind.get(end) or (behind.get(end + 1) if text[end : end + 1] in _BLANKS else None)
    if last is not None and (first is None or first.end() in shared):
        shared.add(last.end())
        yield currencies(last), sign, start, last.end()
    if first is None:
        return
    codes, end = currencies(first), found.end()
    if last is not None and last["sign"] is None and _says_more(currencies(last), first):
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
