"""What a user hands to a command, made ready: the job, its models, its source."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.adapters.embedded import open_home
from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.job_file import load_job
from pipeline.adapters.models import ModelState
from pipeline.adapters.sources import FileSource, open_source
from pipeline.domain.job import Job
from pipeline.domain.tiers import DEFAULT_ACCEPT_AT
from pipeline.ports.source import SourceOptions
from pipeline.settings import Settings, secret_from
from pipeline.telemetry import logger
from pipeline.wiring.engines import model_store
from pipeline.wiring.parts import price_book_for

_CHARS_PER_TOKEN = 6
"""No tokenizer of ours packs a longer text into a token on average: what is longer surely exceeds the window."""


def job_from(path: Path) -> Job:
    """Read a job file and import its checks, so that a mistake shows before anything starts."""
    job = load_job(path)
    load_entry_points(job)
    return job


def warn_of_gaps(job: Job, settings: Settings) -> None:
    """Refuse what would fail later (a missing model or key) and log what the user should know beforehand."""
    store = model_store(settings)
    prices = price_book_for(settings)
    for number, tier in enumerate(job.tiers):
        if tier.engine == "llama":
            store.path(tier.model)
        secret_from(tier.api_key_env)
        if tier.price is None or tier.price not in prices.names:
            logger().warning("price_unknown", tier=tier.name, price=tier.price, known=list(prices.names))
        if tier.accept_at is None and number < len(job.tiers) - 1:
            logger().warning("default_threshold_for_uncalibrated_scores", tier=tier.name, accept_at=DEFAULT_ACCEPT_AT)


def pull_missing_models(job: Job, settings: Settings, show: Callable[[str, int, int, str], None]) -> None:
    """Fetch the job's catalogue models that are not there; `show` gets (title, done bytes, total bytes, note)."""
    store = model_store(settings)
    absent = {
        listing.entry.name for listing in store.list() if listing.state in {ModelState.ABSENT, ModelState.PARTIAL}
    }
    for name in dict.fromkeys(tier.model for tier in job.tiers if tier.engine == "llama"):
        if name in absent:
            store.pull(name, lambda done, total, note, name=name: show(f"pulling {name}", done, total, note))  # type: ignore[misc]  # mypy cannot type a lambda's default


@contextlib.contextmanager
def opened_source(inputs: Sequence[str], job: Job, options: SourceOptions, settings: Settings) -> Iterator[FileSource]:
    """Open the inputs; what was spooled of standard input goes with the context."""
    last = job.tiers[-1]
    too_long = (last.max_text_tokens or last.context_tokens) * _CHARS_PER_TOKEN if last.on_long == "reject" else None
    spool = open_home(settings.home).folder("spool")
    with contextlib.closing(open_source(inputs, job, options, spool=spool, max_text_chars=too_long)) as source:
        yield source
