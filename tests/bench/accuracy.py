"""Accuracy of the llama engine beside that of a plain one-by-one implementation of the same prompts.

    python tests/bench/accuracy.py DATA [--model NAME_OR_PATH] [--limit N] [--json]

DATA is a folder with `sst2/dev.jsonl` and others (text, label or domain). Rows are taken evenly spaced. The plain
implementation reads one item at a time, and keeps the beginning that its prompt shares with the one before.
Exit code 1 when the two differ by more than one point on a set.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import platformdirs
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.models import ModelStore
from pipeline.domain.answers import Label
from pipeline.domain.steps import ClassifyStep
from pipeline.ports.engine import Ask
from pipeline.prompts import Question, question_of
from tests.integration.llama_reference import Reference

SETS = {
    "sst2": ("label", "Is this sentence of a film review positive or negative?"),
    "hwu64": ("domain", "Which domain does this request to a home assistant belong to?"),
    "banking77": ("label", "What does this customer of a bank want?"),
    "clinc150_oos": ("label", "What does this user want? `oos` is anything that no other label fits."),
    "frugalgpt_headlines": ("label", "Where does this headline say that the price of gold goes?"),
    "senti4sd": ("label", "What is the mood of this post by a developer?"),
}
ALLOWED_POINTS = 1.0


def rows_of(data: Path, name: str, key: str, limit: int | None) -> list[tuple[str, str]]:
    with (data / name / "dev.jsonl").open(encoding="utf-8") as file:
        rows = [(row["text"], row[key]) for row in map(json.loads, file)]
    if limit is None or limit >= len(rows):
        return rows
    return [rows[number * len(rows) // limit] for number in range(limit)]


def timed(answer: Callable[[], list[str]]) -> tuple[list[str], float]:
    started = time.perf_counter()
    answers = answer()
    return answers, time.perf_counter() - started


def by_engine(engine: LlamaEngine, question: Question, texts: list[str]) -> list[str]:
    given = engine.answer([Ask(question=question, text=text) for text in texts]).given
    return [one.answer.value if one is not None and isinstance(one.answer, Label) else "" for one in given]


def by_reference(reference: Reference, question: Question, texts: list[str]) -> list[str]:
    found = []
    for text in texts:
        scores = reference.scores(question, text)
        found.append(max(scores, key=scores.__getitem__))
    return found


def measured(
    name: str, rows: list[tuple[str, str]], asked: str, engine: LlamaEngine, reference: Reference
) -> dict[str, Any]:
    texts, gold = [text for text, _ in rows], [label for _, label in rows]
    labels = dict.fromkeys(sorted(set(gold)), "")
    question = question_of(ClassifyStep(name=name, kind="classify", question=asked, labels=labels))
    ours, our_seconds = timed(lambda: by_engine(engine, question, texts))
    plain, plain_seconds = timed(lambda: by_reference(reference, question, texts))

    def accuracy(answers: list[str]) -> float:
        return 100 * sum(one == right for one, right in zip(answers, gold, strict=True)) / len(gold)

    return {
        "set": name,
        "rows": len(rows),
        "labels": len(labels),
        "engine_points": round(accuracy(ours), 2),
        "reference_points": round(accuracy(plain), 2),
        "difference_points": round(accuracy(ours) - accuracy(plain), 2),
        "same_answers": round(sum(one == other for one, other in zip(ours, plain, strict=True)) / len(rows), 4),
        "engine_items_per_s": round(len(rows) / our_seconds, 2),
        "reference_items_per_s": round(len(rows) / plain_seconds, 2),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="qwen2.5-coder-0.5b-instruct", show_default=True, help="Catalogue name or GGUF.")
@click.option("--only", type=click.Choice(list(SETS)), help="One set; default: all.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows of each set; default: all.")
@click.option("--threads", default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(data: Path, model: str, only: str | None, limit: int | None, threads: int, *, as_json: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    path = ModelStore(Path(os.environ.get("HEADRACE_MODELS") or Path(home) / "models")).path(model).path
    engine = LlamaEngine(
        path,
        model_name=model,
        context_tokens=4096,
        max_text_tokens=None,
        max_answer_tokens=64,
        gpu_layers=0,
        threads=threads,
    )
    reference = Reference(path, threads=threads, context_tokens=4096, rewind=True)
    lines = []
    for name, (key, asked) in SETS.items():
        if only not in {None, name}:
            continue
        lines.append(measured(name, rows_of(data, name, key, limit), asked, engine, reference))
        if not as_json:
            print("  ".join(f"{what}={value}" for what, value in lines[-1].items()), flush=True)
    engine.close()
    reference.close()
    within = all(abs(line["difference_points"]) <= ALLOWED_POINTS for line in lines)
    if as_json:
        print(json.dumps({"model": model, "within_one_point": within, "sets": lines}))
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
