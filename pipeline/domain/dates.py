"""Dates in running text, in figures and in words. A date without a year is none: nobody knows which year is meant."""

import datetime as dt
import re
from collections.abc import Iterator

# English, German, French, Spanish; by their first letters, longest first where one begins another.
_MONTHS = {
    1: "january januar janvier enero jan jän",
    2: "february februar février fevrier febrero feb fév",
    3: "march märz maerz mars marzo mar mär",
    4: "april avril abril apr avr abr",
    5: "may mai mayo",
    6: "june juni juin junio jun",
    7: "july juli juillet julio jul juil",
    8: "august août aout agosto aug ago",
    9: "september septembre septiembre sep sept",
    10: "october oktober octobre octubre oct okt",
    11: "november novembre noviembre nov",
    12: "december dezember décembre decembre diciembre dec dez déc dic",
}
_MONTH_NUMBERS = {name: number for number, names in _MONTHS.items() for name in names.split()}
_ORDINALS = tuple(
    (  # noqa: SIM905 — a list of quoted words would be four times as long
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third "
        "twenty-fourth twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
    ).split()
)
_ORDINAL_NUMBERS = {name: number for number, name in enumerate(_ORDINALS, 1)}
_MONTH = "(?P<month>" + "|".join(sorted(map(re.escape, _MONTH_NUMBERS), key=len, reverse=True)) + r")\.?"
_DAY = r"(?P<day>\d{1,2}(?:st|nd|rd|th|er|\.|º)?|" + "|".join(sorted(_ORDINALS, key=len, reverse=True)) + ")"
_YEAR = r"(?P<year>\d{4})"
_FORMS = tuple(
    re.compile(rf"(?<![\w/-])(?:{form})(?!\w)(?![-/.]\d)", re.IGNORECASE)
    for form in (
        rf"{_YEAR}-(?P<m>\d{{1,2}})-(?P<d>\d{{1,2}})(?:T[\d:.]+Z?)?",
        rf"{_YEAR}[/.](?P<m>\d{{1,2}})[/.](?P<d>\d{{1,2}})",
        rf"{_DAY} (?:of |de )?{_MONTH},? (?:of |de )?{_YEAR}",
        rf"{_MONTH} (?:the )?{_DAY},? {_YEAR}",
        rf"(?P<a>\d{{1,2}})(?P<sep>[./-])(?P<b>\d{{1,2}})(?P=sep){_YEAR}",
    )
)
# Japanese and Chinese stand without blanks before and behind: a figure date may touch other letters there.
_TOUCHING = (
    re.compile(r"(?<![\d/-])(?P<year>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?![\d-])"),
    re.compile(r"(?<!\d)(?P<year>\d{4})年(?P<m>\d{1,2})月(?P<d>\d{1,2})日"),
)


def dates_in(text: str) -> Iterator[tuple[dt.date, int, int]]:
    """Yield each date with the span that says it, in the order of the text; both readings of 03/04/2026."""
    spans: dict[tuple[int, int], list[dt.date]] = {}
    for form in (*_FORMS, *_TOUCHING):
        for found in form.finditer(text):
            days = list(_days(found))
            if days and not any(start < found.end() and found.start() < end for start, end in spans):
                spans[found.span()] = days
    for (start, end), days in sorted(spans.items()):
        for day in days:
            yield day, start, end


def _days(found: "re.Match[str]") -> Iterator[dt.date]:
    parts = found.groupdict()
    year = int(parts["year"])
    if parts.get("a") is not None:
        first, second = int(parts["a"]), int(parts["b"])
        orders = [(second, first), (first, second)]  # day first, as most of the world writes it
        if parts["sep"] == "/":
            orders.reverse()
    elif parts.get("m") is not None:
        orders = [(int(parts["m"]), int(parts["d"]))]
    else:
        day = parts["day"].lower()
        number = _ORDINAL_NUMBERS.get(day) or int(re.match(r"\d+", day)[0])  # type: ignore[index]  # it is one or the other
        orders = [(_MONTH_NUMBERS[parts["month"].lower()], number)]
    seen: set[dt.date] = set()
    for month, day_number in orders:
        try:
            date = dt.date(year, month, day_number)
        except ValueError:
            continue
        if date not in seen:
            seen.add(date)
            yield date
