"""Texts that no label fits: how many are kept from being answered, and how right the answered ones are, by coverage.

    python tests/bench/out_of_scope.py DATA [--json]

DATA is a folder with `clinc150_oos/train.jsonl` and `dev.jsonl`, whose label `oos` is taken for none. The words tier
learns from train as `headrace learn` teaches it. Compared at the same shares of dev answered: its own probability with
a plain threshold and `oos` as if it were no class, and what was learned: a class of its own and a confidence.
"""

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.learned.words import Words
from pipeline.domain.curves import Floats
from pipeline.domain.learned import classes_of
from pipeline.flow.learning import Look, Rows, learn_choice, order_of
from tests.bench.engine_tasks import rows_of

COVERAGES = (0.5, 0.7, 0.8, 0.9)
NONE = "oos"


def at_coverage(
    sure: Floats, chosen: NDArray[np.int64], classes: NDArray[np.int64], none: int, coverage: float
) -> tuple[float, float]:
    """Return how right the answered texts are that have a label, and the share of the others that is not answered."""
    ranked = np.where(chosen == none, -1.0, sure)
    answered = np.zeros(len(classes), dtype=np.bool_)
    answered[np.argsort(-ranked, kind="stable")[: round(coverage * len(classes))]] = True
    labelled = classes != none
    return float(np.mean(chosen[answered & labelled] == classes[answered & labelled])), float(
        np.mean(~answered[~labelled])
    )


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, *, as_json: bool) -> None:
    train = rows_of(data, "clinc150_oos", 1 << 30, part="train")
    train = [train[number] for number in order_of([row["text"] for row in train])]
    dev = rows_of(data, "clinc150_oos", 1 << 30)
    options = sorted({row["label"] for row in train} - {NONE})
    known = [None if row["label"] == NONE else row["label"] for row in train]
    asked = [row["label"] if row["label"] in options else None for row in dev]
    texts, classes = [row["text"] for row in train], classes_of(known, options)
    right, none = classes_of(asked, options), len(options)

    def fit(rows: Rows) -> Look:
        words = Words.fit([texts[row] for row in rows], classes[rows], none + 1)
        return lambda others: words.see([texts[row] for row in others])

    taught = learn_choice({"words": fit}, classes, None)
    seen = Words.fit(texts, classes, none + 1).see([row["text"] for row in dev])
    inside = seen.shares[:, :none]
    plain = (inside.max(axis=1), inside.argmax(axis=1))
    learned = (taught.curve(seen.signals), seen.shares.argmax(axis=1))
    lines: list[dict[str, Any]] = []
    for coverage in COVERAGES:
        line: dict[str, Any] = {"coverage": coverage}
        for name, (sure, chosen) in {"plain": plain, "learned": learned}.items():
            line[f"{name}: right"], line[f"{name}: kept out"] = at_coverage(sure, chosen, right, none, coverage)
        lines.append(line)
    if as_json:
        print(json.dumps(lines))
        return
    print(f"{sum(one is None for one in asked)} of {len(dev)} texts fit no label; {len(texts)} texts taught it")
    for line in lines:
        print("  ".join(f"{what} {value:.3f}" for what, value in line.items()))


if __name__ == "__main__":
    main()
