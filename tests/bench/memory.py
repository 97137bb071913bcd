"""What memory the engine takes, and whether it stays flat: RSS after loading and along many items.

    python tests/bench/memory.py DATA [--model NAME_OR_PATH] [--items 20000] [--threads 1] [--json]

DATA is a folder with `sst2/train.jsonl`; its texts are asked again and again, each time in another order and with
another ending, so that none is a copy of one asked before.
"""

import json
import logging
import os
import random
import sys
import time
from pathlib import Path

import click
import platformdirs
import psutil
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.cpu import granted_cpus
from pipeline.adapters.models import ModelStore
from pipeline.domain.steps import ClassifyStep
from pipeline.ports.engine import Ask
from pipeline.prompts import question_of
from tests.bench.engine_runs import engine_of

CHUNK = 256
MB = 1e6


def rss_mb() -> float:
    return psutil.Process().memory_info().rss / MB


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--items", default=20_000, show_default=True)
@click.option("--threads", type=int, default=granted_cpus, help="llama.cpp's; as many as there are cores by default.")
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, model: str, items: int, threads: int, *, as_json: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    path = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models")).path(model).path
    with (data / "sst2" / "train.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    asked = "Is this sentence of a film review positive or negative?"
    question = question_of(
        ClassifyStep(name="label", kind="classify", question=asked, labels=dict.fromkeys(["positive", "negative"], ""))
    )
    chance = random.Random(1)
    before = rss_mb()
    engine = engine_of(path, threads)
    seen = [("loaded", 0, rss_mb())]
    started = time.perf_counter()
    for first in range(0, items, CHUNK):
        count = min(CHUNK, items - first)
        asks = [Ask(question=question, text=f"{chance.choice(texts)} {chance.random():.6f}") for _ in range(count)]
        engine.answer(asks)
        if first // CHUNK % max(1, items // CHUNK // 10) == 0:
            seen.append(("items", first + count, rss_mb()))
            print(f"{first + count:>8} items  {seen[-1][2]:8.0f} MB", file=sys.stderr if as_json else None, flush=True)
    found = {
        "model": path.name,
        "file_mb": round(path.stat().st_size / MB),
        "before_mb": round(before),
        "loaded_mb": round(seen[0][2]),
        "after_first_chunk_mb": round(seen[1][2]),
        "at_end_mb": round(rss_mb()),
        "items": items,
        "items_per_s": round(items / (time.perf_counter() - started), 1),
    }
    print(json.dumps(found) if as_json else "  ".join(f"{what}={value}" for what, value in found.items()))
    engine.close()


if __name__ == "__main__":
    main()
