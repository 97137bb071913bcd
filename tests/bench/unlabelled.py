"""What `learn --unlabelled` makes of models: right before and after, on real data whose labels it never saw.

    python tests/bench/unlabelled.py DATA [--only NAME ...] [--model NAME ...] [--template plain] [--learned 200]
        [--asked 300] [--json FILE]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl. Each model reads `--learned` rows of train, without their
labels, and answers rows of dev. Beside what the product takes away (half of what a label is given on the average) all
of it is shown, which is batch calibration as published.
"""

import dataclasses
import functools
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.learned.balance import Balance
from pipeline.adapters.learned.engine import ask_for_shares
from pipeline.adapters.machine import processor_name
from pipeline.asking import askings
from pipeline.domain.curves import Floats
from pipeline.ports.engine import Ask, Engine
from pipeline.prompts import Question
from pipeline.settings import load_settings
from pipeline.wiring.engines import llama_engine, model_for
from tests.bench.engine_tasks import rows_of
from tests.bench.learning import SETS, job_of

_SLICE = 64
MODELS = ("smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct")
_SHOWN = ("sst2", "senti4sd", "hwu64", "frugalgpt_headlines")


def shares_of(engine: Engine, question: Question, texts: list[str], options: list[str]) -> Floats:
    """Return the model's own chances (texts, options)."""
    found = []
    for at in range(0, len(texts), _SLICE):
        asks = [
            ask_for_shares(Ask(question=question, text=text, on_long="truncate")) for text in texts[at : at + _SLICE]
        ]
        given = engine.answer(asks).given
        found += [[one.shares[option] for option in options] for one in given if one is not None and one.shares]
    return np.array(found)


def measured(data: Path, name: str, model: str, template: str | None, learned: int, asked: int) -> dict[str, Any]:
    """Answer rows of dev before and after."""
    key, asking = SETS[name]
    train, dev = rows_of(data, name, 1 << 30, part="train"), rows_of(data, name, 1 << 30)
    options = sorted({row[key] for row in [*train, *dev]})
    chance = np.random.default_rng(11)
    some = [train[n]["text"] for n in chance.permutation(len(train))[:learned]]
    rows = [dev[n] for n in chance.permutation(len(dev))[:asked]]
    job = job_of(asking, options, model, model, template)
    (question,) = askings(job, 1)[0].questions
    with closing(llama_engine(job.tiers[1], model_for(job.tiers[1], load_settings()))) as engine:
        shares = functools.partial(shares_of, engine, question, options=options)
        balance, own = Balance.fit(shares(some)), shares([row["text"] for row in rows])
    gold = np.array([options.index(row[key]) for row in rows])
    whole = dataclasses.replace(balance, shift=2 * balance.shift)
    ways = {"before": own, "half": balance(own), "all": whole(own)}
    right = {way: float((found.argmax(axis=1) == gold).mean()) for way, found in ways.items()}
    return {"set": name, "model": model, **right}


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=_SHOWN)
@click.option("--model", "models", multiple=True, default=MODELS)
@click.option("--template", help="Chat template of base models without one: plain.")
@click.option("--learned", default=200, show_default=True)
@click.option("--asked", default=300, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path,
    only: tuple[str, ...],
    models: tuple[str, ...],
    template: str | None,
    learned: int,
    asked: int,
    json_file: Path | None,
) -> None:
    print(processor_name())
    lines = []
    for model in models:
        for name in only:
            lines.append(measured(data, name, model, template, learned, asked))
            print("  ".join(str(round(v, 3) if isinstance(v, float) else v) for v in lines[-1].values()), flush=True)
    if json_file is not None:
        json_file.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
