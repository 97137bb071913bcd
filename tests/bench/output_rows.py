"""What it saves to make only the logits that are looked at, not a whole vocabulary's: the same engine with and without.

    python tests/bench/output_rows.py DATA [--only NAME ...] [--model NAME ...] [--rounds 6] [--scale 1.0] [--json FILE]

DATA is a folder with NAME/dev.jsonl; `multidogo` is three fields copied from turns of chats. In one process the same
texts are answered turn by turn, once each way, in the order ABBA; shown are the medians of each way, the median of the
ratios of neighbours, and how answers compare.
"""

import json
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.machine import processor_name
from pipeline.domain.outcomes import Given
from pipeline.domain.tiers import Tier
from pipeline.ports.engine import Ask
from pipeline.settings import load_settings
from pipeline.wiring.engines import llama_engine, model_for
from tests.bench.engine_tasks import choice, entities

TASKS = {"sst2": ("label", 96), "hwu64": ("domain", 128), "banking77": ("label", 48), "multidogo": ("", 58)}
MODELS = ("qwen2.5-coder-0.5b-instruct", "gemma-3-270m")
_PLAIN = {"gemma-3-270m"}
"""Base models, whose files have no template."""


def scores(given: Given) -> dict[str, float]:
    """Return how probable an answer is, or each field of a record."""
    by_field = {name: score.value for name, score in given.field_scores.items()}
    return by_field if given.raw_score is None else {"": given.raw_score.value}


def answered(engine: LlamaEngine, asks: list[Ask], *, listed: bool) -> tuple[float, list[Given]]:
    """Return the seconds that all asks took, and their answers."""
    context = engine._context
    assert context is not None
    rows = context.output
    assert rows is not None, "this model's logits are not made from rows"
    if not listed:
        context.output = None
    started = time.perf_counter()
    given = engine.answer(asks).given
    seconds = time.perf_counter() - started
    context.output = rows
    return seconds, [one for one in given if one is not None]


def measured(engine: LlamaEngine, data: Path, name: str, rounds: int, scale: float) -> dict[str, Any]:
    """Answer a set's texts turn by turn."""
    key, count = TASKS[name]
    limit = max(8, round(count * scale))
    task = choice(data, name, key, "", limit) if key else entities(data, name, limit)
    (question,) = task.questions
    asks = [Ask(question=question, text=text) for text in task.texts]
    answered(engine, asks[:8], listed=True)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    given: dict[bool, list[Given]] = {}
    for number in range(rounds):
        for listed in (True, False) if number % 2 else (False, True):
            taken, given[listed] = answered(engine, asks, listed=listed)
            seconds[listed].append(taken)
    pairs = list(zip(given[True], given[False], strict=True))
    moved = [
        abs(score - others[what])
        for one, other in pairs
        if one.answer == other.answer
        for others in [scores(other)]
        for what, score in scores(one).items()
    ]
    ratios = [whole / listed for listed, whole in zip(seconds[True], seconds[False], strict=True)]
    return {
        "set": name,
        "items": len(asks),
        "items/s": round(len(asks) / statistics.median(seconds[True]), 2),
        "items/s, whole": round(len(asks) / statistics.median(seconds[False]), 2),
        "times as fast": round(statistics.median(ratios), 3),
        "same answers": round(sum(one.answer == other.answer for one, other in pairs) / len(pairs), 3),
        "moved, median": round(statistics.median(moved), 4),
        "moved, most": round(max(moved), 4),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=tuple(TASKS))
@click.option("--model", "models", multiple=True, default=MODELS)
@click.option("--rounds", default=6, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Texts, as a part of the usual number.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path, only: tuple[str, ...], models: tuple[str, ...], rounds: int, scale: float, json_file: Path | None
) -> None:
    settings = load_settings()
    print(processor_name())
    lines = []
    for model in models:
        template = {"chat_template": "plain"} if model in _PLAIN else {}
        tier = Tier.model_validate({"name": "bench", "engine": "llama", "model": model, **template})
        found = model_for(tier, settings)
        with closing(llama_engine(tier, found)) as engine:
            assert isinstance(engine, LlamaEngine)
            for name in only:
                lines.append({"model": found.path.name, **measured(engine, data, name, rounds, scale)})
                print("  ".join(f"{what}={value}" for what, value in lines[-1].items()), flush=True)
    if json_file is not None:
        json_file.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
