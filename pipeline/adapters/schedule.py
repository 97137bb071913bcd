"""Schedules written as in cron, read by Celery's own parser: when they are due, and as Celery's beat wants them."""

import datetime as dt
import zoneinfo
from collections.abc import Iterator

from celery.schedules import ParseException, crontab

from pipeline.domain.errors import ConfigError

_MOST_DAYS = 366 * 5


class Schedule:
    """When something is due; raises ConfigError for what is no schedule."""

    def __init__(self, at: str, timezone: str) -> None:
        """Parse it; `at` as in cron, in the time of a zone."""
        try:
            self.beat = crontab.from_string(at)
        except (ParseException, ValueError, KeyError):
            raise ConfigError(
                f"at = {at!r} is no schedule: write minute, hour, day of the month, month and day of the week as in "
                'cron, as in "30 4 * * *"; Sunday is 0'
            ) from None
        self._zone = zoneinfo.ZoneInfo(timezone)

    def before(self, moment: dt.datetime) -> Iterator[dt.datetime]:
        """Yield the moments that were due, in UTC, the latest first; up to `moment`, which may be one."""
        day = moment.astimezone(self._zone).date()
        for _ in range(_MOST_DAYS):
            if self._falls_on(day):
                yield from sorted((one for one in self._times(day) if one <= moment), reverse=True)
            day -= dt.timedelta(days=1)

    def _falls_on(self, day: dt.date) -> bool:
        # As Celery takes them: of the two kinds of days both must fit. Sunday is 0.
        return (
            day.month in self.beat.month_of_year
            and day.day in self.beat.day_of_month
            and day.isoweekday() % 7 in self.beat.day_of_week
        )

    def _times(self, day: dt.date) -> set[dt.datetime]:
        return {
            dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=self._zone).astimezone(dt.UTC)
            for hour in self.beat.hour
            for minute in self.beat.minute
        }
