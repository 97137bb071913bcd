"""The llama engine beside its peers on the same GGUF and the same items: items/s, accuracy, and how they agree.

    python tests/bench/engine.py DATA --server LLAMA_SERVER [--model NAME] [--tuned PATH] [--only TASK] [--rounds 3]
        [--plot FILE.svg] [--json FILE]

DATA is a folder with `sst2`, `hwu64`, `banking77`, `clinc150_oos` and `multidogo`, each with `dev.jsonl`; the sample
tickets come with Headrace. LLAMA_SERVER is a `llama-server` binary; without it that peer is left out, as is `decidr`
where it is not installed. Engine and server take turns within each round; figures are medians over the rounds. One by
one is timed once, on fewer items; decidr once, at the server's best number of slots.
"""

import json
import logging
import os
import statistics
import sys
import tempfile
from pathlib import Path

import click
import platformdirs
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.machine import processor_name
from pipeline.adapters.models import ModelStore
from tests.bench.engine_plot import Point, write_plot
from tests.bench.engine_runs import Bench, Table, fewer, latency
from tests.bench.engine_tasks import Task, choice, entities, tickets


def tasks_of(data: Path, scale: float) -> dict[str, Task]:
    def some(count: int) -> int:
        return max(8, round(count * scale))

    film = "Is this sentence of a film review positive or negative?"
    home = "Which domain does this request to a home assistant belong to?"
    found = [
        choice(data, "sst2", "label", film, some(256)),
        choice(data, "hwu64", "domain", home, some(256)),
        choice(data, "banking77", "label", "Which intent does this message to a bank have?", some(96)),
        choice(data, "clinc150_oos", "label", "Which intent does this request have?", some(96)),
        entities(data, "multidogo", some(96)),
        fewer(tickets(steps=["details"]), some(118)),
        fewer(tickets(steps=["category", "details", "mood"]), some(118)),
    ]
    return {task.name: task for task in found}


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--server", "binary", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--tuned", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Default: as tuned here.")
@click.option("--only", multiple=True, help="Tasks whose name begins so; default: all.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--scale", default=1.0, show_default=True, help="Share of the items.")
@click.option("--one-by-one", default=12, show_default=True, help="Items asked one by one; 0: none.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path,
    binary: Path | None,
    model: str,
    tuned: Path | None,
    only: tuple[str, ...],
    rounds: int,
    scale: float,
    one_by_one: int,
    plot: Path | None,
    json_file: Path | None,
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    store = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models"))
    shipped = store.path(model).path
    tuned = tuned or store.best(model, machine=processor_name()).path
    files = {"shipped": shipped} | ({"tuned": tuned} if tuned != shipped else {})
    threads = granted_cpus()
    print(f"{processor_name()}, {threads} threads, {model}: " + ", ".join(f"{k} {v.name}" for k, v in files.items()))
    table = Table()
    tasks = tasks_of(data, scale)
    with tempfile.TemporaryDirectory() as folder:
        for name, task in tasks.items():
            if only and not any(name.startswith(one) for one in only):
                continue
            for file, path in files.items():
                Bench(
                    file=file,
                    path=path,
                    binary=binary,
                    threads=threads,
                    rounds=rounds,
                    one_by_one=one_by_one if file == "shipped" else 0,
                    folder=Path(folder),
                    table=table,
                ).measure(task)
        best = files.get("tuned", shipped)
        alone = latency(best, tasks["sst2"], binary=binary, threads=threads, folder=Path(folder))
    print("one item alone, two steps, ms: " + ", ".join(f"{who} {ms}" for who, ms in alone.items()))
    if plot is not None:
        write_plot(
            plot,
            [
                Point(
                    group=line["task"],
                    name=line["who"],
                    x=line["items_per_s"],
                    y=statistics.fmean(line["accuracy"].values()),
                )
                for line in table.lines
            ],
        )
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": processor_name(), "lines": table.lines, "latency_ms": alone}, indent=1) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
