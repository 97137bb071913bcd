"""Kinds of log lines and what varies in them, on real logs: grouping, templates, entities, speed; drain3 beside it.

    python tests/bench/logs.py DATA [--drain3] [--words JOB] [--json]

DATA is a folder with `loghub2k/NAME/NAME_2k.log` and `NAME_2k.log_structured.csv`, and `loghub/train.jsonl` and
`dev.jsonl`. No labels, one configuration for all, no model. GA: share of lines whose group is exactly the true one;
PA: share whose template is the true one; FGA and FTA: the same as F1 over templates. Runs of `<*>` joined by nothing or
one of `. : ,` count as one on both sides, and blanks are one blank. Entities: F1 of exact spans. `--drain3` runs that
package with its defaults and with our masks. `--words pipeline/samples/words.toml` asks that job of the words that may
be values, as `ask_words` of a log job does, and shows beside it what templates come to then.
"""

import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.adapters.machine import processor_name
from pipeline.domain.items import Item
from pipeline.domain.logs.constants import VALUES, doubtful_in
from pipeline.domain.logs.events import kinds
from pipeline.domain.logs.masks import VARIABLE, masked
from pipeline.flow.logs import ReadLine, Survey

SEEN = ("Android", "BGL", "HDFS", "Hadoop", "Linux", "OpenStack", "Proxifier", "Zookeeper")
_SEEN = {"of systems above": True, "of others": False}
_RUN = re.compile(r"<\*>(?:[.:,]?<\*>)+")


def normal(template: str) -> str:
    return _RUN.sub(VARIABLE, " ".join(template.split()))


def scores(true: Sequence[str], found: Sequence[str]) -> dict[str, float]:
    """Return GA, PA, FGA and FTA."""
    right, ours = [normal(one) for one in true], [normal(one) for one in found]
    truth, groups = _groups(right), _groups(ours)
    exact = {lines: template for template, lines in truth.items()}
    grouped = [template for template, lines in groups.items() if lines in exact]
    named = [template for template in grouped if exact[groups[template]] == template]
    return {
        "GA": sum(len(groups[template]) for template in grouped) / len(right),
        "PA": float(np.mean([one == other for one, other in zip(right, ours, strict=True)])),
        "FGA": 2 * len(grouped) / (len(truth) + len(groups)),
        "FTA": 2 * len(named) / (len(truth) + len(groups)),
        "kinds per true one": len(groups) / len(truth),
    }


def _groups(templates: Iterable[str]) -> dict[str, frozenset[int]]:
    lines: dict[str, set[int]] = defaultdict(set)
    for number, template in enumerate(templates):
        lines[template].add(number)
    return {template: frozenset(numbers) for template, numbers in lines.items()}


def surveyed(texts: Sequence[str]) -> tuple[list[ReadLine], float]:
    """Return each whole line, header and all, as it is read, and lines a second."""
    rows = [Item(key=str(n), source="log", line=n, text=text) for n, text in enumerate(texts)]
    survey, started = Survey(), time.perf_counter()
    survey.look(rows)
    found = list(survey.read(rows))
    return found, len(texts) / (time.perf_counter() - started)


def told_by(job: Path, lines: Sequence[ReadLine], folder: Path) -> tuple[list[str], int, int]:
    """Ask a job about the words of the lines that may be values.

    Returns the template that each line has then, how many words were asked about, and how many are values.
    """
    examples = {line.template: content(line) for line in reversed(lines)}
    asked = [(template, place, word) for template in examples for place, word in doubtful_in(template)]
    questions, answers = folder / "words.jsonl", folder / "answers.jsonl"
    rows = ({"template": one, "example": examples[one], "word": word} for one, _, word in asked)
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = [sys.executable, "-m", "pipeline.cli", "run", str(job), str(questions), "--output", str(answers)]
    subprocess.run(run, check=True, stdout=sys.stderr)
    told: dict[str, dict[int, str]] = defaultdict(dict)
    for row in map(json.loads, answers.read_text(encoding="utf-8").splitlines()):
        template, place, _ = asked[row["line"] - 1]
        kind = row["answers"]["type"]["value"]
        if kind in VALUES:
            told[template][place] = kind
    # the rules' templates stand for their patterns: merging is by templates, and what models say comes after the rules
    template_of = kinds(examples, told)
    return [template_of[line.template] for line in lines], len(asked), sum(map(len, told.values()))


def content(line: ReadLine) -> str:
    return line.header.text[line.header.content_at :].rstrip()


def drained(contents: Sequence[str], look: Callable[[str], str]) -> list[str]:
    from drain3 import TemplateMiner  # type: ignore[import-not-found]  # noqa: PLC0415 — no dependency

    miner = TemplateMiner()
    clusters = [miner.add_log_message(look(content))["cluster_id"] for content in contents]
    templates = {cluster.cluster_id: cluster.get_template() for cluster in miner.drain.clusters}
    return [templates[cluster] for cluster in clusters]


