"""When a log line was written, as far as its header says; what it does not say of the year comes from outside."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EPOCH = re.compile(r"(\d{9,10})(\d{3}|\d{6}|\d{9})?(?:\.(\d{1,9}))?")
"""Seconds, or milli-, micro- or nanoseconds."""
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{1,2})[:.](\d{1,2})(?:[.,:](\d{1,9}))?|(\d{2})(\d{2})(\d{2})")
_FRACTION = re.compile(r"(.*:.*)[.,](\d{1,9})(Z?)", re.DOTALL)
_YEAR_FIRST = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})")
_SHORT_YEAR = re.compile(r"(\d{2})/?(\d{2})/?(\d{2})")
_NO_YEAR = re.compile(r"(\d{1,2})[-.](\d{1,2})|(\d{2})(\d{2})")
_WORDY = re.compile(r"\w{3} (\w{3}) +(\d{1,2}) (\S+) (\d{4})")
_ACCESS = re.compile(r"(\d{1,2})/(\w{3})/(\d{4}):(\S+)(?: ([+-])(\d{2})(\d{2}))?")
_WHOLE = re.compile(r"(\d{4}[-.]?\d{2}[-.]?\d{2})[T -]([\d:.,]+)(?: ?(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?")
_YEARS_AHEAD = dt.timedelta(days=1)
_CENTURY = 2000


def moment_of(fields: Mapping[str, str], *, latest: dt.datetime) -> dt.datetime | None:
    """Return the moment that header fields tell; None where they tell none, or one that is none.

    What has no time zone is taken for UTC. Where the year is missing, it is the latest that is not after `latest`.
    """
    try:
        return _moment(fields, latest)
    except (ValueError, OverflowError):  # no such day
        return None


def _moment(fields: Mapping[str, str], latest: dt.datetime) -> dt.datetime | None:
    epoch = fields.get("timestamp") or fields.get("time", "")
    if seconds := _EPOCH.fullmatch(epoch):
        whole = dt.datetime.fromtimestamp(int(seconds[1]), dt.UTC)
        return whole.replace(microsecond=micro_of(seconds[2] or seconds[3]))
    time, date = fields.get("time"), fields.get("date")
    if time is None:
        return None
    if "month" in fields:
        return _without_year(_MONTHS.index(fields["month"].lower()) + 1, int(fields["day"]), time, latest)
    if date is not None:
        return _dated(date, time, latest)
    for read in (_from_words, _from_access, _from_whole):
        found = read(time)
        if found is not None:
            return found
    return None


def _dated(date: str, time: str, latest: dt.datetime) -> dt.datetime | None:
    if found := _YEAR_FIRST.fullmatch(date):
        year, month, day = map(int, found.groups())
    elif found := _SHORT_YEAR.fullmatch(date):
        year, month, day = map(int, found.groups())
        year += _CENTURY
    elif found := _NO_YEAR.fullmatch(date):
        month, day = (int(one) for one in found.groups() if one is not None)
        return _without_year(month, day, time, latest)
    else:
        return None
    return _at(dt.date(year, month, day), time)


def _from_words(time: str) -> dt.datetime | None:
    found = _WORDY.fullmatch(time)
    if found is None:
        return None
    month, day, clock, year = found.groups()
    return _at(dt.date(int(year), _MONTHS.index(month.lower()) + 1, int(day)), clock)


def _from_access(time: str) -> dt.datetime | None:
    found = _ACCESS.fullmatch(time)
    if found is None:
        return None
    day, month, year, clock, sign, hours, minutes = found.groups()
    local = _at(dt.date(int(year), _MONTHS.index(month.lower()) + 1, int(day)), clock)
    if local is None or sign is None:
        return local
    return local - dt.timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)


def _from_whole(time: str) -> dt.datetime | None:
    found = _WHOLE.fullmatch(time)
    if found is None:
        return None
    date, clock, zone = found.groups()
    year, month, day = re.sub(r"\D", "", date)[:4], re.sub(r"\D", "", date)[4:6], re.sub(r"\D", "", date)[6:]
    local = _at(dt.date(int(year), int(month), int(day)), clock)
    if local is None or zone in {None, "Z", "z", "UTC", "GMT"}:
        return local
    digits = zone.replace(":", "")
    ahead = dt.timedelta(hours=int(digits[1:3]), minutes=int(digits[3:] or 0))
    return local - ahead if digits[0] == "+" else local + ahead


def _without_year(month: int, day: int, time: str, latest: dt.datetime) -> dt.datetime | None:
    for year in range(latest.year, latest.year - 5, -1):  # February 29th has to be looked for
        try:
            found = _at(dt.date(year, month, day), time)
        except ValueError:
            continue
        if found is not None and found <= latest + _YEARS_AHEAD:
            return found
    return None


def _at(day: dt.date, clock: str) -> dt.datetime | None:
    found = _CLOCK.fullmatch(clock)
    if found is None:
        return None
    hour, minute, second, fraction, *glued = found.groups()
    if hour is None:
        hour, minute, second = glued
    whole = dt.datetime(day.year, day.month, day.day, int(hour), int(minute), min(int(second), 59), tzinfo=dt.UTC)
    return whole.replace(microsecond=micro_of(fraction))


def without_fraction(time: str) -> tuple[str, str, str]:
    """Return a time of day up to its second, the digits of its fraction (none: empty), and the zone behind it."""
    found = _FRACTION.fullmatch(time)
    return (time, "", "") if found is None else (found[1], found[2], found[3])


def micro_of(fraction: str | None) -> int:
    """Return the microseconds of a fraction's digits; what is finer is cut off."""
    return int((fraction or "0")[:6].ljust(6, "0"))
