"""Samples from files: a user's own labelled lines, or a job's steps over its inputs with gold answers."""

import csv
import itertools
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pipeline.asking import asked_apart
from pipeline.domain.cells import harmless
from pipeline.domain.errors import ConfigError
from pipeline.domain.items import Item, fingerprint
from pipeline.domain.job import PEOPLE_TIER, Job
from pipeline.domain.runs import ResultLine
from pipeline.domain.sampling import Reservoir
from pipeline.flow.labelling import KEY, TEXT, columns, drawn, gold_rows
from pipeline.flow.samples import Sample, gold_sample, labelled_sample
from pipeline.flow.scoring import UNGROUPED, VERDICT, GoldLine, gold_lines
from pipeline.ports.source import SourceOptions
from pipeline.settings import Settings
from pipeline.wiring.formats import Show
from pipeline.wiring.inputs import opened_source

TABLE = ".csv"
NO_ITEMS = "the input has no items: try it with headrace run, which lists what is wrong with its rows"
_SHOWN_EVERY = 1000

__all__ = ["Sample", "items_of", "job_sample", "own_sample", "read_gold"]


def own_sample(path: Path) -> Sample:
    """Read a sample of the user's own: JSON Lines of `text` and perhaps `label`; raises ConfigError with the line."""
    return labelled_sample(path.name, _lines(path))


def job_sample(
    job: Job,
    inputs: Sequence[str],
    gold: Path | None,
    settings: Settings,
    *,
    name: str,
    kinds: Iterable[str] | None = None,
    most_items: int | None = None,
    options: SourceOptions | None = None,
) -> Sample:
    """Make a sample of a job's steps, each asked alone, over its inputs; with gold, of the items that have some.

    `kinds`: of these steps only. Raises ConfigError for inputs or gold answers that cannot be used.
    """
    right = None if gold is None else read_gold(gold, job)
    return known_sample(
        job, inputs, right, settings, name=name, kinds=kinds, most_items=most_items, options=options or SourceOptions()
    )


def known_sample(
    job: Job,
    inputs: Sequence[str],
    right: Sequence[GoldLine] | None,
    settings: Settings,
    *,
    name: str,
    kinds: Iterable[str] | None = None,
    most_items: int | None = None,
    options: SourceOptions,
) -> Sample:
    """Make the sample with right answers that are known already; None: nobody knows any."""
    wanted = [step for step in job.steps if kinds is None or step.kind in kinds]
    keys = None if right is None else {line.key for line in right}
    with opened_source(inputs, job, options, settings) as source:
        items = (row for row in source.rows() if isinstance(row, Item) and (keys is None or row.key in keys))
        return gold_sample(
            name, {step.name: asked_apart(step) for step in wanted}, itertools.islice(items, most_items), right
        )


def top_answers(job: Job, results: Iterable[ResultLine]) -> list[GoldLine]:
    """Return what people or the top tiers of a job's steps answered, as right answers by key; of copies the first."""
    tops = {step.name: job.tiers[job.ladder(number)[-1]].name for number, step in enumerate(job.steps)}
    found: dict[str, GoldLine] = {}
    for line in results:
        answers = {
            step: result.value
            for step, result in line.answers.items()
            if result.state == VERDICT and result.tier in {tops.get(step), PEOPLE_TIER}
        }
        if answers:
            found.setdefault(line.key, GoldLine(key=line.key, answers=answers, group=UNGROUPED))
    return list(found.values())


def items_of(
    job: Job,
    inputs: Sequence[str],
    options: SourceOptions,
    settings: Settings,
    *,
    most_items: int,
    keys: Collection[str] | None = None,
) -> list[Item]:
    """Read a job's first items as a run would: identical texts once; raises ConfigError where there are none.

    `keys`: only items of these.
    """
    found: dict[str, Item] = {}
    with opened_source(inputs, job, options, settings) as source:
        for row in source.rows():
            if isinstance(row, Item) and (keys is None or row.key in keys):
                found.setdefault(row.text, row)
            if len(found) >= most_items:
                break
    if not found:
        raise ConfigError(NO_ITEMS)
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A random sample of a source that was read once."""

    items: Sequence[Item]
    rows: int
    """Valid ones, copies of identical texts included."""
    texts: int
    """Different ones: what a run asks about."""
    rejected: int


def drawn_items(
    job: Job, inputs: Sequence[str], options: SourceOptions, settings: Settings, *, count: int, seed: int, show: Show
) -> Drawn:
    """Draw different texts from all of a job's inputs, each equally likely; raises ConfigError where there are none.

    Each row is read once. Eight bytes of each text's fingerprint are kept: about 70 MB for a million of them.
    """
    sample: Reservoir[Item] = Reservoir(size=count, below=Random(seed).randrange)
    seen: set[int] = set()
    rows = rejected = 0
    with opened_source(inputs, job, options, settings) as source:
        for row in source.rows():
            if (rows + rejected) % _SHOWN_EVERY == 0:
                show("reading", source.bytes_read(), source.size_bytes, "")
            if not isinstance(row, Item):
                rejected += 1
                continue
            rows += 1
            known = int.from_bytes(fingerprint(row.text)[:8])
            if known not in seen:
                seen.add(known)
                sample.offer(row)
        show("reading", source.size_bytes, source.size_bytes, "")
    if not sample.kept:
        raise ConfigError(NO_ITEMS)
    return Drawn(items=sample.kept, rows=rows, texts=sample.offered, rejected=rejected)


def read_gold(path: Path, job: Job) -> list[GoldLine]:
    """Read gold answers: JSON Lines, or a table (.csv) as exported for labelling; raises ConfigError with the line."""
    name = f"gold answers {path.name}"
    if path.suffix.lower() == TABLE:
        return list(gold_rows(job, csv.DictReader(_lines(path, newline="")), name))
    return list(gold_lines(_lines(path), name))


def export_sample(job: Job, items: Iterable[Item], count: int, path: Path) -> int:
    """Draw texts for people to label and write them as a table, readable by its owner only; returns how many.

    Raises ConfigError where the file is there already or cannot be written: what was filled in is never lost.
    """
    return write_to_label(job, ((item.key, item.text) for item in drawn(items, count, job.name)), path)


def write_to_label(job: Job, texts: Iterable[tuple[str, str]], path: Path) -> int:
    """Write (key, text) for people to label: a table (.csv), or JSON Lines; returns how many. Raises as above."""
    count = 0
    try:
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as file:
            writer = csv.writer(file)
            if path.suffix.lower() == TABLE:
                writer.writerow([KEY, TEXT, *columns(job)])
            for key, text in texts:
                count += 1
                if path.suffix.lower() == TABLE:
                    writer.writerow([harmless(key), harmless(text), *("" for _ in columns(job))])
                else:
                    file.write(json.dumps({KEY: key, TEXT: text}, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise ConfigError(f"{path} is there already, perhaps with labels in it: name another file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    return count


def _lines(path: Path, newline: str | None = None) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield from file
    except UnicodeDecodeError:
        raise ConfigError(f"{path.name} is not UTF-8: save it so") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
