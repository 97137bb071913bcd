"""Personal values that `redact` finds: recall and precision of each kind on chat turns with marked entities.

    python tests/bench/redaction.py DATA [--json]

DATA is a folder with `multidogo/train.jsonl` and `dev.jsonl`, whose texts have lost their punctuation. An entity is
found when nothing of it is left: no letter or digit of an e-mail address, no digit of a number, whatever kind took it.
Recall is given for all kinds together and for each asked for alone. A span is wrong when it touches no entity of any
type; entities are not marked everywhere, so precision is the least that it may be.
"""

import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.domain.personal import KINDS, Kind, personal_in
from tests.bench.engine_tasks import rows_of

ENTITIES: Mapping[str, Kind] = {
    "email_address": "email",
    "phonenumber": "phone",
    "phone_number": "phone",
    "card_number": "card",
    "ssn": "ssn",
}
PARTS = ("train", "dev")


def recall(rows: Iterable[dict[str, Any]], kinds: Collection[Kind]) -> dict[str, dict[str, float]]:
    """Return, for each of the kinds that is marked in the rows, how many there are and which share is found."""
    there, found = Counter[str](), Counter[str]()
    for row in rows:
        text = row["text"]
        gone = {at for one in personal_in(text, kinds) for at in range(one.start, one.end)}
        for entity in row["entities"]:
            kind = ENTITIES.get(entity["type"])
            if kind in kinds:
                there[str(kind)] += 1
                says = str.isalnum if kind == "email" else str.isdigit
                places = {at for at in range(entity["start"], entity["end"]) if says(text[at])}
                found[str(kind)] += places <= gone
    return {kind: {"entities": count, "recall": found[kind] / count} for kind, count in sorted(there.items())}


def precision(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return, by the kind that a span is taken for, how many there are and which share touches an entity."""
    spans, touching = Counter[str](), Counter[str]()
    for row in rows:
        for one in personal_in(row["text"], KINDS):
            spans[one.kind] += 1
            touching[one.kind] += any(
                entity["start"] < one.end and one.start < entity["end"] for entity in row["entities"]
            )
    total = {"all": sum(spans.values())}
    touching["all"] = sum(touching.values())
    return {kind: {"spans": count, "precision": touching[kind] / count} for kind, count in {**spans, **total}.items()}


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def main(data: Path, *, as_json: bool) -> None:
    told: dict[str, Any] = {}
    for part in PARTS:
        rows = rows_of(data, "multidogo", 1 << 30, part=part)
        alone = {kind: recall(rows, [kind])[kind] for kind in sorted(set(ENTITIES.values()))}
        told[part] = {"recall": recall(rows, KINDS), "alone": alone, "precision": precision(rows)}
    if as_json:
        print(json.dumps(told))
        return
    for part, figures in told.items():
        for kind, one in figures["recall"].items():
            alone = figures["alone"][kind]["recall"]
            print(f"{part:5}  {kind:6}  {one['entities']:4} there  found {one['recall']:.3f}  asked alone {alone:.3f}")
        for kind, one in figures["precision"].items():
            print(f"{part:5}  {kind:6}  {one['spans']:4} spans  precision {one['precision']:.3f}")


if __name__ == "__main__":
    main()
