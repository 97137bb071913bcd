"""What a user hands to a command, made ready: the job, its models, its source."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.adapters.embedded import open_home
from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.sources import FileSource, open_source
from pipeline.adapters.sources.render import Renderer
from pipeline.adapters.user_files import load_job
from pipeline.domain.items import Item, RejectedRow, RejectReason, fingerprint
from pipeline.domain.job import Job
from pipeline.domain.tiers import DEFAULT_ACCEPT_AT
from pipeline.ports.source import SourceOptions, WholeLines
from pipeline.settings import Settings, secret_from
from pipeline.telemetry import logger
from pipeline.wiring.engines import check_instant_models, check_model
from pipeline.wiring.lessons import calibrated_steps, with_lessons
from pipeline.wiring.parts import price_book_for

_CHARS_PER_TOKEN = 20
"""Even runs of blanks seldom pack more into a token: a longer text surely exceeds the window, a shorter one is measured
in tokens by the worker."""


def job_from(path: Path, settings: Settings) -> Job:
    """Read a job file for a run: as `written_job`, and with each tier that learns bound to what it learned last."""
    return with_lessons(written_job(path), settings)


def written_job(path: Path) -> Job:
    """Read a job file, import its checks and look at its engines, so that a mistake shows before anything starts."""
    job = load_job(path)
    load_entry_points(job)
    check_instant_models(job)
    return job


def warn_of_gaps(job: Job, settings: Settings) -> None:
    """Refuse what would fail later (a missing model or key) and log what the user should know beforehand."""
    prices = price_book_for(settings)
    for number, tier in enumerate(job.tiers):
        check_model(job, number, settings)
        secret_from(tier.api_key_env)
        if tier.price is None or tier.price not in prices.names:
            logger().warning("price_unknown", tier=tier.name, price=tier.price, known=list(prices.names))
        asked = {step.name for step_no, step in enumerate(job.steps) if number in job.ladder(step_no)[:-1]}
        if tier.accept_at is None and asked - calibrated_steps(tier, settings):
            logger().warning("default_threshold_for_uncalibrated_scores", tier=tier.name, accept_at=DEFAULT_ACCEPT_AT)


@contextlib.contextmanager
def opened_source(inputs: Sequence[str], job: Job, options: SourceOptions, settings: Settings) -> Iterator[FileSource]:
    """Open the inputs; what was spooled of standard input goes with the context."""
    last = job.tiers[-1]
    too_long = (last.max_text_tokens or last.context_tokens) * _CHARS_PER_TOKEN if last.on_long == "reject" else None
    spool = open_home(settings.home).folder("spool")
    with contextlib.closing(open_source(inputs, job, options, spool=spool, max_text_chars=too_long)) as source:
        yield source


@contextlib.contextmanager
def opened_lines(inputs: Sequence[str], options: SourceOptions, settings: Settings) -> Iterator[FileSource]:
    """Open the inputs as lines, each an item."""
    spool = open_home(settings.home).folder("spool")
    with contextlib.closing(open_source(inputs, WholeLines(), options, spool=spool)) as source:
        yield source


class RowReader:
    """Rows that come from code → Item | RejectedRow, by the same template as files."""

    def __init__(self, job: Job, *, source: str) -> None:
        """Compile the job's template; `source` is how the rows' origin is named."""
        self._job = job
        self._source = source
        self._renderer = Renderer(job, source=source, line_key_prefix="", max_text_chars=None)

    def read(self, line: int, row: Mapping[str, Any] | str) -> Item | RejectedRow:
        """Return the item of a row. Without a key in the job, an item is known by its text."""
        columns: Mapping[str, Any] = {"text": row} if isinstance(row, str) else row
        missing = [name for name in self._renderer.needed if name not in columns]
        if missing:
            detail = f"the row lacks {', '.join(missing)}"
            return RejectedRow(source=self._source, line=line, reason=RejectReason.MISSING_COLUMN, detail=detail)
        try:
            values = [_written(columns[name]) for name in self._renderer.needed]
        except (TypeError, ValueError, RecursionError) as error:
            detail = f"a value is neither text nor anything that JSON holds: {type(error).__name__}"
            if isinstance(error, _NoText):
                detail = f"a value of type {error} is no text: decode it, or give what it stands for"
            return RejectedRow(source=self._source, line=line, reason=RejectReason.UNREADABLE, detail=detail)
        if any("\0" in value or not _is_storable(value) for value in values):
            detail = "a NUL or half of a surrogate pair cannot be stored; remove it"
            return RejectedRow(source=self._source, line=line, reason=RejectReason.BAD_ENCODING, detail=detail)
        item = self._renderer.row(line, values)
        if isinstance(item, Item) and self._job.key is None:
            return dataclasses.replace(item, key=fingerprint(item.text).hex())
        return item


def _written(value: object) -> str:
    """Return a value as JSON Lines files are read: text as it is, nothing as empty, all else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=_told)


class _NoText(TypeError):
    """A value that says nothing of itself but where it lies; its type's name."""


def _told(value: object) -> str:
    own = type(value).__str__ is not object.__str__ or type(value).__repr__ is not object.__repr__
    if isinstance(value, bytes | bytearray | memoryview) or not own:
        raise _NoText(type(value).__name__)
    return str(value)


def _is_storable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