def systems(data: Path, *, peer: bool, words: Path | None) -> list[dict[str, Any]]:
    lines = []
    for name in SEEN:
        folder = data / "loghub2k" / name
        texts = (folder / f"{name}_2k.log").read_text(encoding="utf-8", errors="replace").splitlines()
        with (folder / f"{name}_2k.log_structured.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        true = [row["EventTemplate"] for row in rows]
        read, rate = surveyed(texts)
        line = {"system": name, **scores(true, [one.template for one in read]), "lines_per_s": rate}
        if words is not None:
            with tempfile.TemporaryDirectory() as made:
                found, asked, values = told_by(words, read, Path(made))
            line["with words asked"] = {**scores(true, found), "asked": asked, "values": values}
        if peer:
            contents = [row["Content"] for row in rows]
            line["drain3"] = scores(true, drained(contents, str))
            line["drain3, our masks"] = scores(true, drained(contents, masked))
        lines.append(line)
    return lines


def entities(data: Path) -> list[dict[str, Any]]:
    """Read samples of each system as one file, and compare spans: of headers, and of what varies in the content."""
    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in ("train", "dev"):
        for row in (data / "loghub" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines():
            one = json.loads(row)
            samples[one["system"]].append(one)
    lines = []
    for name, rows in sorted(samples.items()):
        items = [Item(key=str(n), source=name, line=n, text=row["text"]) for n, row in enumerate(rows)]
        survey = Survey()
        survey.look(items)
        read = list(survey.read(items))
        header = [
            ({(v.start, v.end) for v in one.header.fields.values()}, spans(row["entities"]))
            for one, row in zip(read, rows, strict=True)
        ]
        values = [
            ({(v.start, v.end) for v in one.values}, spans(row["params"])) for one, row in zip(read, rows, strict=True)
        ]
        true = [row.get("template_loghub", row["template"]) for row in rows]
        found = scores(true, [one.template for one in read])
        by_kind: dict[str, list[bool]] = defaultdict(list)
        for (found_spans, _), sample in zip(values, rows, strict=True):
            for param in sample["params"]:
                by_kind[param["kind"]].append((param["start"], param["end"]) in found_spans)
        of_kinds = {kind: [sum(right), len(right)] for kind, right in by_kind.items()}
        line = {"system": name, "lines": len(rows), "seen": name in SEEN, "header": f1(header), "values": f1(values)}
        lines.append({**line, **found, "kinds": of_kinds})
    return lines


def spans(marked: Iterable[dict[str, Any]]) -> set[tuple[int, int]]:
    return {(one["start"], one["end"]) for one in marked}


def f1(pairs: Sequence[tuple[set[tuple[int, int]], set[tuple[int, int]]]]) -> float:
    both = sum(len(ours & gold) for ours, gold in pairs)
    return 2 * both / max(1, sum(len(ours) + len(gold) for ours, gold in pairs))


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--drain3", "peer", is_flag=True)
@click.option("--words", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, *, peer: bool, words: Path | None, as_json: bool) -> None:
    of_systems, of_samples = systems(data, peer=peer, words=words), entities(data)
    if as_json:
        print(json.dumps({"machine": processor_name(), "systems": of_systems, "samples": of_samples}))
        return
    groups = [("systems", of_systems), ("samples", of_samples)]
    groups += [(f"samples, {name}", [one for one in of_samples if one["seen"] == seen]) for name, seen in _SEEN.items()]
    for number, (name, lines) in enumerate(groups):
        for line in lines if number < len(_SEEN) else ():
            print("  ".join(f"{what} {shown(value)}" for what, value in line.items() if what != "kinds"))
        means = {
            what: np.mean([line[what] for line in lines])
            for what, value in lines[0].items()
            if isinstance(value, float)
        }
        print(f"mean of {name}:", "  ".join(f"{what} {value:.3f}" for what, value in means.items()))
        for beside in [what for what, value in lines[0].items() if isinstance(value, dict) and what != "kinds"]:
            of = {what: float(np.mean([line[beside][what] for line in lines])) for what in lines[0][beside]}
            print(f"mean of {name}, {beside}:", shown(of))
    for kind in sorted({kind for line in of_samples for kind in line["kinds"]}):
        right, all_of_it = (sum(line["kinds"].get(kind, (0, 0))[at] for line in of_samples) for at in (0, 1))
        print(f"{kind}: {right / all_of_it:.3f} of {all_of_it:,} found as they are")


def shown(value: object) -> str:
    if isinstance(value, dict):
        return "(" + " ".join(f"{what} {one:.3f}" for what, one in value.items()) + ")"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
