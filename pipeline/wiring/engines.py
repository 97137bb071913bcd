"""From a tier to the engine that answers it."""

import threading
import time
from collections.abc import Callable
from typing import Final

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.instant import InstantEngine
from pipeline.adapters.llama.templates import refuse_template
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ENCODERS, ModelStore
from pipeline.adapters.models.store import ResolvedModel
from pipeline.asking import askings
from pipeline.domain.errors import ConfigError, ModelError
from pipeline.domain.fusing import MODEL_DIGITS
from pipeline.domain.job import Job
from pipeline.domain.pacing import Limits, Turns
from pipeline.domain.tiers import Tier
from pipeline.ports.encoder import Encoder
from pipeline.ports.engine import Engine, TimedEngine
from pipeline.settings import Settings, secret_from
from pipeline.wiring.fit import TierNeed, refuse_unless_it_fits, room_here, tier_need
from pipeline.wiring.lessons import learned_files, lesson_of

AN_ENCODER: Final = "all-minilm-l6-v2"


def model_store(settings: Settings) -> ModelStore:
    """Return the store of model files."""
    return ModelStore(settings.models_folder)


def best_file(tier: Tier, settings: Settings) -> ResolvedModel:
    """Find a tier's model file in its best format here; raises ModelError where it is missing or damaged."""
    heads = tier.engine == "llama" and tier.learned is not None
    return model_store(settings).best(tier.model_file or "", machine=processor_name(), heads=heads)


def model_file_of(tier: Tier, settings: Settings) -> ResolvedModel:
    """Find the file that a tier's workers load, in its best format here, and check that it is one for such a tier.

    Raises ModelError where it is missing, damaged or of another kind, ConfigError where it and the tier do not make one
    chat template.
    """
    resolved = best_file(tier, settings)
    if tier.engine == "classical":
        if not resolved.header.is_encoder:
            raise ModelError(
                f"tier {tier.name}: {tier.encoder} is no sentence encoder that Headrace knows (its architecture is "
                f"{resolved.header.architecture}, and those of {', '.join(sorted(ENCODERS))} are known): name one, as "
                f"{AN_ENCODER}"
            )
        return resolved
    if resolved.header.is_encoder:
        raise ModelError(
            f"tier {tier.name}: {tier.model} is a sentence encoder, which answers nothing by itself: name it as "
            '`encoder` of a tier with engine = "classical"'
        )
    refuse_template(resolved.path.name, tier.chat_template, has_own=resolved.header.has_chat_template)
    return resolved


def model_for(tier: Tier, settings: Settings) -> ResolvedModel:
    """Find and check the file that a tier's workers load, as `model_file_of`, and that it fits into this machine.

    Raises ModelError and ConfigError. Loads llama.cpp.
    """
    resolved = model_file_of(tier, settings)
    room = room_here()
    refuse_unless_it_fits(tier, need_of(tier, resolved, has_gpu=room.has_gpu), room)
    return resolved


def check_instant_models(job: Job) -> None:
    """Raise ConfigError where the model of an `instant` tier states no score."""
    for tier in job.tiers:
        if tier.engine == "instant":
            try:
                InstantEngine(model=tier.model)
            except ConfigError as error:
                raise ConfigError(f"tiers.{tier.name}.model: {error}") from None


def need_of(tier: Tier, model: ResolvedModel, *, has_gpu: bool) -> TierNeed | None:
    """Estimate what a worker of a tier takes with this file; None where the file does not say enough."""
    return tier_need(tier, model.header.measures, has_gpu=has_gpu, batch_tokens=model.batch_tokens)


def threads_for(tier: Tier, model: ResolvedModel, share: int | None) -> int:
    """Return how many threads a worker uses: what its tier says, else its share of the machine.

    Where fewer were measured to be faster (hyperthreads can be in each other's way), no more than those.
    """
    granted = granted_cpus()
    best = None if model.tuned is None else model.tuned.threads_of(granted)
    return tier.threads or min(share or granted, best or granted)


def too_many_threads(tier: Tier, granted: int) -> str | None:
    """Say that a tier asks for more threads than there are CPUs; it gets them, as its workers may run elsewhere."""
    if tier.threads is None or tier.threads <= granted:
        return None
    return f"threads = {tier.threads}, and this machine grants {granted}: more threads than CPUs make a model slower"


def file_name(model: ResolvedModel) -> str:
    """Return how what a model says is named: with the file's own hash.

    What was learned or calibrated for another format of the same model is not taken for this one. A file of one's own
    is called by its name alone: it may lie elsewhere on another machine.
    """
    return f"{model.path.name if model.entry is None else model.entry.name}@{model.sha256[:MODEL_DIGITS]}"


