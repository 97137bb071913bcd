"""Asking about a log: each kind of event once, and each value of a kind that no rule names, by jobs of the user's.

What is to be asked stands in a file until its answers are kept: whatever dies, the same run takes it up.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pipeline.adapters.embedded import open_home
from pipeline.domain.answers import Plain
from pipeline.domain.job import Job
from pipeline.domain.logs.events import Event, content_of
from pipeline.domain.logs.naming import UNKNOWN, Entity, entities_of, places_of, unsure_of
from pipeline.domain.logs.nights import Asked
from pipeline.domain.runs import ResultLine, RunProgress
from pipeline.ports.logs import LogStore, Wanted
from pipeline.settings import Settings
from pipeline.wiring.log_loading import Kind, stored_kinds, templates_of

FOLDER = "nights"
_MOST_FOLLOWING_CHARS = 2000
_BEHIND_TEMPLATE = "\n"
"""Parts a template from the number of its value, where a value is the subject; no template holds one."""

About: TypeAlias = Literal["kinds", "values"]


def to_ask(store: LogStore, log: str, asking: Job, about: About, settings: Settings) -> Path | None:
    """Return a file of what `asking` was not asked about yet, a JSON object a line; None where there is nothing.

    A file that an interrupted night has left goes first, as it is.
    """
    folder = open_home(settings.home).folder(FOLDER)
    path = folder / f"{log}-{about}-{asking.questions_digest[:12]}.jsonl"
    if path.exists():
        return path
    answered = store.answers(log, asking.questions_digest)
    rows = [row for kind in stored_kinds(store, log) for row in _rows(store, log, kind, about, answered)]
    if not rows:
        return None
    partial = path.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)
    return path


def _rows(
    store: LogStore, log: str, kind: Kind, about: About, answered: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    if about == "kinds":
        if not any(pattern in answered for pattern in kind.patterns):
            yield {**_columns(log, kind, _example(store, log, kind)), "subjects": list(kind.patterns)}
        return
    event = _example(store, log, kind)
    if event is None:
        return
    for number, text in unsure_of(kind.template, content_of(event)):
        subject = f"{kind.template}{_BEHIND_TEMPLATE}{number}"
        if subject not in answered:
            yield {**_columns(log, kind, event), "value": text, "subjects": [subject]}


def _example(store: LogStore, log: str, kind: Kind) -> Event | None:
    found = next(iter(store.find(log, Wanted(patterns=kind.patterns[:1]), limit=1)), None)
    return None if found is None else found.event


def _columns(log: str, kind: Kind, event: Event | None) -> dict[str, str]:
    header = {} if event is None else event.header
    return {
        "log": log,
        "template": kind.template,
        "example": "" if event is None else content_of(event),
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
    values = sum("value" in row for row in rows)
    return Asked(
        kinds=len(rows) - values,
        values=values,
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
        self._answers: dict[str, dict[int, Mapping[str, str]]] = {}
        for subject, told in store.answers(log, None).items():
            template, behind, number = subject.rpartition(_BEHIND_TEMPLATE)
            if behind:
                self._answers.setdefault(template, {})[int(number)] = told

    def of(self, event: Event) -> list[Entity]:
        """Return what an event says."""
        template = self.template_of.get(event.pattern)
        return entities_of(event, template, self._answers.get(template or ""))

    def places(self, name: str, text: str) -> dict[str, list[int]]:
        """Return pattern → places as in `places_of`, for those patterns that may have such a value."""
        found = {one: places_of(one, template, name, text) for one, template in self.template_of.items()}
        return {one: places for one, places in found.items() if places is not None}
