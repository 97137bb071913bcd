"""The llama engine on a GPU beside the same engine on this machine's CPUs: speed, accuracy, and how answers agree.

    python tests/bench/gpu.py DATA [--model NAME_OR_PATH ...] [--items 872] [--cpu-items 872] [--batch-tokens N]

Needs a llama-cpp-python that was built for a GPU (`CMAKE_ARGS="-DGGML_CUDA=on" make setup`); DATA is a folder with
`sst2/dev.jsonl` and `hwu64/dev.jsonl`. Each model is loaded twice, with all layers and with none on the GPU, and asked
the same items: medians of three on the GPU, one run on the CPUs. Memory is what llama.cpp says is free, before and
after loading and answering, beside what `doctor` would have reckoned.
"""

import json
import logging
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import click
import platformdirs
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.llama.devices import free_gpu_bytes, has_gpu_support
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.models import ModelStore
from pipeline.domain.outcomes import Given
from pipeline.domain.tiers import Tier
from pipeline.ports.engine import Ask
from pipeline.settings import load_settings
from pipeline.wiring.engines import model_for, need_of
from tests.bench.engine_runs import by_engine, engine_of, fully
from tests.bench.engine_tasks import Task, choice, tickets

REPEATS = 3


def certainties(engine: LlamaEngine, task: Task) -> list[dict[str, float]]:
    """Return the probability of every label, by item, of the task's first step."""
    question = fully(task.questions[0])
    given: list[Given | None] = list(engine.answer([Ask(question=question, text=text) for text in task.texts]).given)
    return [{} if one is None or not one.shares else dict(one.shares) for one in given]


def changes(one: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, float]:
    """Compare the winner's probability on both sides, and how many winners differ."""
    moved, differ = [], 0
    for left, right in zip(one, other, strict=True):
        winner = max(left, key=left.__getitem__)
        moved.append(abs(left[winner] - right[winner]))
        differ += max(right, key=right.__getitem__) != winner
    return {
        "median_change": round(statistics.median(moved), 4),
        "largest_change": round(max(moved), 4),
        "labels_changed": round(differ / len(moved), 4),
    }


def timed(engine: LlamaEngine, task: Task, repeats: int) -> dict[str, Any]:
    seconds: list[float] = []
    tokens = 0
    answers: dict[str, list[Any]] = {}
    for _ in range(repeats):
        answers, took, tokens = by_engine(engine, task)
        seconds.append(took)
    middle = statistics.median(seconds)
    return {
        "items_per_s": round(len(task.texts) / middle, 1),
        "read_tokens_per_s": round(tokens / middle),
        "accuracy": {step.name: round(task.accuracy(step, answers[step.name]), 4) for step in task.steps},
    }


def first(task: Task, limit: int) -> Task:
    return Task(name=task.name, texts=task.texts[:limit], steps=task.steps, gold=task.gold[:limit])


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, default=["qwen2.5-coder-0.5b-instruct"], show_default=True)
@click.option("--items", default=872, show_default=True)
@click.option("--cpu-items", default=872, show_default=True, help="Of these, how many the CPUs are asked.")
@click.option("--batch-tokens", type=int, help="Tokens computed at once [default: the engine's own].")
@click.option("--speed-only", is_flag=True, help="Do not compare answers.")
@click.option("--json", "as_json", is_flag=True)
def main(
    data: Path,
    models: tuple[str, ...],
    items: int,
    cpu_items: int,
    *,
    batch_tokens: int | None,
    speed_only: bool,
    as_json: bool,
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    if not has_gpu_support():
        sys.exit("this llama.cpp was not built for a GPU: CMAKE_ARGS='-DGGML_CUDA=on' make setup")
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    store = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models"))
    tasks = [
        choice(data, "sst2", "label", "Is this sentence of a film review positive or negative?", items),
        choice(data, "hwu64", "domain", "Which domain does this request to a home assistant belong to?", items),
        tickets(steps=("category", "details", "mood")),
    ]
    for name in models:
        path = store.path(name).path
        free_before = free_gpu_bytes() or 0
        gpu = engine_of(path, granted_cpus(), gpu_layers=None, batch_tokens=batch_tokens)
        cpu = engine_of(path, granted_cpus())
        tier = Tier.model_validate({"name": "small", "engine": "llama", "model": name})
        need = need_of(tier, model_for(tier, load_settings()), has_gpu=True)
        for task in tasks:
            by_engine(gpu, first(task, 64))
            found = {"gpu": timed(gpu, task, REPEATS)}
            some = first(task, cpu_items)
            if cpu_items:
                by_engine(cpu, first(task, 8))
                found["cpu"] = timed(cpu, some, 1)
                if len(task.steps) == 1 and not speed_only:
                    found["agreement"] = changes(certainties(cpu, some), certainties(gpu, some))
            line = {"model": path.name, "set": task.name, "items": len(task.texts), "cpus": granted_cpus(), **found}
            print(json.dumps(line) if as_json else line, flush=True)
        used = free_before - (free_gpu_bytes() or 0)
        memory = {
            "model": path.name,
            "gpu_mb": used >> 20,
            "reckoned_mb": None if need is None else need.gpu_bytes >> 20,
        }
        print(json.dumps(memory) if as_json else memory, flush=True)
        gpu.close()
        cpu.close()


if __name__ == "__main__":
    main()
