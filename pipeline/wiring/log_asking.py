"""Asking about a log by jobs of the user's: each kind once, each value that no rule names, each word that may be one.

What is to be asked stands in a file until its answers are kept: whatever dies, the same run takes it up.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pipeline.adapters.embedded import open_home
from pipeline.domain.answers import Plain
from pipeline.domain.job import Job
from pipeline.domain.logs.constants import doubtful_in, types_of
from pipeline.domain.logs.events import Event, content_of, kinds
from pipeline.domain.logs.naming import UNKNOWN, Entity, entities_of, places_of, unsure_of
from pipeline.domain.logs.nights import Asked
from pipeline.domain.runs import ResultLine, RunProgress
from pipeline.ports.logs import LogStore, Wanted
from pipeline.settings import Settings
from pipeline.wiring.log_kinds import Answers, Kind, stored_kinds, subject_of, subjects_of, templates_of, told_words

FOLDER = "nights"
_MOST_FOLLOWING_CHARS = 2000
_EXAMPLES = 3

About: TypeAlias = Literal["words", "kinds", "values"]
"""What is asked about; in this order, for a word that is a value makes another kind of its own."""


def to_ask(store: LogStore, log: str, asking: Job, about: About, settings: Settings) -> Path | None:
    """Return a file of what `asking` was not asked about yet, a JSON object a line; None where there is nothing.

    A file that an interrupted night has left goes first, as it is.
    """
    folder = open_home(settings.home).folder(FOLDER)
    path = folder / f"{log}-{about}-{asking.questions_digest[:12]}.jsonl"
    if path.exists():
        return path
    answered = store.answers(log, asking.questions_digest)
    of = _by_rules(store, log, answered) if about == "words" else stored_kinds(store, log)
    rows = [row for kind in of for row in _rows(store, log, kind, about, answered)]
    if not rows:
        return None
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)
    return path


def _by_rules(store: LogStore, log: str, answered: Answers) -> list[Kind]:
    """Return the kinds as the rules have them, without those that the answers have already brought under another."""
    found = stored_kinds(store, log, by_rules=True)
    template_of = kinds((pattern for kind in found for pattern in kind.patterns), told_words(answered))
    return [kind for kind in found if template_of[kind.patterns[0]] == kind.template]


def _rows(store: LogStore, log: str, kind: Kind, about: About, answered: Answers) -> Iterator[dict[str, Any]]:
    if about == "kinds":
        if not any(pattern in answered for pattern in kind.patterns):
            yield {**_columns(log, kind, _examples(store, log, kind)), "subjects": list(kind.patterns)}
        return
    doubtful = doubtful_in(kind.template) if about == "words" else []
    if about == "words" and all(subject_of(kind.template, about, place) in answered for place, _ in doubtful):
        return
    events = _examples(store, log, kind)
    if not events:
        return
    found = doubtful if about == "words" else unsure_of(kind.template, content_of(events[0]))
    for number, text in found:
        subject = subject_of(kind.template, about, number)
        if subject not in answered:
            yield {**_columns(log, kind, events), about.removesuffix("s"): text, "subjects": [subject]}


def _examples(store: LogStore, log: str, kind: Kind) -> list[Event]:
    """Return a few events of a kind that differ: of each of its first patterns one, then others of the first."""
    of = [*kind.patterns[:_EXAMPLES], kind.patterns[0]]
    limits = [1] * (len(of) - 1) + [_EXAMPLES]
    found = [
        one.event
        for pattern, limit in zip(of, limits, strict=True)
        for one in store.find(log, Wanted(patterns=[pattern]), limit=limit)
    ]
    return list({content_of(event): event for event in reversed(found)}.values())[::-1][:_EXAMPLES]


def _columns(log: str, kind: Kind, events: Sequence[Event]) -> dict[str, str]:
    event = events[0] if events else None
    header = {} if event is None else event.header
    return {
        "log": log,
        "template": kind.template,
        "example": "" if event is None else content_of(event),
        "examples": "\n".join(content_of(one) for one in events),
        "following": "" if event is None else event.following[:_MOST_FOLLOWING_CHARS],
        "level": header.get("level", ""),
        "component": header.get("component", ""),
    }


def keep_answers(
    store: LogStore, log: str, asking: Job, path: Path, results: Iterable[ResultLine], final: RunProgress
) -> Asked:
    """Keep what a run over a file of `to_ask` answered; the file goes."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    answers = {
        subject: {step: _said(found.value) for step, found in one.answers.items()}
        for one in results
        for subject in rows[one.line - 1]["subjects"]
    }
    store.add_answers(log, asking.questions_digest, answers)
    path.unlink()
    values, words = (sum(about in row for row in rows) for about in ("value", "word"))
    return Asked(
        kinds=len(rows) - values - words,
        values=values,
        words=words,
        calls=final.calls,
        known_usd=final.known_usd,
        unknown_calls=final.unknown_calls,
        run=final.run,
    )


def _said(answer: Plain) -> str:
    """Return an answer as people read it."""
    if answer is None:
        return UNKNOWN
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


class Entities:
    """What the events of a log say, as its kinds stand now."""

    def __init__(self, store: LogStore, log: str) -> None:
        """Work out the kinds, and read what was answered of their values."""
        self.template_of = templates_of(store, log)
        """Pattern → template of its kind."""
        answers = store.answers(log, None)
        self._answers: dict[str, dict[int, Mapping[str, str]]] = {}
        for template, number, kind in types_of(told_words(answers)):
            self._answers.setdefault(template, {})[number] = {"type": kind}
        for template, number, told in subjects_of(answers, "values"):
            self._answers.setdefault(template, {})[number] = told

    def of(self, event: Event) -> list[Entity]:
        """Return what an event says."""
        template = self.template_of.get(event.pattern)
        return entities_of(event, template, self._answers.get(template or ""))

    def places(self, name: str, text: str) -> dict[str, list[int]]:
        """Return pattern → places as in `places_of`, for those patterns that may have such a value."""
        found = {one: places_of(one, template, name, text) for one, template in self.template_of.items()}
        return {one: places for one, places in found.items() if places is not None}
