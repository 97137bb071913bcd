"""Whether the order of labels matters: as listed, reversed, several averaged; and what `reproducible` costs.

    python tests/bench/orders.py DATA [--model NAME] [--items 200] [--orders 4] [--only NAME ...]

DATA is a folder with `NAME/dev.jsonl`. For each set: accuracy as listed, reversed, and averaged over `--orders`; how
many answers the reversal changes; items/s of each. The last line asks sst2 again with every text read by itself.
"""

import logging
import os
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path

import click
import platformdirs
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelStore
from pipeline.asking import asked_apart
from pipeline.domain.steps import ClassifyStep
from pipeline.flow.samples import answer_step, is_right, plain
from tests.bench.engine_runs import engine_of
from tests.bench.engine_tasks import rows_of

SETS = {
    "sst2": ("label", "Is this sentence of a film review positive or negative?"),
    "senti4sd": ("label", "What is the mood of this post by a software developer?"),
    "hwu64": ("domain", "Which domain does this request to a home assistant belong to?"),
    "frugalgpt_headlines": ("label", "What does this headline say of the price of gold?"),
}


def step_of(asked: str, labels: list[str], orders: int) -> ClassifyStep:
    return ClassifyStep(name="label", kind="classify", question=asked, labels=dict.fromkeys(labels, ""), orders=orders)


def measured(
    engine: LlamaEngine, step: ClassifyStep, texts: list[str], gold: list[str]
) -> tuple[float, float, list[object]]:
    asking = asked_apart(step)
    answer_step(engine, asking, texts[:8])
    started = time.perf_counter()
    given = answer_step(engine, asking, texts)
    seconds = time.perf_counter() - started
    return statistics.fmean(map(is_right, given, gold)), len(texts) / seconds, list(map(plain, given))


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--items", default=200, show_default=True)
@click.option("--orders", default=4, show_default=True)
@click.option("--only", multiple=True, default=tuple(SETS))
def main(data: Path, model: str, items: int, orders: int, only: tuple[str, ...]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    store = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models"))
    path = store.best(model, machine=processor_name()).path
    print(f"{processor_name()}, {path.name}")
    with closing(engine_of(path, granted_cpus())) as engine:
        for name in only:
            key, asked = SETS[name]
            labels = sorted({row[key] for row in rows_of(data, name, 1 << 30)})
            rows = rows_of(data, name, items)
            texts, gold = [row["text"] for row in rows], [row[key] for row in rows]
            ways = {
                "as listed": step_of(asked, labels, 1),
                "reversed": step_of(asked, labels[::-1], 1),
                f"{orders} orders": step_of(asked, labels, min(orders, len(labels))),
            }
            found = {way: measured(engine, step, texts, gold) for way, step in ways.items()}
            moved = statistics.fmean(a != b for a, b in zip(found["as listed"][2], found["reversed"][2], strict=True))
            print(
                f"{name:20} {len(texts)} items  "
                + "  ".join(f"{way} {right:.3f} ({rate:.1f}/s)" for way, (right, rate, _) in found.items())
                + f"  reversal changes {moved:.1%}",
                flush=True,
            )
    with closing(engine_of(path, granted_cpus(), reproducible=True)) as engine:
        key, asked = SETS["sst2"]
        rows = rows_of(data, "sst2", items // 2)
        labels = sorted({row[key] for row in rows})
        right, rate, _ = measured(
            engine, step_of(asked, labels, 1), [row["text"] for row in rows], [row[key] for row in rows]
        )
        print(f"sst2, reproducible: {right:.3f} ({rate:.1f}/s)")


if __name__ == "__main__":
    main()
