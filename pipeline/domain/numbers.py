"""Numbers in running text, in different countries' notations: 1,249.50, 1.249,50, 1 249.5, 1'249.50 and 1,00,000."""

import re
from collections.abc import Iterator

FIGURES = (
    r"(?P<whole>(?P<lakhs>[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3})(?![0-9])|"
    r"[0-9]{1,3}(?:(?P<group>[.,'\u2019\u00a0\u202f ])[0-9]{3})(?:(?P=group)[0-9]{3})*|[0-9]+)"
    r"(?:(?P<point>[.,])(?P<part>[0-9]{1,9}))?"
)
"""A number without its sign, as a regular expression; what may stand around it is the caller's."""
_MOST_DIGITS = 15  # what a double holds
_GROUP = 3
# A number stands by itself: not in an order number, a date, a time, a version or an address.
_NUMBER = re.compile(rf"(?<![\w.,:/-])(?<![A-Za-z0-9][-/:.,])(?P<sign>[-+]?){FIGURES}(?![.,]?[0-9])(?![-/:]\w)")
_CURRENCY = re.compile(r"(?<![A-Za-z])(?:(?i:EUR|USD|GBP|CHF|CAD|AUD|JPY|SEK|NOK|DKK|PLN|CZK|INR)|Rs\.?)(?=[0-9])")


def numbers_in(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each number as JSON writes it with the span that says it, in the order of the text; all its readings."""
    spaced = _CURRENCY.sub(lambda found: " " * len(found[0]), text)  # "EUR64" is no word
    for found in _NUMBER.finditer(spaced):
        sign = "-" if found["sign"] == "-" else ""
        for reading in readings(found):
            yield sign + reading, found.start(), found.end()


def readings(found: "re.Match[str]") -> Iterator[str]:
    """Yield what matched `FIGURES` may mean, as JSON writes it, the likelier reading first."""
    whole, group, point, part = found["whole"], found["group"], found["point"], found["part"]
    if found["lakhs"] is not None:
        group = ","
    if group is not None and group == point:  # 1.249.00 is neither
        return
    if group is None:
        digits = _without_zeros(whole)
        if len(digits) <= _MOST_DIGITS:
            yield f"{digits}.{part}" if part else digits
        if part is not None and len(part) == _GROUP and len(whole) <= _GROUP:
            yield str(int(whole + part))
        return
    joined = _without_zeros(whole.replace(group, ""))
    if len(joined) <= _MOST_DIGITS:
        yield f"{joined}.{part}" if part else joined
    if part is None and group in ".," and whole.count(group) == 1:
        yield f"{int(whole.split(group)[0])}.{whole.split(group)[1]}"


def _without_zeros(digits: str) -> str:
    # Not by way of int, which refuses the thousands of digits that a line of a log may have.
    return digits.lstrip("0") or "0"
