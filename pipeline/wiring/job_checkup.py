"""The check-up of a job: its models, keys, endpoints, prices, checks and thresholds, before a run needs them."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.machine import available_memory_bytes
from pipeline.adapters.openai_compatible.probe import endpoint_facts
from pipeline.adapters.user_files import load_job
from pipeline.domain.checks import PythonCheck
from pipeline.domain.errors import HeadraceError
from pipeline.domain.findings import Finding, failure, ok, warning
from pipeline.domain.job import Job
from pipeline.domain.tiers import DEFAULT_ACCEPT_AT, Tier
from pipeline.settings import PREFIX, Settings, secret_from
from pipeline.wiring.engines import check_instant_models, model_store
from pipeline.wiring.parts import price_book_for

_GB = 1e9
_PROCESS_BYTES = 300_000_000
"""A worker without its model."""
_CELL_SHARE = 3e-5
"""Bytes of context for one token, per byte of model: 30 kB with a file of 1 GB. Grouped attention takes half of it."""


def job_findings(job_file: Path, settings: Settings) -> Iterator[Finding]:
    """Check a job; nothing but its endpoints' list of models is asked for, and no text leaves the machine."""
    try:
        job = load_job(job_file)
        check_instant_models(job)
    except HeadraceError as error:
        yield failure("job", str(error))
        return
    yield ok("job", f"{job.name}: {len(job.steps)} steps, {len(job.tiers)} tiers")
    yield from _checks(job)
    needed_bytes = 0
    for tier in job.tiers:
        if tier.engine == "llama":
            finding, size_bytes = _model(tier, settings)
            yield finding
            needed_bytes += memory_needed_bytes(tier, size_bytes) if size_bytes is not None else 0
        elif tier.engine == "openai":
            yield _endpoint(tier)
    if needed_bytes:
        yield memory_finding(needed_bytes, available_memory_bytes())
    yield from _prices(job, settings)
    yield from threshold_findings(job)


def _checks(job: Job) -> Iterator[Finding]:
    named = [check.entry_point for step in job.steps for check in step.checks if isinstance(check, PythonCheck)]
    if not named:
        return
    try:
        load_entry_points(job)
    except HeadraceError as error:
        yield failure("checks", str(error))
        return
    yield ok("checks", f"imported {', '.join(dict.fromkeys(named))}")


def _model(tier: Tier, settings: Settings) -> tuple[Finding, int | None]:
    name = f"model of {tier.name}"
    try:
        found = model_store(settings).path(tier.model)
    except HeadraceError as error:
        return failure(name, str(error)), None
    size_bytes = found.header.file_bytes
    vouched = "hash right" if found.entry is not None else "a file of your own"
    seen = f"{tier.model}, {size_bytes / _GB:,.2f} GB, {vouched}"
    if not found.header.has_chat_template:
        return failure(name, f"{seen}; it has no chat template", "name an instruction-tuned model"), size_bytes
    return ok(name, seen), size_bytes


def memory_needed_bytes(tier: Tier, model_bytes: int) -> int:
    """Return roughly what a tier's worker takes: its model, its context, itself.

    0.5 GB and a window of 4,096 tokens: 0.5 + 0.5 * 4,096 * 3e-5 + 0.3 = 0.86 GB.
    """
    return round(model_bytes * (1 + tier.context_tokens * _CELL_SHARE)) + _PROCESS_BYTES


def memory_finding(needed_bytes: int, available_bytes: int) -> Finding:
    """Judge what all workers of a job take together against what is left."""
    seen = f"workers take about {needed_bytes / _GB:,.1f} GB, {available_bytes / _GB:,.1f} GB are available"
    if needed_bytes <= available_bytes:
        return ok("memory of the job", seen)
    mend = "take smaller models or a smaller context_tokens (of no concern if these workers run already)"
    return warning("memory of the job", seen, mend)


def _endpoint(tier: Tier) -> Finding:
    name = f"endpoint of {tier.name}"
    try:
        key = secret_from(tier.api_key_env)
        facts = endpoint_facts(base_url=tier.base_url, api_key=key, azure_api_version=tier.azure_api_version)
    except HeadraceError as error:
        return failure(name, str(error))
    if facts.models is None:
        return warning(name, "it answers, but lists no models", "try a run over a few lines first")
    if tier.azure_api_version is None and tier.model not in facts.models:
        return warning(name, f"it answers, but does not list {tier.model}", "check `model`, or try a few lines first")
    return ok(name, f"it answers and has {tier.model}")


def _prices(job: Job, settings: Settings) -> Iterator[Finding]:
    try:
        known = price_book_for(settings).names
    except HeadraceError as error:
        yield failure("prices", str(error), f"mend {PREFIX}PRICE_BOOK")
        return
    unknown = [tier for tier in job.tiers if tier.price not in known]
    if not unknown:
        yield ok("prices", f"known for all {len(job.tiers)} tiers")
    for tier in unknown:
        what = "has no `price`" if tier.price is None else f"names the price {tier.price}, which the book lacks"
        mend = f"its costs will be unknown; known prices: {', '.join(known)}; {PREFIX}PRICE_BOOK names a book of yours"
        yield warning("prices", f"tier {tier.name} {what}", mend)


def threshold_findings(job: Job) -> Iterator[Finding]:
    """Tell where answers are believed from the default confidence on, though scores are uncalibrated."""
    defaulted: dict[str, list[str]] = {}
    for step_no, step in enumerate(job.steps):
        for tier_no in job.ladder(step_no)[:-1]:
            tier = job.tiers[tier_no]
            if tier.accept_at is None or not {step.name, "default"} & tier.accept_at.keys():
                defaulted.setdefault(tier.name, []).append(step.name)
    if not defaulted:
        yield ok("thresholds", "set in the job; scores are uncalibrated, so compare some answers with known ones")
    for tier_name, steps in defaulted.items():
        yield warning(
            "thresholds",
            f"tier {tier_name} believes {', '.join(steps)} from {DEFAULT_ACCEPT_AT} on, the default, "
            "though its scores are uncalibrated",
            f"compare some answers with known ones, then set accept_at for {tier_name}",
        )
