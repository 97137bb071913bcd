"""People's labels of a run: handed out as a file, read back, and what they decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.flow.announcing import announce
from pipeline.flow.certify import advance
from pipeline.flow.labelling import labels_of
from pipeline.ports.labels import Which
from pipeline.ports.queue import Queue
from pipeline.ports.store import RunRecord, Store
from pipeline.wiring.samples import read_gold, write_to_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file of labels."""

    labels: int
    unknown_keys: tuple[str, ...]
    said: tuple[str, ...]
    """What was decided by them."""


def export_labels(store: Store, run: RunRecord, which: Sequence[Which], path: Path) -> int:
    """Write the texts of a run that people should look at; raises ConfigError where the file cannot be made."""
    texts: dict[str, str] = {}
    for one in which:
        for item in store.to_label(run.id, one):
            texts.setdefault(item.key, item.text)
    return write_to_label(run.job, texts.items(), path) if texts else 0


def import_labels(store: Store, queue: Queue, run: RunRecord, path: Path) -> Imported:
    """Keep a file's labels and decide what waited for them; raises ConfigError before anything is kept."""
    new = labels_of(run.job, read_gold(path, run.job), f"labels {path.name}")
    done = store.keep_labels(run.id, new)
    store.settle(run.id)
    advanced = advance(store, store.run(run.id))
    store.settle(run.id)
    announce(queue, store, run.id)
    return Imported(labels=done.kept, unknown_keys=done.unknown_keys, said=advanced.said)
