"""A model in its number formats: written, timed and asked, one after the other. Tuning and comparing share it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.llama.context import BATCH_TOKENS
from pipeline.adapters.llama.devices import has_gpu_support
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.repack import FORMATS, repack
from pipeline.adapters.llama.templates import refuse_template
from pipeline.adapters.models import ResolvedModel, read_header
from pipeline.adapters.models.store import SHIPPED
from pipeline.adapters.models.tuned import BatchSpeed, FormatSpeed, ThreadSpeed
from pipeline.flow.samples import Answers, Sample, ask_sample

LEAST_GAIN = 1.05
"""How many times as fast another number of threads, or of tokens at once, must be to be taken: runs differ by less."""
_BATCHES = (256, 512, 1024)
_GPU_BATCHES = (*_BATCHES, 2048)
_ITEM_TOKENS = 64
_MOST_TRIED = 8
"""Up to so many CPUs every number of threads is tried; of more, the powers of two, half of them and all."""
_CONTEXT_TOKENS = 4096

__all__ = ["FORMATS", "Say", "Show", "Written", "ask", "best_batch", "best_threads", "time_format", "written"]

Say = Callable[[str], None]
Show = Callable[[str, int, int, str], None]
"""Called with (title, done, of how many, a note)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A model's file in one format."""

    format: str
    path: Path
    template: str | None = None
    """Chat template for a file that has none: a built-in's name, or a text."""


def written(
    shipped: ResolvedModel,
    formats: Iterable[str],
    name: Callable[[str], Path],
    say: Say,
    *,
    template: str | None = None,
) -> Iterator[Written]:
    """Yield the shipped file, then the model in each format, each written when it is asked for; raises ModelError.

    ModelError or ConfigError where `template` and the file do not make one chat template.
    """
    refuse_template(shipped.path.name, template, has_own=shipped.header.has_chat_template)
    yield Written(format=SHIPPED, path=shipped.path, template=template)
    for to in formats:
        path = name(to)
        say(f"{to}: writing {path.name}")
        repack(shipped.path, path, to=to, threads=granted_cpus())
        yield Written(format=to, path=path, template=template)


def time_format(one: Written, say: Say) -> FormatSpeed:
    """Measure how fast a format is, with all CPUs."""
    with closing(engine_over(one)) as engine:
        speed = FormatSpeed(
            format=one.format,
            size_bytes=one.path.stat().st_size,
            read_tokens_per_s=round(engine.read_tokens_per_s(), 1),
            write_tokens_per_s=round(engine.write_tokens_per_s(), 1),
        )
    say(f"{one.format}: reads {speed.read_tokens_per_s:,.0f} tokens/s, writes {speed.write_tokens_per_s:,.0f}")
    return speed


def ask(one: Written, sample: Sample, show: Show) -> Answers:
    """Put a sample to a file."""
    with closing(engine_over(one)) as engine:
        return ask_sample(engine, sample, lambda done, of: show(f"{one.format}: answering {sample.name}", done, of, ""))


def best_threads(one: Written, say: Say) -> tuple[int, list[ThreadSpeed]]:
    """Measure numbers of threads up to the CPUs that are granted; returns the best for reading, and all that was seen.

    All CPUs, unless fewer are clearly faster: two threads of one core can be in each other's way.
    """
    granted = granted_cpus()
    speeds: list[ThreadSpeed] = []
    with closing(engine_over(one)) as engine:
        for threads in threads_to_try(granted):
            engine.use_threads(threads)
            speed = ThreadSpeed(
                threads=threads,
                read_tokens_per_s=round(engine.read_tokens_per_s(), 1),
                write_tokens_per_s=round(engine.write_tokens_per_s(), 1),
            )
            say(f"{threads} threads: reads {speed.read_tokens_per_s:,.0f} tokens/s")
            speeds.append(speed)
    best = best_of({speed.threads: speed.read_tokens_per_s for speed in speeds}, usual=granted)
    return best, speeds


def best_batch(one: Written, threads: int, say: Say) -> tuple[int, list[BatchSpeed]]:
    """Measure how many tokens are best read at once; returns that number, and all that was seen."""
    speeds: list[BatchSpeed] = []
    batches = batches_to_try(has_gpu=has_gpu_support())
    items = max(batches) // _ITEM_TOKENS  # so many fill the largest
    for batch_tokens in batches:
        with closing(engine_over(one, threads=threads, batch_tokens=batch_tokens)) as engine:
            rate = round(engine.read_tokens_per_s(sequences=items, each=_ITEM_TOKENS), 1)
        say(f"{batch_tokens} tokens at once: reads {rate:,.0f} tokens/s")
        speeds.append(BatchSpeed(batch_tokens=batch_tokens, read_tokens_per_s=rate))
    best = best_of({speed.batch_tokens: speed.read_tokens_per_s for speed in speeds}, usual=BATCH_TOKENS)
    return best, speeds


def batches_to_try(*, has_gpu: bool) -> tuple[int, ...]:
    """Return numbers of tokens read at once; on a GPU, which many of them fill better, more."""
    return _GPU_BATCHES if has_gpu else _BATCHES


def best_of(rates: dict[int, float], *, usual: int) -> int:
    """Return the number with the highest rate; the usual one unless another is clearly faster."""
    fastest = max(rates, key=rates.__getitem__)
    return fastest if rates[fastest] > LEAST_GAIN * rates[usual] else usual


def threads_to_try(granted: int) -> list[int]:
    """Return numbers of threads, fewest first, all CPUs among them."""
    if granted <= _MOST_TRIED:
        return list(range(1, granted + 1))
    powers = {1 << power for power in range(granted.bit_length())}
    return sorted(powers | {granted // 2, granted})


def engine_over(
    one: Written, *, threads: int | None = None, batch_tokens: int = BATCH_TOKENS, hidden_states: bool = False
) -> LlamaEngine:
    """Load a file as a tier that says nothing of the machine would; with `hidden_states` asks may want them."""
    read_header(one.path)  # what llama.cpp is to load goes through our own reader first
    return LlamaEngine(
        one.path,
        model_name=one.path.stem,
        context_tokens=_CONTEXT_TOKENS,
        max_text_tokens=512,
        max_answer_tokens=64,
        gpu_layers=None,
        threads=threads or granted_cpus(),
        batch_tokens=batch_tokens,
        chat_template=one.template,
        hidden_states=hidden_states,
    )
