"""Model files for the commands: what is there, what a job lacks, pulling and checking."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.models import HubSource, IndexSource, ModelListing, ModelState
from pipeline.domain.errors import ModelError
from pipeline.domain.job import Job
from pipeline.settings import Settings
from pipeline.wiring.engines import model_store

Show = Callable[[str, int, int, str], None]
"""Called with (title, done bytes, total bytes, a few words on what is being done)."""

_HERE = frozenset({ModelState.PRESENT, ModelState.VERIFIED, ModelState.DAMAGED})
_ASKING = {f"asking {label}": label for label in (HubSource.label, IndexSource.label)}
"""What a pull says when it turns to a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A model that is in place now, its hash checked."""

    name: str
    path: Path
    sha256: str
    source: str | None
    """Where it came from; None: it was here already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A model file whose hash was computed just now."""

    name: str
    """As it was asked for."""
    path: Path | None
    sha256: str | None
    known: bool
    """The catalogue vouches for the hash; a file of the user's own is only known to be a whole GGUF."""
    fault: str | None
    """What is wrong and what to do; None: nothing."""


def listed_models(settings: Settings, *, hashed: bool = False) -> tuple[ModelListing, ...]:
    """Return every model of the catalogue; with `hashed`, those that are here are read in full."""
    return model_store(settings).list(check_hashes=hashed)


def missing_models(job: Job, settings: Settings) -> tuple[ModelListing, ...]:
    """Return the job's models of the catalogue that are not on this machine, or not whole."""
    wanted = {tier.model_file.lower() for tier in job.tiers if tier.model_file is not None}
    return tuple(
        listing
        for listing in listed_models(settings)
        if listing.entry.name in wanted and listing.state is not ModelState.PRESENT
    )


def pull_models(names: Sequence[str], settings: Settings, show: Show) -> Iterator[Pulled]:
    """Bring models to this machine one after the other; raises ModelError before the first if a name is unknown."""
    store = model_store(settings)
    entries = [store.catalogue.entry(name) for name in dict.fromkeys(names)]
    for entry in entries:
        witness = _Witness(entry.name, show)
        resolved = store.pull(entry.name, witness)
        yield Pulled(name=entry.name, path=resolved.path, sha256=resolved.sha256, source=witness.source)


def pull_missing_models(job: Job, settings: Settings, show: Show) -> None:
    """Fetch the job's models that are in the catalogue and not here."""
    for _ in pull_models([listing.entry.name for listing in missing_models(job, settings)], settings, show):
        pass


def checked_models(names: Sequence[str], settings: Settings) -> Iterator[Checked]:
    """Hash the models of these names or paths, or all of the catalogue that are here."""
    store = model_store(settings)
    asked = list(dict.fromkeys(names)) or [listing.entry.name for listing in store.list() if listing.state in _HERE]
    vouched = {entry.sha256 for entry in store.catalogue}
    for name in asked:
        try:
            found = store.path(name)
        except ModelError as error:
            yield Checked(name=name, path=None, sha256=None, known=False, fault=str(error))
            continue
        yield Checked(name=name, path=found.path, sha256=found.sha256, known=found.sha256 in vouched, fault=None)


class _Witness:
    """Passes a pull's progress on, and remembers which source was asked last."""

    def __init__(self, name: str, show: Show) -> None:
        self._title = f"pulling {name}"
        self._show = show
        self.source: str | None = None

    def __call__(self, done_bytes: int, total_bytes: int, note: str) -> None:
        self.source = _ASKING.get(note, self.source)
        self._show(self._title, done_bytes, total_bytes, note)
