"""What labels make of small models: words, heads and ladders beside the large model alone, on real data.

    python tests/bench/learning.py DATA [--only NAME ...] [--labels 400] [--asked 300] [--small NAME] [--large NAME]
        [--encoder NAME] [--json FILE]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl. For each set the words tier and the head of the small model
learn from the same rows of train, by the product's own `learn`; all tiers answer rows of dev that nobody learned from,
by its own `eval`. Then every ladder is tried by `plan`: shown is the cheapest that is at least as right as the large
model alone, and what it costs beside that (wall time of each tier's calls).
"""

import functools
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.machine import processor_name
from pipeline.asking import asked_apart
from pipeline.domain.items import Item
from pipeline.domain.job import Job
from pipeline.domain.learned import Figures
from pipeline.flow.evaluate import StepAnswers
from pipeline.flow.evaluation import evaluate_step
from pipeline.flow.plan import Ladder, plan_step
from pipeline.flow.samples import Sample, SampleStep
from pipeline.settings import Settings, load_settings
from pipeline.wiring import lessons
from pipeline.wiring.evaluating import Labelled, ask_all
from pipeline.wiring.learning import learn
from pipeline.wiring.parts import price_book_for, system_clock
from tests.bench.engine_tasks import rows_of

SETS = {
    "sst2": ("label", "Is this sentence of a film review positive or negative?"),
    "senti4sd": ("label", "What is the mood of this post by a software developer?"),
    "hwu64": ("domain", "Which domain does this request to a home assistant belong to?"),
    "frugalgpt_headlines": ("label", "What does this headline say of the price of gold?"),
    "cfpb_llm_predictions": ("label", "Which product is this complaint about?"),
}


def job_of(
    asked: str, labels: list[str], small: str, large: str, template: str | None = None, encoder: str | None = None
) -> Job:
    how = {} if template is None else {"chat_template": template}
    return Job.model_validate(
        {
            "name": "bench",
            "steps": [{"name": "label", "kind": "classify", "question": asked, "labels": labels}],
            "tiers": [
                {
                    "name": "words",
                    "engine": "classical",
                    "model": "bench-words",
                    "encoder": encoder,
                    "price": "local-2-core",
                },
                {
                    "name": "small",
                    "engine": "llama",
                    "model": small,
                    "learned": "bench-small",
                    "price": "local-2-core",
                    **how,
                },
                {"name": "large", "engine": "llama", "model": large, "price": "local-2-core", "on_long": "truncate"},
            ],
        }
    )


def taught(job: Job, rows: list[dict[str, Any]], key: str, settings: Settings) -> dict[str, Figures]:
    texts, gold = [row["text"] for row in rows], [row[key] for row in rows]
    step = SampleStep(name="label", asking=asked_apart(job.steps[0]), texts=texts, gold=gold)
    sample = Sample(name="bench", steps=[step])
    told = {}
    for one in learn(
        job,
        [n for n, tier in enumerate(job.tiers) if tier.lesson is not None],
        sample,
        settings,
        most_asked=len(rows),
        say=_quiet,
        show=lambda *_: None,
    ):
        figures = one.steps[0].figures
        if figures is not None:
            told[one.tier] = figures
    return told


def _quiet(_: str) -> None:
    """Say nothing."""


def answered(job: Job, rows: list[dict[str, Any]], key: str, settings: Settings) -> StepAnswers:
    items = [Item(key=str(n), source="dev", line=n, text=row["text"]) for n, row in enumerate(rows)]
    labelled = {0: Labelled(items=items, gold=[row[key] for row in rows], groups=["all"] * len(rows))}
    asked = ask_all(
        job, labelled, price_book_for(settings), settings, clock=system_clock(), say=_quiet, show=lambda *_: None
    )
    return asked.steps[0]


def measured(
    data: Path, name: str, settings: Settings, labels: int, asked: int, job_for: Callable[[str, list[str]], Job]
) -> dict[str, Any]:
    key, question = SETS[name]
    train, dev = rows_of(data, name, 1 << 30, part="train"), rows_of(data, name, 1 << 30)
    options = sorted({row[key] for row in [*train, *dev]})
    chance = np.random.default_rng(7)
    some = [train[n] for n in chance.permutation(len(train))[:labels]]
    job = job_for(question, options)
    with tempfile.TemporaryDirectory() as folder:
        lessons.FOLDER = folder  # an absolute folder stands for itself
        learned = taught(job, some, key, settings)
        bound = lessons.with_lessons(job, settings)
        step = answered(bound, [dev[n] for n in chance.permutation(len(dev))[:asked]], key, settings)
    found = evaluate_step(step, kind="classify", target=None)
    ways = {way.name: way for way in found.ways}
    best = best_ladder(step)
    return {
        "set": name,
        "labels": len(some),
        "asked": len(step.gold),
        "small before": learned["small"].before,
        **{f"{tier} right": ways[tier].accuracy for tier in ("words", "small", "large")},
        **{f"{tier} ECE excess": ways[tier].ece_excess for tier in ("words", "small", "large")},
        **{f"{tier} ms": ways[tier].seconds_per_item * 1e3 for tier in ("words", "small", "large")},
        "ladder": " → ".join(best.tiers),
        "ladder right": best.accuracy,
        "ladder cost": best.seconds_per_item / ways["large"].seconds_per_item,
    }


def best_ladder(step: StepAnswers) -> Ladder:
    """The cheapest ladder that is no less right than the last tier alone; thresholds chosen on the same rows."""
    ladders = plan_step(step, None, items=len(step.gold), tolerance=1.0).ladders
    alone = next(one for one in ladders if one.tiers == ("large",))
    return next(one for one in ladders if one.accuracy >= alone.accuracy)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=tuple(SETS))
@click.option("--labels", default=400, show_default=True)
@click.option("--asked", default=300, show_default=True)
@click.option("--small", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--large", default="qwen2.5-coder-1.5b-instruct", show_default=True)
@click.option("--template", help="Chat template of the small model, for a base model without one: plain.")
@click.option("--encoder", help="Encoder whose vectors the words tier learns from as well.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path,
    only: tuple[str, ...],
    labels: int,
    asked: int,
    small: str,
    large: str,
    template: str | None,
    encoder: str | None,
    json_file: Path | None,
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = load_settings()
    print(f"{processor_name()}; {labels} labels; {small}, {large}")
    job_for = functools.partial(job_of, small=small, large=large, template=template, encoder=encoder)
    lines = []
    for name in only:
        lines.append(measured(data, name, settings, labels, asked, job_for))
        print("  ".join(f"{what}={_short(value)}" for what, value in lines[-1].items()), flush=True)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": processor_name(), "lines": lines}, indent=1) + "\n", encoding="utf-8"
        )


def _short(value: Any) -> str:  # noqa: ANN401 — figures and words
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