def check_model(job: Job, tier_no: int, settings: Settings) -> None:
    """Raise ModelError where a tier's model file cannot serve it, or what it learned is about another or other words.

    Hashes the file.
    """
    tier = job.tiers[tier_no]
    model = None if tier.model_file is None else model_file_of(tier, settings)
    if tier.lesson is None:
        return
    about = learned_files(settings).about(tier.lesson)
    about.refuse_other_model(None if model is None else file_name(model), name=f"tier {tier.name}: {tier.lesson}")
    if tier.engine == "classical":
        return  # its labels were looked at when the job was bound to it
    for number, asking in askings(job, tier_no).items():
        one = about.of(job.steps[number].name)
        if one is not None and [one.asked] != [question.digest for question in asking.questions]:
            raise ModelError(
                f"tier {tier.name}: {tier.lesson} learned step {one.step} in other words than it has now: headrace "
                "learn JOB"
            )


def llama_engine(
    tier: Tier, model: ResolvedModel, *, threads: int | None = None, hidden_states: bool = False
) -> TimedEngine:
    """Load a llama tier's engine over a file that was checked; with `hidden_states` asks may want them."""
    # Heavy native code: loaded only in the process that answers with it.
    from pipeline.adapters.llama.context import BATCH_TOKENS  # noqa: PLC0415
    from pipeline.adapters.llama.engine import LlamaEngine  # noqa: PLC0415

    return LlamaEngine(
        model.path,
        model_name=file_name(model),
        context_tokens=tier.context_tokens,
        max_text_tokens=tier.max_text_tokens,
        max_answer_tokens=tier.max_answer_tokens,
        gpu_layers=tier.gpu_layers,
        threads=threads_for(tier, model, threads),
        batch_tokens=model.batch_tokens or BATCH_TOKENS,
        chat_template=tier.chat_template,
        hidden_states=hidden_states,
        reproducible=tier.reproducible,
    )


def encoder_for(tier: Tier, settings: Settings, *, threads: int | None = None) -> Encoder | None:
    """Load the encoder of a classical tier; None where it has none. Raises ModelError."""
    if tier.encoder is None:
        return None
    from pipeline.adapters.llama.encoder import SentenceEncoder  # noqa: PLC0415 — heavy native code

    model = model_for(tier, settings)
    return SentenceEncoder(
        model.path,
        model_name=file_name(model),
        threads=threads_for(tier, model, threads),
        gpu_layers=tier.gpu_layers,
    )


def engine_for(
    tier: Tier, settings: Settings, *, threads: int | None = None, pace: Callable[[int], float] | None = None
) -> Engine:
    """Load a tier's engine; raises ConfigError (a missing model or key) with the way out.

    `threads` is this worker's share of the machine; None is all that the cgroup grants. `pace` gives requests to an
    endpoint with limits their turns; None: this process keeps the limits by itself.
    """
    match tier.engine:
        case "instant":
            return InstantEngine(model=tier.model)
        case "classical":
            from pipeline.adapters.learned.engine import ClassicalEngine  # noqa: PLC0415 — 1 s to import

            lesson = lesson_of(tier.model, settings)
            encoder = encoder_for(tier, settings, threads=threads)
            return ClassicalEngine(lesson, model_name=tier.model, encoder=encoder)
        case "llama" if tier.learned is not None:
            from pipeline.adapters.learned.engine import LearnedEngine  # noqa: PLC0415 — 1 s to import

            lesson = lesson_of(tier.learned, settings)  # before the model, which takes longer
            engine = llama_engine(tier, model_for(tier, settings), threads=threads, hidden_states=True)
            return LearnedEngine(engine, lesson, name=tier.learned)
        case "llama":
            return llama_engine(tier, model_for(tier, settings), threads=threads)
        case "openai":
            from pipeline.adapters.openai_compatible import OpenAIEngine  # noqa: PLC0415 — 0.5 s to import

            return OpenAIEngine(
                model=tier.model,
                base_url=tier.base_url,
                api_key=secret_from(tier.api_key_env),
                azure_api_version=tier.azure_api_version,
                context_tokens=tier.context_tokens,
                max_text_tokens=tier.max_text_tokens,
                max_answer_tokens=tier.max_answer_tokens,
                concurrency=tier.concurrency,
                timeout_s=tier.timeout_s,
                retries=tier.retries,
                pace=(pace or _own_pace(tier.limits)) if tier.limits else None,
            )


def _own_pace(limits: Limits) -> Callable[[int], float]:
    turns, lock = Turns(), threading.Lock()

    def pace(tokens: int) -> float:
        with lock:
            return turns.take(limits, tokens, now_s=time.monotonic())

    return pace
