"""The check-up of a job: its models, keys, endpoints, prices, checks and thresholds, before a run needs them."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.entry_points import load_entry_points, named_entry_points
from pipeline.adapters.models.store import ResolvedModel
from pipeline.adapters.openai_compatible.probe import endpoint_facts
from pipeline.adapters.user_files import load_job
from pipeline.domain.errors import HeadraceError
from pipeline.domain.findings import Finding, failure, ok, warning
from pipeline.domain.job import Job
from pipeline.domain.tiers import DEFAULT_ACCEPT_AT, Tier
from pipeline.settings import PREFIX, Settings, secret_from
from pipeline.wiring.engines import check_instant_models, file_name, model_file_of, need_of, too_many_threads
from pipeline.wiring.fit import WAY_OUT, Room, TierNeed, together_bytes
from pipeline.wiring.lessons import calibrated_steps, learned_files
from pipeline.wiring.parts import price_book_for

_GB = 1e9
_MEMORY = "memory of the job"


def job_findings(job_file: Path, settings: Settings, room: Room, *, up: bool) -> Iterator[Finding]:
    """Check a job; nothing but its endpoints' list of models is asked for, and no text leaves the machine.

    `up`: Headrace runs in this home, so that its workers may hold already what they need.
    """
    try:
        job = load_job(job_file)
        check_instant_models(job)
    except HeadraceError as error:
        yield failure("job", str(error))
        return
    yield ok("job", f"{job.name}: {len(job.steps)} steps, {len(job.tiers)} tiers")
    yield from _checks(job)
    found: list[tuple[Tier, ResolvedModel]] = []
    for tier in job.tiers:
        model: ResolvedModel | None = None
        if tier.model_file is not None:
            finding, model = _model(tier, settings)
            yield finding
            found += [] if model is None else [(tier, model)]
            if too_many := too_many_threads(tier, granted_cpus()):
                mend = "leave `threads` out, and all CPUs that are granted are used"
                yield warning(f"threads of {tier.name}", too_many, mend)
        elif tier.engine == "openai":
            yield _endpoint(tier)
        if tier.lesson is not None:
            yield _lesson(tier, model, settings)
    if found:
        yield memory_finding(
            {tier.name: (model.sha256, need_of(tier, model, has_gpu=room.has_gpu)) for tier, model in found},
            room,
            up=up,
        )
    yield from _prices(job, settings)
    yield from threshold_findings(job, {tier.name: _calibrated(tier, settings) for tier in job.tiers})


def _checks(job: Job) -> Iterator[Finding]:
    named = sorted(named_entry_points(job))
    if not named:
        return
    try:
        load_entry_points(job)
    except HeadraceError as error:
        yield failure("checks", str(error))
        return
    yield ok("checks", f"imported {', '.join(named)}")


def _model(tier: Tier, settings: Settings) -> tuple[Finding, ResolvedModel | None]:
    name = f"model of {tier.name}"
    try:
        found = model_file_of(tier, settings)
        vouched = "hash right" if found.entry is not None else "a file of your own"
    except HeadraceError as error:
        return failure(name, str(error)), None
    return ok(name, f"{tier.model_file}, {found.header.file_bytes / _GB:,.2f} GB, {vouched}"), found


def _lesson(tier: Tier, model: ResolvedModel | None, settings: Settings) -> Finding:
    name = f"what {tier.name} learned"
    try:
        pinned = learned_files(settings).pinned(tier.lesson or "")
        if pinned is None:
            return warning(name, f"nothing has been learned as {tier.lesson} here", "headrace learn JOB INPUT")
        about = learned_files(settings).about(pinned)
        if model is not None or tier.model_file is None:  # of a file that cannot be used another check tells
            about.refuse_other_model(None if model is None else file_name(model), name=pinned)
    except HeadraceError as error:
        return failure(name, str(error))
    return ok(name, f"{pinned}: {', '.join(one.step for one in about.steps)}")


def memory_finding(needs: Mapping[str, tuple[str, TierNeed | None]], room: Room, *, up: bool) -> Finding:
    """Judge what all workers of a job take together against what is free.

    `needs`: the file (its hash) of each tier with a model and what its worker takes; None where the file does not tell.
    """
    known = {name: (file, need) for name, (file, need) in needs.items() if need is not None}
    host_bytes = together_bytes(known.values())
    gpu_bytes = sum(need.gpu_bytes for _, need in known.values())
    listed = "; ".join(f"{name} {need.host}" for name, (_, need) in known.items())
    seen = f"workers need about {host_bytes / _GB:,.2f} GB together, {room.host_bytes / _GB:,.2f} GB are free: {listed}"
    if gpu_bytes:
        free = "unknown" if room.gpu_bytes is None else f"{room.gpu_bytes / _GB:,.2f} GB"
        seen += f"; of the GPU {gpu_bytes / _GB:,.2f} GB, free {free}"
    untold = [name for name in needs if name not in known]
    if untold:
        seen += f"; the files of {', '.join(untold)} do not say enough for an estimate"
    if host_bytes <= room.host_bytes and gpu_bytes <= (gpu_bytes if room.gpu_bytes is None else room.gpu_bytes):
        return ok(_MEMORY, seen)
    if up:
        return warning(_MEMORY, f"{seen}; Headrace is up, and workers of this job may hold it already", WAY_OUT)
    return failure(_MEMORY, seen, WAY_OUT)


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


def _calibrated(tier: Tier, settings: Settings) -> Collection[str]:
    try:
        return calibrated_steps(tier, settings)
    except HeadraceError:  # told where the lesson is looked at
        return frozenset()


def threshold_findings(job: Job, calibrated: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Tell where answers are believed from the default confidence on, though scores are uncalibrated.

    `calibrated`: tier → steps about which it has learned how sure to be.
    """
    defaulted: dict[str, list[str]] = {}
    for step_no, step in enumerate(job.steps):
        for tier_no in job.ladder(step_no)[:-1]:
            tier = job.tiers[tier_no]
            named = {step.name, "default"} & (tier.accept_at or {}).keys()
            # A classical tier that has learned nothing of a step is left out of its ladder.
            sure = tier.engine == "classical" or step.name in calibrated.get(tier.name, ())
            if not named and not sure and not job.is_certified(step_no, tier_no):
                defaulted.setdefault(tier.name, []).append(step.name)
    if not defaulted:
        yield ok("thresholds", "set in the job, or certified; where nothing was learned scores are uncalibrated")
    for tier_name, steps in defaulted.items():
        yield warning(
            "thresholds",
            f"tier {tier_name} believes {', '.join(steps)} from {DEFAULT_ACCEPT_AT} on, the default, "
            "though its scores are uncalibrated",
            f"compare some answers with known ones, then set accept_at for {tier_name}",
        )
