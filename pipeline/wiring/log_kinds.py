"""Kinds of what is stored of a log, for commands: by the rules, and by what models said of words."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.domain.errors import ConfigError
from pipeline.domain.logs.constants import VALUES, Told
from pipeline.domain.logs.events import kinds
from pipeline.domain.logs.nights import Report
from pipeline.flow.log_report import reported
from pipeline.ports.logs import LogStore, Pattern

__all__ = ["Kind", "Report", "kinds_of", "report_of", "stored_kinds", "subject_of", "subjects_of", "templates_of"]

Answers = Mapping[str, Mapping[str, str]]
"""Subject → step → answer."""
_BEHIND_TEMPLATE: Final = "\n"
"""Parts a template from the number of its value or word, where that is the subject; no template holds one."""
_SIGNS: Final = {"values": "", "words": "w"}
_FIRST_YEAR, _LAST_YEAR = 1900, 9000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of event of a stored log."""

    template: str
    events: int
    patterns: tuple[str, ...]
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    first_seen: dt.datetime
    """When the first of its patterns was stored."""
    answers: Mapping[str, str] | None = None
    """Step → answer, of those who were asked about it; None: nobody was."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "template": self.template,
            "events": self.events,
            "first_at": None if self.first_at is None else self.first_at.isoformat(),
            "last_at": None if self.last_at is None else self.last_at.isoformat(),
            "first_seen": self.first_seen.isoformat(),
            "answers": None if self.answers is None else dict(self.answers),
        }


def subject_of(template: str, about: str, number: int) -> str:
    """Return what answers about a value (`values`) or a word (`words`) of a template are kept under."""
    return f"{template}{_BEHIND_TEMPLATE}{_SIGNS[about]}{number}"


def subjects_of(answers: Answers, about: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Yield template, number and what was answered, of those answers that are about `values` or `words`."""
    for subject, told in answers.items():
        template, behind, number = subject.rpartition(_BEHIND_TEMPLATE)
        if behind and number.startswith("w") == (about == "words"):
            yield template, int(number.removeprefix("w")), told


def told_words(answers: Answers) -> Told:
    """Return the words of which models said that they are values."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for template, place, told in subjects_of(answers, "words"):
        if told.get("type") in VALUES:
            found[template][place] = told["type"]
    return found


def kinds_of(store: LogStore, log: str) -> list[Kind]:
    """Return the kinds of a stored log, the commonest first; raises ConfigError where nothing of it is stored."""
    found = stored_kinds(store, log)
    if not found:
        raise ConfigError(f"nothing of a log {log} is stored: load it with headrace logs load {log} FILE")
    return found


def stored_kinds(store: LogStore, log: str, *, by_rules: bool = False) -> list[Kind]:
    """Return the kinds of a log, the commonest first; none where nothing of it is stored.

    `by_rules`: as they are without what models said of words.
    """
    patterns = store.patterns(log)
    answers = store.answers(log, None)
    template_of = _templates(patterns, {} if by_rules else answers)
    together: dict[str, list[Pattern]] = defaultdict(list)
    for one in patterns:
        together[template_of[one.pattern]].append(one)
    found = [_kind(template, members, answers) for template, members in together.items()]
    return sorted(found, key=lambda one: (-one.events, one.template))


def templates_of(store: LogStore, log: str) -> dict[str, str]:
    """Return pattern → template of its kind."""
    return _templates(store.patterns(log), store.answers(log, None))


def _templates(patterns: Iterable[Pattern], answers: Answers) -> dict[str, str]:
    return kinds((one.pattern for one in patterns), told_words(answers))


def report_of(store: LogStore, log: str, day: dt.date | None, *, against: int) -> Report:
    """Report on a day of a log, by default its latest; raises ConfigError where nothing of it is stored or dated."""
    patterns = store.patterns(log)
    last = max((one.last_at for one in patterns if one.last_at is not None), default=None)
    if last is None:
        raise ConfigError(f"nothing of a log {log} with moments is stored: load it with headrace logs load {log} FILE")
    day = day or last.astimezone(dt.UTC).date()
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ConfigError(f"{day}: reports are of days from {_FIRST_YEAR} to {_LAST_YEAR}; name one with --day")
    until = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)
    rates = store.rates(log, since=until - dt.timedelta(days=against + 1), until=until)
    return reported(rates, _templates(patterns, store.answers(log, None)), until=until, against=against)


def _kind(template: str, members: Sequence[Pattern], answers: Mapping[str, Mapping[str, str]]) -> Kind:
    return Kind(
        template=template,
        events=sum(one.events for one in members),
        patterns=tuple(one.pattern for one in members),
        first_at=min((one.first_at for one in members if one.first_at is not None), default=None),
        last_at=max((one.last_at for one in members if one.last_at is not None), default=None),
        first_seen=min(one.first_seen for one in members),
        answers=next((answers[one.pattern] for one in members if one.pattern in answers), None),
    )
