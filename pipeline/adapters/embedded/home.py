"""The HEADRACE_HOME folder: made for us alone, locked by one run at a time, keeper of the generated secrets.

::

    HOME/            0700 if we made it; the mode of a folder that we did not make is never changed
    ├── lock         held by the running `headrace up` or `headrace run`
    ├── secrets/     one generated password per file, 0600
    ├── run/         one JSON file per running child: number, port
    ├── logs/        one file per child, three older ones kept
    ├── valkey/      the queue's append-only file
    └── postgres/    the data of PostgreSQL; as root it belongs to the account that the server runs as (see `account`)
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.adapters.embedded.records import guard_of, read_record, start_time
from pipeline.domain.errors import ConfigError, HomeInUse

REDIS_SECRET = "redis-password"  # noqa: S105 - the name of a file, not a secret
DATABASE_SECRET = "postgres-password"  # noqa: S105 - the name of a file, not a secret
VALKEY = "valkey"
POSTGRES = "postgres"
_ONLY_US = 0o700
_SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class RunningServices:
    """Where the servers of a running `headrace up` listen; the addresses hold passwords and stay out of the repr."""

    role: str
    """What holds them: `up` and `run` are there for others too, `report` only for a moment."""
    redis_port: int
    database_port: int
    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)


def redis_url(password: str, port: int) -> str:
    """Return the address of the embedded Valkey for Celery and the redis client."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def database_url(password: str, port: int) -> str:
    """Return the address of the embedded PostgreSQL for SQLAlchemy with psycopg."""
    return f"postgresql+psycopg://headrace:{password}@127.0.0.1:{port}/headrace"


def open_home(path: Path) -> "Home":
    """Return the home at `path`, made 0700 if it does not exist yet.

    Raises:
        ConfigError: it cannot be made or used, belongs to another account, or anyone may write to it.

    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would fail on a parent that we may not read
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
    except FileExistsError:
        pass
    except OSError as error:
        message = f"cannot make {path}: {error.strerror}; set HEADRACE_HOME to a folder that you can write to"
        raise ConfigError(message) from error
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        message = f"{path} is not a folder that you can write to; set HEADRACE_HOME to one that is"
        raise ConfigError(message)
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        message = f"anyone on this machine may write to {path}; `chmod o-w` it, or set HEADRACE_HOME to a folder in it"
        raise ConfigError(message)
    return Home(path)


def make_private(folder: Path) -> None:
    """Make a folder of mode 0700, whatever the umask; FileExistsError if it is there."""
    folder.mkdir(mode=_ONLY_US)
    folder.chmod(_ONLY_US)


class Home:
    """An opened HEADRACE_HOME; see the module."""

    def __init__(self, path: Path) -> None:
        """Use an absolute path that exists; `open_home` sees to that."""
        self.path = path
        self._lock_depth = 0

    def folder(self, name: str) -> Path:
        """Return a folder of ours in the home, made 0700 if missing; ConfigError if it is another account's."""
        path = self.path / name
        try:
            make_private(path)
        except FileExistsError:
            if path.stat().st_uid != os.geteuid():
                message = f"{path} was made by another account; run as that one, or set HEADRACE_HOME to another folder"
                raise ConfigError(message) from None
        except OSError as error:
            message = f"cannot make {path}: {error.strerror}; free some space or set HEADRACE_HOME to another folder"
            raise ConfigError(message) from error
        return path

    @property
    def run_folder(self) -> Path:
        """Where running children are written down."""
        return self.folder("run")

    @property
    def log_folder(self) -> Path:
        """Where each child's output goes."""
        return self.folder("logs")

    @contextlib.contextmanager
    def lock(self, *, role: str = "up") -> Iterator[None]:
        """Hold the home for this process, in a role that others may read; the same `Home` may take it again inside.

        The lock is the kernel's and ends with the process that holds it, however that ends.

        Raises:
            HomeInUse: another process holds it; the message gives its number.

        """
        if self._lock_depth:
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1
            return
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            message = f"cannot write in {self.path}: {error.strerror}; set HEADRACE_HOME to a folder of your own"
            raise ConfigError(message) from error
        try:
            self._take(descriptor, role)
            self._lock_depth = 1
            try:
                yield
            finally:
                self._lock_depth = 0
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, role: str) -> None:
        """Lock the open file and write into it who we are."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = os.read(descriptor, 200).decode(errors="replace")
            holder = re.search(r'"pid": (\d+)', text)
            who = f"another headrace (pid {holder.group(1)})" if holder else "another headrace"
            message = f"{who} is using {self.path}; stop it or set HEADRACE_HOME to another folder"
            raise HomeInUse(message) from error
        except OSError as error:
            message = f"cannot lock {self.path}: {error.strerror}; set HEADRACE_HOME to a folder on a local disk"
            raise ConfigError(message) from error
        os.ftruncate(descriptor, 0)
        started = datetime.fromtimestamp(start_time(os.getpid()) or 0.0, UTC)
        note = {"pid": os.getpid(), "started": started.isoformat(timespec="seconds"), "role": role}
        os.pwrite(descriptor, json.dumps(note).encode(), 0)

    def secret(self, name: str) -> str:
        """Return the secret of that name, generated the first time (43 characters, safe in URLs).

        Raises:
            ConfigError: its file is open to others, empty, or not ours to read.

        """
        if not _SECRET_NAME.fullmatch(name):
            message = f"a secret's name is made of lower-case letters, digits, - and _, not {name!r}"
            raise ValueError(message)
        path = self.folder("secrets") / name
        if not path.exists():
            _store_secret(path, secrets.token_urlsafe(32))
        return _read_secret(path)

    def _role(self) -> str:
        """Return what the lock's holder wrote into it; `report`, which nobody joins, where that cannot be read."""
        try:
            return str(json.loads((self.path / "lock").read_text(encoding="utf-8"))["role"])
        except (OSError, ValueError, KeyError, TypeError):
            return "report"

    def running(self) -> RunningServices | None:
        """Return where the servers started in this home listen; None unless both run now and are ours."""
        ports = []
        for name in (VALKEY, POSTGRES):
            record = read_record(self.path / "run" / f"{name}.json")
            if record is None or guard_of(record) is None:
                return None
            ports.append(int(record["facts"]["port"]))
        redis_port, database_port = ports
        return RunningServices(
            role=self._role(),
            redis_port=redis_port,
            database_port=database_port,
            redis_url=redis_url(self.secret(REDIS_SECRET), redis_port),
            database_url=database_url(self.secret(DATABASE_SECRET), database_port),
        )


def _store_secret(path: Path, value: str) -> None:
    """Write a new secret so that its file is complete when it appears; one that came first stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(value)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _read_secret(path: Path) -> str:
    """Read a secret back if nobody else can."""
    try:
        mode, value = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the secret in {path}; run as the account that made it, or delete it and the data"
        raise ConfigError(message) from error
    if mode & 0o077:
        message = f"others may read the secret in {path} (mode {mode:04o}); change it back with `chmod 600`"
        raise ConfigError(message)
    if not value:
        message = f"the secret in {path} is empty; restore the file, or delete it and the data"
        raise ConfigError(message)
    return value
