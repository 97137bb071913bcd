"""Nights: a log that is loaded on a schedule, and what each time brought."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.domain.logs.headers import LAYOUTS

LOG_NAME: Final = "[A-Za-z0-9][A-Za-z0-9_.-]{0,59}"


class LogJob(BaseModel):
    """A validated log job file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: Annotated[str, Field(pattern=f"^{LOG_NAME}$", description="letters, digits, - _ and .")]
    """Under which name its events are stored."""
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """Paths and patterns; those that are no absolute ones begin at the job file."""
    layout: str | None = None
    """None: found out file by file."""
    at: str = "30 4 * * *"
    """When, as in cron: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    against: Annotated[int, Field(ge=1, le=90)] = 7
    """Nights before, to compare with."""
    reports: str | None = None
    """Folder for a page and a JSON file a night; None: they are only stored."""
    ask: str | None = None
    """A job file, whose steps are asked once of each new kind of event; None: no model is asked."""
    ask_values: str | None = None
    """A job file, asked once of each value of a kind that no rule names: its steps `type` and `name` name it."""
    ask_words: str | None = None
    """A job file, asked once of each word of a kind that may be a value: where its step `type` says of which, it is."""

    @field_validator("layout")
    @classmethod
    def _known_layout(cls, value: str | None) -> str | None:
        if value is not None and value not in LAYOUTS:
            msg = f"no such layout; known: {', '.join(sorted(LAYOUTS))}"
            raise ValueError(msg)
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            msg = "no such time zone; write it as in Europe/Berlin"
            raise ValueError(msg) from None
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A kind of event that a report tells of."""

    template: str
    events: int
    """In the time reported on."""
    usual: float
    """In as long a time, in those before."""
    answers: Mapping[str, str] | None = None
    """Step → answer, of those who were asked about the kind; None: nobody was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a time brought: a day, or a night's."""

    since: dt.datetime
    until: dt.datetime
    events: int
    kinds: int
    against: int
    """Times before, of the same length, that had any event at all."""
    new: tuple[Told, ...]
    vanished: tuple[Told, ...]
    bursts: tuple[Told, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {**asdict(self), "since": self.since.isoformat(), "until": self.until.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the models were asked in a night."""

    kinds: int = 0
    values: int = 0
    words: int = 0
    calls: int = 0
    known_usd: Decimal = Decimal(0)
    unknown_calls: int = 0
    """Calls whose cost nobody knows."""
    run: str | None = None
    """The last, where there were several; None: there was nothing to ask."""

    def plus(self, more: "Asked") -> "Asked":
        """Return what both come to."""
        return Asked(
            kinds=self.kinds + more.kinds,
            values=self.values + more.values,
            words=self.words + more.words,
            calls=self.calls + more.calls,
            known_usd=self.known_usd + more.known_usd,
            unknown_calls=self.unknown_calls + more.unknown_calls,
            run=more.run or self.run,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A night that is done."""

    log: str
    due: dt.datetime
    """When it was to begin; a night is known by it."""
    started: dt.datetime
    report: Report
    files: int
    """Files that were looked at."""
    loaded: int
    """Events that were added, by this night and those that it made up for."""
    problems: tuple[str, ...]
    """Files that could not be read to their end, each with the reason."""
    asked: Asked

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "log": self.log,
            "due": self.due.isoformat(),
            "started": self.started.isoformat(),
            "files": self.files,
            "loaded": self.loaded,
            "problems": list(self.problems),
            "asked": {**asdict(self.asked), "known_usd": str(self.asked.known_usd)},
            **self.report.as_json(),
        }


def night_of(told: Mapping[str, Any]) -> Night:
    """Return a night from its JSON."""
    kinds: dict[str, Sequence[Told]] = {
        name: tuple(Told(**one) for one in told[name]) for name in ("new", "vanished", "bursts")
    }
    moments = {name: dt.datetime.fromisoformat(told[name]) for name in ("since", "until", "due", "started")}
    report = Report(
        since=moments["since"],
        until=moments["until"],
        events=told["events"],
        kinds=told["kinds"],
        against=told["against"],
        **kinds,  # type: ignore[arg-type]
    )
    return Night(
        log=told["log"],
        due=moments["due"],
        started=moments["started"],
        report=report,
        files=told["files"],
        loaded=told["loaded"],
        problems=tuple(told["problems"]),
        asked=Asked(**{**told["asked"], "known_usd": Decimal(told["asked"]["known_usd"])}),
    )
