"""Certified thresholds on real data: is the promise held, how many reference calls are avoided, beside `bargain`.

    python tests/bench/cascade.py DATA [--splits 10] [--first-split 0] [--draws 20] [--peer 5] [--times 10 ...]
        [--only NAME ...] [--encoder NAME] [--json]

DATA is a folder with `NAME/train.jsonl` and `NAME/dev.jsonl`. Each split pools both, teaches the words tier 3,000 rows
and takes 2,000 others as the run, whose gold labels are the reference; each draw certifies anew. A violation is a run
with more than (1 - target) of its answers wrong. `top`: the words tier's calibrated top probability; `learned`: its
confidence as `headrace learn` learns it; `tiers`: naive Bayes → words → reference.
`--times`: runs that many times as large, each item so often; how the share grows with the size of a run.
`--encoder`: the words tier learns from that encoder's vectors as well. `--first-split`: go on with others than before.
`--peer` splits also ask bargain 0.1.3, on the learned scores, once each. Confidences are learned on the 3,000 only.
"""

import importlib.util
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.domain.audit import Audit
from pipeline.domain.certify import Certificate, Promise, Refusal, certify, common_path, lost_from
from pipeline.domain.curves import Floats
from pipeline.domain.drawing import choose_drawing
from pipeline.domain.tiers import Tier
from pipeline.settings import load_settings
from pipeline.wiring.engines import encoder_for
from tests.bench.cascade_tiers import Scored, rows, scored

SETS = ("banking77", "clinc150_oos", "hwu64", "frugalgpt_headlines", "sst2")
TARGETS = (0.90, 0.95, 0.98)
DELTA = 0.1


def certified(
    confidences: Floats, wrong: NDArray[np.bool_], target: float, draws: int, chance: np.random.Generator
) -> list[tuple[float, bool]]:
    """Return share avoided and whether the promise was broken, draw by draw; confidences and wrong (items, tiers)."""
    promise = Promise(target=target, delta=DELTA)
    path = common_path(confidences)
    entries = path.entries(confidences)
    accepted_from = entries.min(axis=1)
    taken = np.where(entries == accepted_from[:, None], confidences, 0.0).max(axis=1)
    drawing = choose_drawing(promise, accepted_from, 1.0 - taken, steps=len(path.thresholds))
    if drawing is None:
        return [(0.0, False)] * draws
    region = np.flatnonzero(accepted_from <= drawing.last)
    lost = lost_from(entries, wrong)
    found = []
    for _ in range(draws):
        drawn = chance.choice(region, drawing.drawn, replace=False)
        certificate = certify(promise, path, drawing, entries, drawn.tolist(), lost[drawn])
        found.append(outcome(certificate, entries, wrong, drawn))
    return found


def outcome(
    certificate: Certificate | Refusal, entries: NDArray[np.int64], wrong: NDArray[np.bool_], drawn: NDArray[np.int64]
) -> tuple[float, bool]:
    if isinstance(certificate, Refusal):
        return 0.0, False
    kept = entries.min(axis=1) <= certificate.step
    kept[drawn] = False
    tier = (entries <= certificate.step).argmax(axis=1)  # the cheapest that accepts
    mistakes = int(wrong[np.arange(len(wrong)), tier][kept].sum())
    return float(kept.mean()), mistakes > certificate.promise.budget(len(entries))


def hindsight(confidence: Floats, wrong: NDArray[np.bool_], target: float) -> float:
    lost = np.cumsum(wrong[np.argsort(-confidence, kind="stable")])
    return float(np.mean(lost <= Promise(target=target, delta=DELTA).budget(len(wrong))))


def peer(confidence: Floats, wrong: NDArray[np.bool_], target: float, seed: int) -> tuple[float, bool]:
    """Ask bargain, which takes its scores and answers from objects of its own."""
    from BARGAIN import BARGAIN_A, Oracle, Proxy  # noqa: PLC0415 — lazily: it is no dependency

    class Cheap(Proxy):  # type: ignore[misc]
        def proxy_func(self, record: str) -> tuple[int, float]:
            return 0, float(confidence[int(record)])

    class Gold(Oracle):  # type: ignore[misc]
        def oracle_func(self, record: str, answer: int) -> tuple[bool, int]:
            return int(wrong[int(record)]) == answer, int(wrong[int(record)])

    one = BARGAIN_A(Cheap(verbose=False), Gold(verbose=False), target=target, delta=DELTA, verbose=False, seed=seed)
    answers, asked = one.process([str(number) for number in range(len(wrong))], return_oracle_usage=True)
    mistakes = int(np.sum(np.asarray(answers) != wrong.astype(int)))
    return 1.0 - float(np.mean(asked)), mistakes > Promise(target=target, delta=DELTA).budget(len(wrong))


