"""Tuned files: a catalogue's model written again in this machine's fastest format, and the evidence for using it."""

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline.adapters.models.catalogue import CatalogueEntry
from pipeline.adapters.models.records import keep, kept

FOLDER: Final = "tuned"


class FormatSpeed(BaseModel):
    """How fast one format is here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    size_bytes: int
    read_tokens_per_s: float
    """512 tokens at once, median of three."""
    write_tokens_per_s: float
    """16 sequences at once."""


class ThreadSpeed(BaseModel):
    """How fast a number of threads is, in the format that was chosen."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    threads: int
    read_tokens_per_s: float
    write_tokens_per_s: float


class BatchSpeed(BaseModel):
    """How fast so many tokens at once are, in the format and with the threads that were chosen."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch_tokens: int
    read_tokens_per_s: float
    """Of 16 sequences of 64 tokens: what many short items come to."""


class Agreement(BaseModel):
    """How far answers of the tuned file and of the shipped one agree, on the same questions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sample: str
    answers: int
    same: float = Field(ge=0, le=1)
    """Share of equal answers."""
    median_change: float
    largest_change: float
    """Of the probability of the shipped file's answer, where the answers are equal."""
    shipped_accuracy: float | None = None
    tuned_accuracy: float | None = None
    """Against gold answers; None where the sample has none. Of heads: of what they choose on texts left out."""


class TunedRecord(BaseModel):
    """Source, result and evidence."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: str
    source_sha256: str
    format: str
    """`shipped`: no other format is better here."""
    sha256: str
    machine: str
    library: str
    speeds: tuple[FormatSpeed, ...]
    agreement: Agreement | None
    tuned_at: str
    heads: bool = False
    """Proved, and used, for tiers whose model has a head: its own answers were not looked at."""
    granted_cpus: int | None = None
    """When it was measured; None, here and below: the record is older than that measurement."""
    threads: int | None = None
    batch_tokens: int | None = None
    thread_speeds: tuple[ThreadSpeed, ...] = ()
    batch_speeds: tuple[BatchSpeed, ...] = ()

    def threads_of(self, granted_cpus: int) -> int | None:
        """Return the best number of threads; None where it was not measured with this many CPUs."""
        return self.threads if self.granted_cpus == granted_cpus else None

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return self.model_dump(mode="json")


def tuned_file(folder: Path, entry: CatalogueEntry, to: str) -> Path:
    """Return where a model lies in a format."""
    return folder / FOLDER / f"{entry.name}.{to}.gguf"


def _record_file(folder: Path, entry: CatalogueEntry, *, heads: bool) -> Path:
    return folder / FOLDER / f"{entry.name}{'.heads' if heads else ''}.json"


def write_record(folder: Path, entry: CatalogueEntry, record: TunedRecord) -> None:
    """Keep a record, whole or not at all; raises ModelError. One for heads is kept beside the other."""
    keep(_record_file(folder, entry, heads=record.heads), record)


def read_record(folder: Path, entry: CatalogueEntry, *, heads: bool = False) -> TunedRecord | None:
    """Return what is known of a model's tuning; None without a record, or with one of another source file."""
    record = kept(_record_file(folder, entry, heads=heads), TunedRecord)
    return record if record is not None and record.source_sha256 == entry.sha256 else None
