"""A whole set through a certified ladder of words, a small model with a head and a large one, learning included.

    python tests/bench/bulk.py DATA [--only sst2 --only hwu64] [--target 0.9] [--taught 400] [--most 5000] [--labels]
        [--encoder NAME] [--without-small] [--audit 0.01] [--json FILE]

DATA is a folder with NAME/train.jsonl and NAME/dev.jsonl, whose texts are pooled. No labels are used: the large model's
answers are the teacher and the reference. It goes as a user would, by the command line in a home of its own:
a run of `--taught` texts that only the large model answers; `learn --run last`; a run of all texts under a target.
Reported: the time of all three, and what they cost by the ledger and by the time of `learn`, against the large model's
own rate in the first.
Of a million such texts it is reckoned, not run: all that is learned and as many draws are paid once, everything else of
the last run so much more often, by the clock and all of it at what the machine costs.
With `--labels` those `--taught` texts have labels instead, and the large model gets a head, too: `learn --labels`
teaches all three tiers, and the large model with its head is the reference. Its own rate is then taken in a run of as
many others that is not counted. How right the large model is by the labels in its run, and how right the answers are to
texts that nobody was taught, is reported either way.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import platformdirs

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.machine import processor_name
from tests.bench.engine_tasks import rows_of
from tests.bench.learning import SETS

_MACHINE_USD_PER_HOUR = 0.08  # as price "local-2-core"
_MILLION = 1_000_000
JOB = """
name = "bulk"
key = "key"
flush_after_s = 2.0
[[steps]]
name = "label"
kind = "classify"
question = "{question}"
labels = {labels}
[[tiers]]
name = "words"
engine = "classical"
model = "bulk-words"
{encoder}
accept_at = {words_at}
price = "local-2-core"
chunk_items = 256
[[tiers]]
name = "small"
engine = "llama"
model = "{small}"
{template}
learned = "bulk-small"
accept_at = 0.0
price = "local-2-core"
chunk_items = 64
[[tiers]]
name = "large"
engine = "llama"
model = "{large}"
{large_head}
reuse = {reuse}
on_long = "truncate"
price = "local-2-core"
chunk_items = 64
[target]
agreement = {target}
audit = {audit}
on_refused = "escalate"
"""


def headrace(environment: dict[str, str], *words: object) -> tuple[Any, float]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise click.ClickException(f"{' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), time.perf_counter() - started


def _written(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(lines), encoding="utf-8")
    return path


def _own_home(folder: Path) -> dict[str, str]:
    """Make a home of its own with the user's models, so that what is learned does not lie among the user's lessons."""
    models = Path(os.environ.get("HEADRACE_MODELS") or Path(platformdirs.user_data_dir("headrace")) / "models")
    (folder / "models").mkdir()
    for one in models.iterdir():
        if one.name != "learned":
            (folder / "models" / one.name).symlink_to(one)
    return {**os.environ, "HEADRACE_HOME": str(folder / "home"), "HEADRACE_MODELS": str(folder / "models")}


def _right(environment: dict[str, str], gold: Path) -> float:
    found, _ = headrace(environment, "results", "last", "--gold", gold)
    return float(found["steps"]["label"]["accuracy"])


def measured(data: Path, name: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    key, question = SETS[name]
    rows = [row for part in ("train", "dev") for row in rows_of(data, name, 1 << 30, part=part)]
    by_text = {row["text"]: row[key] for row in reversed(rows)}
    texts = list(dict.fromkeys(row["text"] for row in rows))[: options["most"]]
    labels = sorted({row[key] for row in rows})
    job = folder / "job.toml"
    written = JOB.format(question=question, labels=json.dumps(labels), **options)
    if options["without_small"]:
        small, large = (written.index(f'[[tiers]]\nname = "{name}"') for name in ("small", "large"))
        written = written[:small] + written[large:]
    job.write_text(written, encoding="utf-8")
    lines = [json.dumps({"key": str(number), "text": text}) + "\n" for number, text in enumerate(texts)]
    (folder / "all.jsonl").write_text("".join(lines), encoding="utf-8")
    step = max(1, len(lines) // options["taught"])
    numbers = {"some": range(0, len(lines), step)[: options["taught"]]}
    numbers["others"] = range(1, len(lines), step)[: options["taught"]]
    for part, which in numbers.items():
        (folder / f"{part}.jsonl").write_text("".join(lines[number] for number in which), encoding="utf-8")
    environment = _own_home(folder)
    alone = folder / "alone.toml"  # one worker with all cores: what the large model does by itself
    text = job.read_text(encoding="utf-8")
    tiers = text.index("[[tiers]]")
    alone.write_text(
        text[:tiers] + text[text.index('[[tiers]]\nname = "large"') : text.index("[target]")], encoding="utf-8"
    )
    right = [json.dumps({"key": str(number), "label": by_text[text]}) + "\n" for number, text in enumerate(texts)]
    some, others = folder / "some.jsonl", folder / "others.jsonl"
    if options["labelled"]:
        gold = _written(folder / "gold.jsonl", (right[number] for number in numbers["some"]))
        taught, learn_s = headrace(environment, "learn", job, some, "--labels", gold)
        headrace(environment, "run", alone, others)
        first_s, first_usd = 0.0, 0.0
    else:
        first, first_s = headrace(environment, "run", alone, some)
        first_usd = first["cost"]["known_usd"]
    calls_s = sum(row["seconds"] for row in headrace(environment, "costs", "last")[0]["rows"])
    asked = numbers["others" if options["labelled"] else "some"]
    large_right = _right(environment, _written(folder / "asked.jsonl", (right[number] for number in asked)))
    if not options["labelled"]:
        taught, learn_s = headrace(environment, "learn", job, some, "--run", "last")
    second, second_s = headrace(environment, "run", job, folder / "all.jsonl")
    calls = {
        row["tier"]: round(row["seconds"]) for row in headrace(environment, "costs", "last", "--by", "tier")[0]["rows"]
    }
    (window,) = headrace(environment, "certificates", "last")[0]["windows"]
    taught_items = min(options["taught"], len(lines))
    large_s = calls_s / taught_items  # its calls only: no start, no loading
    alone_s = large_s * len(texts)
    total_s = first_s + learn_s + second_s
    once_s = first_s + learn_s + window["drawn"] * large_s
    million_s = once_s + max(0.0, second_s - window["drawn"] * large_s) * _MILLION / len(texts)
    untaught = (line for number, line in enumerate(right) if number not in numbers["some"])
    # `learn` has no ledger: its time at what the machine costs.
    usd = first_usd + second["cost"]["known_usd"] + learn_s * _MACHINE_USD_PER_HOUR / 3600
    return {
        "set": name,
        "items": len(texts),
        "seconds": round(total_s),
        "of these learning": round(first_s + learn_s),
        "large alone, s": round(alone_s),
        "times as fast": round(alone_s / total_s, 2),
        "without learning": round(alone_s / second_s, 2),
        "verdicts": second["steps"]["label"]["verdicts"],
        "seconds of calls": calls,
        "certified": window["certified"],
        "drawn": window["drawn"],
        "lost": window["lost"],
        "usd": round(usd, 5),
        "usd a million": round(usd / len(texts) * _MILLION, 2),
        "a million, reckoned": {
            "times as fast": round(large_s * _MILLION / million_s, 2),
            "usd": round(million_s * _MACHINE_USD_PER_HOUR / 3600, 2),
        },
        "learned": {tier["tier"]: tier["steps"][0]["accuracy"] for tier in taught["tiers"]},
        "large right": large_right,
        "all right": _right(environment, _written(folder / "untaught.jsonl", untaught)),
    }


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, default=("sst2", "hwu64"))
@click.option("--target", default=0.9, show_default=True)
@click.option("--audit", default=0.01, show_default=True, help="Share of what stands that is asked all the same.")
@click.option("--taught", default=400, show_default=True)
@click.option("--most", default=1 << 30, help="Texts of each set.  [default: all]")
@click.option("--words-at", default=0.9, show_default=True, help="Least confidence at which words may answer.")
@click.option("--small", default="qwen2.5-coder-0.5b-instruct", show_default=True)
@click.option("--large", default="qwen2.5-coder-1.5b-instruct", show_default=True)
@click.option("--template", help="Chat template of the small model, for a base model without one: plain.")
@click.option("--encoder", help="Encoder whose vectors the words tier learns from as well.")
@click.option("--without-small", is_flag=True, help="Words below the large model, nothing between.")
@click.option(
    "--labels", "labelled", is_flag=True, help="The taught texts have labels, and the large model gets a head."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
def main(data: Path, only: tuple[str, ...], json_file: Path | None, **options: Any) -> None:  # noqa: ANN401 — of the job
    print(f"{processor_name()}; {options}")
    options["template"] = "" if options["template"] is None else f'chat_template = "{options["template"]}"'
    options["encoder"] = "" if options["encoder"] is None else f'encoder = "{options["encoder"]}"'
    # Labelled: the run in which the large model's rate is taken is not counted, and must not lend its answers.
    options["reuse"] = "false" if options["labelled"] else "true"
    options["large_head"] = 'learned = "bulk-large"' if options["labelled"] else ""
    found = []
    for name in only:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(data, name, options, Path(folder)))
        print("  ".join(f"{what}={value}" for what, value in found[-1].items()), flush=True)
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
