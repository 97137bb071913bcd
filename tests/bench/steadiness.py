"""How much an answer moves with what else is in the batch: every item alone, and all in shuffled batches.

    python tests/bench/steadiness.py DATA [--model NAME_OR_PATH ...] [--items 100] [--json]

DATA is a folder with `sst2/dev.jsonl` and `hwu64/dev.jsonl`. Prints, for each file and set, the median and the largest
change of the winner's probability, and how many labels changed, with the largest margin that one of these had.
"""

import json
import logging
import os
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import click
import platformdirs
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.models import ModelStore
from pipeline.domain.steps import Choice
from pipeline.ports.engine import Ask
from tests.bench.engine_runs import engine_of, fully
from tests.bench.engine_tasks import Task, choice

SHUFFLES = 2


def shares(engine: LlamaEngine, task: Task, order: list[int]) -> dict[int, dict[str, float]]:
    """Ask items in an order, all at once; returns the probability of every label by item."""
    question = fully(task.questions[0])
    assert isinstance(question.form, Choice)
    given = engine.answer([Ask(question=question, text=task.texts[number]) for number in order]).given
    return {
        number: dict(one.shares) for number, one in zip(order, given, strict=True) if one is not None and one.shares
    }


def steadiness(engine: LlamaEngine, task: Task) -> dict[str, Any]:
    chance = random.Random(1)
    numbers = list(range(len(task.texts)))
    alone = {number: shares(engine, task, [number])[number] for number in numbers}
    changes: list[float] = []
    margins: list[float] = []
    for _ in range(SHUFFLES):
        order = chance.sample(numbers, len(numbers))
        for number, found in shares(engine, task, order).items():
            before = alone[number]
            winner = max(before, key=before.__getitem__)
            changes.append(abs(found[winner] - before[winner]))
            now = max(found, key=found.__getitem__)
            if now != winner:
                margins.append(before[winner] - before[now])
    return {
        "set": task.name,
        "items": len(numbers),
        "median_change": round(statistics.median(changes), 4),
        "largest_change": round(max(changes), 4),
        "labels_changed": round(len(margins) / len(changes), 4),
        "largest_margin_of_these": round(max(margins, default=0.0), 4),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, default=["qwen2.5-coder-0.5b-instruct"], show_default=True)
@click.option("--items", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, models: tuple[str, ...], items: int, *, as_json: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    store = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models"))
    tasks = [
        choice(data, "sst2", "label", "Is this sentence of a film review positive or negative?", items),
        choice(data, "hwu64", "domain", "Which domain does this request to a home assistant belong to?", items),
    ]
    lines = []
    for model in models:
        engine = engine_of(store.path(model).path, granted_cpus())
        for task in tasks:
            lines.append({"model": Path(model).name, **steadiness(engine, task)})
            if not as_json:
                print("  ".join(f"{what}={value}" for what, value in lines[-1].items()), flush=True)
        engine.close()
    if as_json:
        print(json.dumps(lines))


if __name__ == "__main__":
    main()
