"""Which files an input names, what is in them, and that they stay as they were: globs, pipes, formats, digests."""

import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from pipeline.adapters.sources.streams import GZIP_MAGIC
from pipeline.domain.errors import ConfigError

STDIN = "-"
DELIMITERS = {"csv": ",", "tsv": "\t"}
FORMATS = ("csv", "tsv", "jsonl", "lines")
_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "lines",
    ".text": "lines",
    ".log": "lines",
}
_FOREIGN_MAGIC = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"PAR1": "a Parquet file",
}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF32_MARKS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file to read, as it was when it was opened first."""

    name: str
    """As the user gave it or the glob matched it; `-` is standard input."""
    path: Path
    format: str
    gzipped: bool
    size_bytes: int
    mtime_ns: int

    @contextmanager
    def opened(self) -> Iterator[FileIO]:
        """Open the stored bytes; raises ConfigError when they can't be read, or changed since the source was opened."""
        try:
            with self.path.open("rb", buffering=0) as file:
                self._same(file)
                yield file
                self._same(file)
        except OSError as error:
            msg = f"{self.name} can't be read: {error.strerror}"
            raise ConfigError(msg) from None

    def _same(self, file: FileIO) -> None:
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.mtime_ns):
            msg = f"{self.name} changed while it was read; submit it again when nothing writes to it any more"
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooling:
    """Where what can be read only once is kept while it is needed."""

    folder: Path
    stdin: BinaryIO

    def keep(self, name: str, stream: BinaryIO, spooled: list[Path]) -> Path:
        """Copy a stream into a new file that only this user can read, and add it to `spooled`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(prefix="input-", suffix=".spool", dir=self.folder)
            spooled.append(Path(path))
            with os.fdopen(handle, "wb") as copy:
                while chunk := stream.read(1024 * 1024):
                    copy.write(chunk)
        except OSError as error:
            msg = f"{name} can't be kept in {self.folder}: {error.strerror}; make room there, or give a file"
            raise ConfigError(msg) from None
        return Path(path)


def open_files(
    inputs: Sequence[str], *, form: str | None, encoding: str, spooling: Spooling, spooled: list[Path]
) -> tuple[InputFile, ...]:
    """Return the files that the inputs name, in order; copies that were made on the way are added to `spooled`."""
    if form is not None and form not in FORMATS:
        msg = f"format {form!r} is not known; use one of: {', '.join(FORMATS)}"
        raise ConfigError(msg)
    names = [name for given in inputs for name in _names(given)]
    if not names:
        msg = "no input was given; name files, patterns such as 'tickets/*.csv', or - for standard input"
        raise ConfigError(msg)
    # All of this before anything is copied: what can be read only once is empty the second time.
    _refuse_twice(names, spooling.stdin)
    formats = [form or _format(name) for name in names]
    return tuple(_open(name, kind, spooling, spooled, encoding) for name, kind in zip(names, formats, strict=True))


def _refuse_twice(names: Sequence[str], stdin: BinaryIO) -> None:
    """Raise ConfigError when two names stand for the same file, pipe or standard input."""
    seen: dict[object, str] = {}
    for name in names:
        place: object = name
        with suppress(OSError):  # no such file, or a stream without one: whatever is wrong is said on opening it
            status = os.fstat(stdin.fileno()) if name == STDIN else Path(name).stat()
            place = status.st_dev, status.st_ino
        if place in seen:
            other = "" if seen[place] == name else f" (the other time as {_printable(seen[place])})"
            what = "standard input" if name == STDIN else _printable(name)
            msg = f"{what} is given twice{other}; give each input once"
            raise ConfigError(msg)
        seen[place] = name


def _printable(name: str) -> str:
    """Return a file's name as text: a name need not be UTF-8, the store's text must."""
    return name.encode("utf-8", "backslashreplace").decode()


def _names(given: str) -> list[str]:
    if given == STDIN or Path(given).exists() or not glob.has_magic(given):
        return [given]
    matches = sorted(match for match in glob.glob(given, recursive=True) if not Path(match).is_dir())  # noqa: PTH207 — names stay as given
    if not matches:
        msg = f"no file matches {given!r}; mend the pattern, or quote it so that the shell leaves it alone"
        raise ConfigError(msg)
    return matches


def _format(name: str) -> str:
    ending = Path(name.lower().removesuffix(".gz")).suffix
    if name == STDIN or ending not in _ENDINGS:
        what = "standard input" if name == STDIN else f"{name}: its ending"
        known = ", ".join(_ENDINGS)
        choices = ", ".join(FORMATS)
        msg = f"{what} does not say what it holds; give --format: {choices} (known endings: {known}, each also .gz)"
        raise ConfigError(msg)
    return _ENDINGS[ending]


def _open(name: str, kind: str, spooling: Spooling, spooled: list[Path], encoding: str) -> InputFile:
    path = Path(name)
    try:
        if name == STDIN:
            path = spooling.keep("standard input", spooling.stdin, spooled)
        elif stat.S_ISFIFO(path.stat().st_mode):
            with path.open("rb") as pipe:
                path = spooling.keep(name, pipe, spooled)
        elif not path.is_file():
            pattern = f"a folder; name the files in it, or a pattern such as '{name.rstrip('/')}/*.csv'"
            msg = f"{name} is {pattern if path.is_dir() else 'neither a file nor a pipe; name one'}"
            raise ConfigError(msg)
        with path.open("rb") as file:
            head = file.read(8)
            status = os.fstat(file.fileno())
    except OSError as error:
        msg = f"{name} can't be read: {error.strerror}"
        raise ConfigError(msg) from None
    _refuse_foreign(name, head, encoding)
    return InputFile(
        name=_printable(name),
        path=path,
        format=kind,
        gzipped=head.startswith(GZIP_MAGIC),
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )


def _refuse_foreign(name: str, head: bytes, encoding: str) -> None:
    for magic, what in _FOREIGN_MAGIC.items():
        if head.startswith(magic):
            msg = f"{name} is {what}; give it as CSV, TSV, JSON Lines or text, plain or compressed with gzip"
            raise ConfigError(msg)
    if head.startswith(_UTF32_MARKS) and not encoding.startswith("utf-32"):
        msg = f"{name} is UTF-32; give --encoding utf-32"
        raise ConfigError(msg)
    if encoding == "utf-8" and head.startswith(_UTF16_MARKS):
        msg = f"{name} is UTF-16, not UTF-8; give --encoding utf-16"
        raise ConfigError(msg)


def content_digest(files: Sequence[InputFile], *, encoding: str, max_row_bytes: int) -> str:
    """Return SHA-256 over each file's bytes and over how they are read; what the files are called does not count."""
    whole = hashlib.sha256(f"headrace source 1\n{encoding}\n{max_row_bytes}\n{len(files)}\n".encode())
    for file in files:
        with file.opened() as stored:
            content = hashlib.file_digest(stored, "sha256").hexdigest()
        delimiter = DELIMITERS.get(file.format, "")
        whole.update(f"{file.format} {ord(delimiter) if delimiter else '-'} {file.size_bytes} {content}\n".encode())
    return whole.hexdigest()
