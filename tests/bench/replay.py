"""Large models that were recorded, in the place of the top tier; and a published cascade, compared.

    python tests/bench/replay.py DATA [--draws 200] [--json]

cfpb_llm_predictions (`train.jsonl`, `dev.jsonl` with `llm_predictions`): for each recorded model, the words tier is
taught its answers to train and run on dev at targets of .80, .90 and .95 against its answers there; each draw certifies
anew. Beside the share of its calls that are spared stands who is right by the labels: the model alone, and what the
certified run answers. frugalgpt_headlines: the words tier taught the labels of train, on dev, beside the published
cascade, which needs no labels of its own.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.learned.words import Words
from pipeline.domain.certify import Certificate, Promise, certify, common_path, lost_from
from pipeline.domain.curves import choose_curve
from pipeline.domain.drawing import choose_drawing
from tests.bench.cascade_tiers import answers, words_fit

TARGETS = (0.80, 0.90, 0.95)
DELTA = 0.1
USD_PER_HOUR = 0.08
FRUGAL = {"accuracy": 0.874, "usd_per_query": 0.00038, "gpt_4_turbo": 0.856}
"""FrugalGPT's cascade and GPT-4-turbo on 5,000 headlines, as its authors publish them."""


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replayed(train: Sequence[dict[str, Any]], dev: Sequence[dict[str, Any]], model: str, draws: int) -> dict[str, Any]:
    """Teach the words a model's answers, and certify them against it."""
    said = [row["llm_predictions"][model]["label"] for row in (*train, *dev)]
    gold = np.array([row["label"] for row in dev])
    options, classes = np.unique(said, return_inverse=True)
    texts = [row["text"] for row in (*train, *dev)]
    known, asked = np.arange(len(train)), np.arange(len(train), len(texts))
    history, now = answers(words_fit(texts, classes, len(options)), known, asked)
    curve = choose_curve(history.signals, history.shares.argmax(axis=1) == classes[known]).curve
    chosen = now.shares.argmax(axis=1)
    confidence, wrong = curve(now.signals)[:, None], (chosen != classes[asked])[:, None]
    top = np.array(said)[asked]
    found: dict[str, Any] = {
        "model": model,
        "right": round(float(np.mean(top == gold)), 4),
        "agreement_of_words": round(1.0 - float(wrong.mean()), 4),
        "words_right": round(float(np.mean(options[chosen] == gold)), 4),
    }
    for target in TARGETS:
        found[f"{target:.2f}"] = certified(confidence, wrong, target, draws, options[chosen] == gold, top == gold)
    return found


def certified(
    confidence: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    target: float,
    draws: int,
    words_right: NDArray[np.bool_],
    top_right: NDArray[np.bool_],
) -> dict[str, float]:
    promise, path = Promise(target=target, delta=DELTA), common_path(confidence)
    entries = path.entries(confidence)
    accepted_from = entries.min(axis=1)
    drawing = choose_drawing(promise, accepted_from, 1.0 - confidence[:, 0], steps=len(path.thresholds))
    if drawing is None:
        return {"spared": 0.0, "broken": 0, "right": round(float(top_right.mean()), 4)}
    chance, lost = np.random.default_rng(3), lost_from(entries, wrong)
    region = np.flatnonzero(accepted_from <= drawing.last)
    spared, right, broken = [], [], 0
    for _ in range(draws):
        drawn = chance.choice(region, drawing.drawn, replace=False)
        decided = certify(promise, path, drawing, entries, drawn.tolist(), lost[drawn])
        kept = accepted_from <= (decided.step if isinstance(decided, Certificate) else -1)
        kept[drawn] = False
        spared.append(float(kept.mean()))
        right.append(float(np.where(kept, words_right, top_right).mean()))
        broken += int(wrong[kept].sum()) > promise.budget(len(wrong))
    return {"spared": round(statistics.fmean(spared), 4), "broken": broken, "right": round(statistics.fmean(right), 4)}


def headlines(data: Path) -> dict[str, Any]:
    train, dev = (read(data / "frugalgpt_headlines" / f"{part}.jsonl") for part in ("train", "dev"))
    options, classes = np.unique([row["label"] for row in train], return_inverse=True)
    words = Words.fit([row["text"] for row in train], classes, len(options) + 1)
    started = time.perf_counter()
    chosen = words.see([row["text"] for row in dev]).shares.argmax(axis=1)
    seconds = (time.perf_counter() - started) / len(dev)
    named = [*options, None]  # the last: none of the labels
    right = np.mean([named[one] == row["label"] for one, row in zip(chosen, dev, strict=True)])
    return {
        "labels": len(train),
        "accuracy": round(float(right), 4),
        "usd_per_query": seconds * USD_PER_HOUR / 3600,
        "published": FRUGAL,
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--draws", default=200, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, draws: int, *, as_json: bool) -> None:
    train, dev = (read(data / "cfpb_llm_predictions" / f"{part}.jsonl") for part in ("train", "dev"))
    models = sorted(dev[0]["llm_predictions"])
    found = [replayed(train, dev, model, draws) for model in models]
    compared = headlines(data)
    if as_json:
        print(json.dumps({"cfpb": found, "headlines": compared}))
        return
    for one in found:
        cells = [
            f"{target:.2f}: spared {cell['spared']:.3f}, right {cell['right']:.3f}, broken {cell['broken']}/{draws}"
            for target in TARGETS
            for cell in [one[f"{target:.2f}"]]
        ]
        print(
            f"{one['model']:26} right {one['right']:.3f}  words agree {one['agreement_of_words']:.3f}", *cells, sep="  "
        )
    print("headlines", compared)


if __name__ == "__main__":
    main()
