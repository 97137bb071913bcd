"""What tiers have learned, as files: one for each learning, named by its content, and the latest of each name.

::

    learned/
    ├── tickets@3fa91c0b77d2e8a5.npz    numbers only, read without executing anything
    └── tickets.json                    which of them a job that says `tickets` gets now
"""

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.domain.errors import ModelError
from pipeline.domain.learned import Learned, LearnedStep

DIGITS: Final = 16
"""Of the file's SHA-256, in its name."""
PINNED: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9.-]{0,59})(@(?P<digest>[0-9a-f]{16}))?")
_ABOUT = "about"
_AGAIN = "learn again: headrace learn JOB INPUT --labels FILE"


class Chooser(Protocol):
    """What chooses: Words, a Head, Both, or a Balance."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return all there is to keep."""
        ...


class _Latest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What was learned, and what chooses, by step; a step that only learned how sure to be has no chooser."""

    about: Learned
    choosers: Mapping[str, Chooser]


class LearnedFiles:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when something is kept."""
        self._folder = folder

    def keep(self, name: str, lesson: Lesson) -> str:
        """Write a lesson and make it the latest of its name; returns NAME@DIGEST. Raises ModelError."""
        arrays: dict[str, NDArray[Any]] = {
            f"{step}/{part}": array
            for step, chooser in lesson.choosers.items()
            for part, array in chooser.arrays().items()
        }
        arrays[_ABOUT] = np.frombuffer(lesson.about.model_dump_json().encode(), dtype=np.uint8)
        written = io.BytesIO()
        np.savez_compressed(written, allow_pickle=False, **arrays)
        content = _without_times(written.getvalue())
        digest = hashlib.sha256(content).hexdigest()[:DIGITS]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _replace(self._path(name, digest), content)
            _replace(self._folder / f"{name}.json", json.dumps({"digest": digest}).encode())
        except OSError as error:
            raise ModelError(f"{self._folder}: what was learned cannot be written: {error.strerror}") from None
        return f"{name}@{digest}"

    def pinned(self, name: str) -> str | None:
        """Return NAME@DIGEST of the latest lesson of a name, None where there is none; what has a digest stays."""
        if "@" in name:
            return name
        try:
            latest = _Latest.model_validate_json((self._folder / f"{name}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return f"{name}@{latest.digest}"

    def load(self, pinned: str) -> Lesson:
        """Read NAME@DIGEST; raises ModelError for a file that is missing, or is not what its name says."""
        with self._opened(pinned) as arrays:
            about = _about(arrays)
            choosers = {one.step: _chooser(one, arrays) for one in about.steps if one.way != "curve"}
        return Lesson(about=about, choosers=choosers)

    def about(self, pinned: str) -> Learned:
        """Read what NAME@DIGEST says of itself only; raises ModelError as `load` does."""
        with self._opened(pinned) as arrays:
            return _about(arrays)

    @contextlib.contextmanager
    def _opened(self, pinned: str) -> Iterator[Mapping[str, NDArray[Any]]]:
        name, _, digest = pinned.partition("@")
        path = self._path(name, digest)
        try:
            content = path.read_bytes()
        except OSError:
            raise ModelError(
                f"{pinned} was not learned on this machine: copy {path.name} into {path.parent}, or {_AGAIN}"
            ) from None
        if hashlib.sha256(content).hexdigest()[:DIGITS] != digest:
            raise ModelError(f"{path} is damaged: its content is not what its name says; {_AGAIN}")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                yield arrays
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, ValidationError):
            raise ModelError(f"{path} is none of this release's files; {_AGAIN}") from None

    def _path(self, name: str, digest: str) -> Path:
        return self._folder / f"{name}@{digest}.npz"


def _about(arrays: Mapping[str, NDArray[Any]]) -> Learned:
    return Learned.model_validate_json(arrays[_ABOUT].tobytes())


def _chooser(one: LearnedStep, arrays: Mapping[str, NDArray[Any]]) -> Chooser:
    # scikit-learn takes a second to import: only what answers or learns waits for it.
    from pipeline.adapters.learned.balance import Balance  # noqa: PLC0415
    from pipeline.adapters.learned.both import Both  # noqa: PLC0415
    from pipeline.adapters.learned.heads import Head  # noqa: PLC0415
    from pipeline.adapters.learned.words import Words  # noqa: PLC0415

    parts = {name.removeprefix(f"{one.step}/"): arrays[name] for name in arrays if name.startswith(f"{one.step}/")}
    if one.way == "balance":
        balance = Balance.of(parts)
        if len(balance.shift) != len(one.options):
            raise ValueError("it has other labels than it says")
        return balance
    kind = Words if one.way == "words" else Both if "weight" in parts else Head
    found: Words | Both | Head = kind.of(parts)
    if len(found.bias) != len(one.options) + 1:
        raise ValueError("it has other classes than it says")
    return found


def _without_times(content: bytes) -> bytes:
    """Write an archive again with no times in it, so that the same lesson has the same digest."""
    again = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    return again.getvalue()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
