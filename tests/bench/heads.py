"""How right heads are with a few hundred labels, on all rows that nobody learned from, and what they look at.

    python tests/bench/heads.py DATA [--only NAME ...] [--labels 400] [--draws 3] [--model NAME] [--template NAME]
        [--json FILE]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl. The model reads each text once; the head, its strength and
whether words stand beside it are chosen by the product's own way on the labelled rows of train. Shown are shares of all
rows of dev, means of draws of other labelled rows: the model by itself, a head on its last hidden state, one on what
the model shows halfway up and nothing else, and one as the product teaches it, which takes the best of what it may look
at; in how many draws that was nothing beyond halfway up. And how many times as fast texts are read halfway up as whole:
96 of them turn by turn, ABBA, the median of the ratios.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.learned.engine import ask_for_head, last_of, states_of
from pipeline.adapters.machine import processor_name
from pipeline.domain.answers import Label
from pipeline.domain.learned import classes_of
from pipeline.domain.outcomes import Given
from pipeline.domain.steps import ClassifyStep
from pipeline.domain.tiers import Tier
from pipeline.flow.learning import Rows
from pipeline.ports.engine import Ask, Engine
from pipeline.prompts import question_of
from pipeline.settings import load_settings
from pipeline.wiring.engines import llama_engine, model_for
from pipeline.wiring.school import School, pair
from pipeline.wiring.teaching import FREEDOMS, answered
from tests.bench.engine_tasks import rows_of
from tests.bench.learning import SETS

_SEED = 7
_TIMED = 96
_ROUNDS = 4


def read(tier: Tier, step: ClassifyStep, texts: Sequence[str]) -> tuple[str, list[Given], float]:
    """Return the file's name, what the model makes of each text, and how much faster it is read halfway up."""
    found = model_for(tier, load_settings())
    asks = [ask_for_head(Ask(question=question_of(step), text=text, on_long="truncate")) for text in texts]

    def show(done: int, of: int) -> None:
        print(f"\r{step.name}: {done} of {of} read", end="\n" * (done == of), file=sys.stderr, flush=True)

    with closing(llama_engine(tier, found, hidden_states=True)) as engine:
        return found.path.name, answered(engine, asks, show), faster(engine, asks[-_TIMED:])


def faster(engine: Engine, asks: Sequence[Ask]) -> float:
    """Return how many times as fast asks are answered that are read halfway up."""
    half = [Ask(question=ask.question, text=ask.text, on_long=ask.on_long, half=True) for ask in asks]

    def seconds(asked: Sequence[Ask]) -> float:
        started = time.perf_counter()
        engine.answer(asked)
        return time.perf_counter() - started

    seconds(half[:8])
    ratios = []
    for number in range(_ROUNDS):
        first, second = (seconds(asked) for asked in ((asks, half) if number % 2 else (half, asks)))
        ratios.append(first / second if number % 2 else second / first)
    return statistics.median(ratios)


def right(
    states: NDArray[np.float32],
    shares: NDArray[np.float64],
    texts: Sequence[str],
    classes: Rows,
    known: slice,
    asked: slice,
    last: int | None,
) -> tuple[float, bool]:
    """Return the share of the rows `asked` that a head taught by the rows `known` gets right, and whether it is half.

    It looks at all columns, or where `last` are those of the last state at those that teach it best.
    """
    school = School(
        states=states[known],
        shares=shares[known],
        texts=texts[known],
        classes=classes[known],
        width=int(classes.max()) + 2,
        last=last,
    )
    found = pair(school, classes[known], None, FREEDOMS)
    half = slice(last if found.half else 0, None)
    seen = found.chooser.see(states[asked, half], shares[asked, : 0 if found.half else None], texts[asked])
    return float(np.mean(seen.shares.argmax(axis=1) == classes[asked])), found.half


def measured(data: Path, name: str, labels: int, draws: int, tier: Tier) -> dict[str, Any]:
    key, asked = SETS[name]
    train, dev = rows_of(data, name, 1 << 30, part="train"), rows_of(data, name, 1 << 30)
    rows = [*random.Random(_SEED).sample(train, draws * labels), *dev]
    options = sorted({row[key] for row in rows})
    step = ClassifyStep(name=name, kind="classify", question=asked, labels=dict.fromkeys(options, ""))
    texts = [row["text"] for row in rows]
    file, given, times = read(tier, step, texts)
    states, shares = states_of(given, options)
    last = last_of(given) or 0
    classes = classes_of([row[key] for row in rows], options)
    own = [isinstance(one.answer, Label) and one.answer.value == row[key] for one, row in zip(given, rows, strict=True)]
    behind = slice(draws * labels, len(rows))

    parts = [slice(at * labels, (at + 1) * labels) for at in range(draws)]

    def alone(states: NDArray[np.float32], shares: NDArray[np.float64]) -> float:
        return statistics.fmean(right(states, shares, texts, classes, one, behind, None)[0] for one in parts)

    taught = [right(states, shares, texts, classes, one, behind, last) for one in parts]
    return {
        "set": name,
        "file": file,
        "labels": labels,
        "draws": draws,
        "rows": len(dev),
        # With many labels the model's own choice is a guess here: nothing is read for it behind the first token.
        "by itself": round(statistics.fmean(own[behind]), 4),
        "last state": round(alone(states[:, :last], shares), 4),
        "halfway only": round(alone(states[:, last:], shares[:, :0]), 4),
        "as taught": round(statistics.fmean(share for share, _ in taught), 4),
        "of these halfway": sum(half for _, half in taught),
        "halfway as fast": round(times, 2),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=("sst2", "hwu64", "senti4sd", "frugalgpt_headlines"))
@click.option("--labels", default=400, show_default=True)
@click.option("--draws", default=3, show_default=True)
@click.option("--model", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--template", help="Of a base model, such as `plain`.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path, only: tuple[str, ...], labels: int, draws: int, model: str, template: str | None, json_file: Path | None
) -> None:
    print(processor_name())
    how = {} if template is None else {"chat_template": template}
    tier = Tier.model_validate({"name": "bench", "engine": "llama", "model": model, "learned": "bench", **how})
    lines = []
    for name in only:
        lines.append(measured(data, name, labels, draws, tier))
        print("  ".join(f"{what}={value}" for what, value in lines[-1].items()), flush=True)
    if json_file is not None:
        json_file.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
