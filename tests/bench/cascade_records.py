"""Certified thresholds for records on real data: how sure a small model is of what it extracts, and what that spares.

    python tests/bench/cascade_records.py DATA [--model NAME_OR_PATH] [--items 900] [--splits 20] [--draws 10] [--json]

DATA is a folder with multidogo/train.jsonl and multidogo/dev.jsonl: turns of chats, with at most one value of each of
three types; a record is right when all fields are. The model answers once. Each split learns how sure to be from
4 in 9 of the turns, as `headrace learn` does, and takes the others as the run, whose gold answers are the reference;
each draw certifies anew. `by its own word`: the model's own probability in place of what was learned.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import platformdirs
import structlog
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.models import ModelStore
from pipeline.asking import asked_apart
from pipeline.domain.calibration import excess_calibration_error
from pipeline.domain.curves import Floats, choose_curve
from pipeline.domain.learned import said_signals
from pipeline.domain.outcomes import Given
from pipeline.flow.samples import answer_step, plain
from tests.bench.cascade import TARGETS, certified, hindsight, show, summary
from tests.bench.engine_runs import engine_of
from tests.bench.engine_tasks import Task, entities

LEARNED = 4 / 9


def _right(task: Task, number: int, given: Given) -> bool:
    one = Task(name=task.name, texts=[task.texts[number]], steps=task.steps, gold=[task.gold[number]])
    return one.accuracy(task.steps[0], [plain(given)]) == 1.0


def cells(signals: Floats, own: Floats, right: NDArray[np.bool_], splits: int, draws: int) -> list[dict[str, Any]]:
    known = round(LEARNED * len(right))
    lines, excess = [], []
    orders = [np.random.default_rng(1000 + number).permutation(len(right)) for number in range(splits)]
    curves = [choose_curve(signals[order[:known]], right[order[:known]]).curve for order in orders]
    for target in TARGETS:
        chance = np.random.default_rng(7)
        found: dict[str, list[tuple[float, bool]]] = {"learned": [], "by its own word": [], "hindsight": []}
        for order, curve in zip(orders, curves, strict=True):
            run = order[known:]
            confidence, wrong = curve(signals[run]), ~right[run]
            found["learned"] += certified(confidence[:, None], wrong[:, None], target, draws, chance)
            found["by its own word"] += certified(own[run][:, None], wrong[:, None], target, draws, chance)
            found["hindsight"].append((hindsight(confidence, wrong, target), False))
            excess.append(excess_calibration_error(confidence.tolist(), right[run].tolist(), np.random.default_rng(5)))
        lines.append({"set": "multidogo", "target": target, **{way: summary(values) for way, values in found.items()}})
    beyond_chance = np.mean([one or 0.0 for one in excess])
    print(f"calibration error beyond chance, mean over splits: {beyond_chance:+.4f}", file=sys.stderr)
    return lines


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--items", default=900, show_default=True)
@click.option("--splits", default=20, show_default=True)
@click.option("--draws", default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, model: str, items: int, splits: int, draws: int, *, as_json: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    path = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models")).path(model).path
    task = entities(data, "multidogo", items, part="train", empty=True)
    engine = engine_of(path, granted_cpus())
    started = time.monotonic()
    given = answer_step(engine, asked_apart(task.steps[0]), list(task.texts))
    engine.close()
    right = np.array([_right(task, number, one) for number, one in enumerate(given)])
    own = np.array([1e-6 if one.raw_score is None else one.raw_score.value for one in given])
    print(f"{len(right):,} records in {time.monotonic() - started:.0f} s, {right.mean():.3f} right", file=sys.stderr)
    lines = cells(said_signals(given), own, right, splits, draws)
    if as_json:
        print(json.dumps(lines))
        return
    for line in lines:
        show(line)


if __name__ == "__main__":
    main()