def cells(name: str, runs: list[Scored], draws: int, peers: int, times: Sequence[int] = ()) -> list[dict[str, Any]]:
    lines = []
    for target in TARGETS:
        chance = np.random.default_rng(7)
        found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for number, run in enumerate(runs):
            one = run.wrong[:, None]
            found["top"] += certified(run.top[:, None], one, target, draws, chance)
            found["learned"] += certified(run.learned[:, None], one, target, draws, chance)
            for many in times:
                large, lost = np.tile(run.learned, many)[:, None], np.tile(one, (many, 1))
                found[f"learned x{many}"] += certified(large, lost, target, draws, chance)
            both = np.stack([run.naive, run.learned], axis=1)
            found["tiers"] += certified(both, np.stack([run.naive_wrong, run.wrong], axis=1), target, draws, chance)
            found["hindsight"].append((hindsight(run.learned, run.wrong, target), False))
            if number < peers:
                found["bargain"].append(peer(run.learned, run.wrong, target, number))
                found["beside it"] += found["learned"][-draws:]
        lines.append({"set": name, "target": target, **{way: summary(values) for way, values in found.items()}})
    return lines


def encoded(texts: Sequence[str], name: str) -> NDArray[np.float32]:
    """Return an encoder's vectors (texts, width)."""
    tier = Tier.model_validate({"name": "words", "engine": "classical", "model": "bench", "encoder": name})
    encoder = encoder_for(tier, load_settings())
    assert encoder is not None
    with closing(encoder):
        return np.concatenate([encoder.encode(texts[at : at + 256]).vectors for at in range(0, len(texts), 256)])


def summary(found: list[tuple[float, bool]]) -> dict[str, float]:
    avoided = [share for share, _ in found]
    error = float(np.std(avoided, ddof=1) / np.sqrt(len(avoided))) if len(avoided) > 1 else 0.0
    return {
        "avoided": round(float(np.mean(avoided)), 4),
        "error": round(error, 4),
        "violations": sum(broken for _, broken in found),
        "draws": len(found),
    }


def drift(limit: float, times: float, good: int, rounds: int = 100, longest: int = 1000) -> dict[str, Any]:
    """Plant a growth of wrong answers to `times` the limit after `good` items wrong half as often as allowed."""
    chance = np.random.default_rng(11)
    taken, early = [], 0
    for _ in range(rounds):
        audit = Audit(limit=limit, delta=DELTA)
        while not audit.withdrawn and audit.audited < good + longest:
            share = limit / 2 if audit.audited < good else limit * times
            audit = audit.seen(wrong=bool(chance.random() < share))
        early += audit.withdrawn and audit.audited <= good
        if audit.withdrawn and audit.audited > good:
            taken.append(audit.audited - good)
    late = round(float(np.median(taken)), 1) if taken else None
    return {"limit": limit, "times": times, "good": good, "early": early, "withdrawn": len(taken), "median": late}


def main(arguments: list[str]) -> None:
    import click  # noqa: PLC0415 — the module can be imported without

    @click.command(help=__doc__)
    @click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.option("--splits", default=10, show_default=True)
    @click.option("--first-split", default=0, show_default=True)
    @click.option("--encoder", help="As a classical tier's `encoder`.")
    @click.option("--draws", default=20, show_default=True)
    @click.option("--peer", "peers", default=5, show_default=True)
    @click.option("--times", multiple=True, type=int)
    @click.option("--only", multiple=True, default=SETS)
    @click.option("--json", "as_json", is_flag=True)
    def command(
        data: Path,
        splits: int,
        draws: int,
        peers: int,
        times: tuple[int, ...],
        only: tuple[str, ...],
        first_split: int,
        encoder: str | None,
        *,
        as_json: bool,
    ) -> None:
        if peers and importlib.util.find_spec("BARGAIN") is None:
            raise click.ClickException("--peer needs: pip install bargain==0.1.3")
        lines = []
        for name in only:
            started = time.monotonic()
            texts, labels = rows(data, name)
            vectors = None if encoder is None else encoded(texts, encoder)
            seeds = range(1000 + first_split, 1000 + first_split + splits)
            runs = [scored(texts, labels, seed, vectors) for seed in seeds]
            for line in cells(name, runs, draws, peers, times):
                lines.append(line)
                if not as_json:
                    show(line)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        drifts = [drift(0.1, times, good) for times in (1.0, 1.5, 2.0, 3.0) for good in (0, 500)]
        if as_json:
            print(json.dumps({"cells": lines, "drift": drifts}))
            return
        for way in lines[0].keys() - {"set", "target"}:
            print(f"mean of {len(lines)} cells, {way}: {np.mean([line[way]['avoided'] for line in lines]):.4f}")
        for one in drifts:
            print("drift", "  ".join(f"{what}={value}" for what, value in one.items()))

    command(arguments)


def show(line: dict[str, Any]) -> None:
    parts = [
        f"{way} {value['avoided']:.3f} ±{value['error']:.3f} ({value['violations']}/{value['draws']})"
        for way, value in line.items()
        if isinstance(value, dict)
    ]
    print(f"{line['set']:20} {line['target']:.2f}  " + "  ".join(parts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
