"""Both servers, up and ready, in one call, and down again in order."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from pipeline.adapters.embedded import logs, postgres, valkey
from pipeline.adapters.embedded.account import find_place
from pipeline.adapters.embedded.binaries import postgres_binaries, reachable
from pipeline.adapters.embedded.home import DATABASE_SECRET, REDIS_SECRET, Home, database_url, redis_url
from pipeline.adapters.embedded.ports import pick_port
from pipeline.adapters.embedded.records import stop_leftovers
from pipeline.adapters.embedded.supervisor import Child, ChildExit, Supervisor
from pipeline.domain.errors import ServiceError

_MIB = 1024**2
_NEED_FREE_MIB = 300
_READY_WITHIN_S = 300.0  # after a crash PostgreSQL replays up to 2 GB of its log
_LOOK_EVERY_S = 0.03
_PORT_TRIES = 5
_PORT_TAKEN = "Address already in use"


class Log(Protocol):
    """What we need of a structlog logger."""

    def info(self, event: str, *args: Any, **kw: Any) -> Any:  # noqa: ANN401 — structlog's own signature
        """Log an event with its fields."""


class Services:
    """The running servers; a context manager that stops them. `start_services` makes one."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        redis: tuple[str, int],
        database: tuple[str, int],
        cleanup: contextlib.ExitStack,
    ) -> None:
        """Take addresses (with passwords) and ports, and what is to be undone at the end."""
        self.redis_url, self.redis_port = redis
        self.database_url, self.database_port = database
        self._supervisor = supervisor
        self._cleanup = cleanup

    def __repr__(self) -> str:
        """Show the ports, never the passwords."""
        return f"Services(redis_port={self.redis_port}, database_port={self.database_port})"

    def poll(self) -> list[ChildExit]:
        """Return which server ended since the last call; a later call starts it again, on its port, after a pause."""
        return self._supervisor.poll()

    def stop(self) -> None:
        """Stop PostgreSQL, then Valkey, and let go of the home; safe to call again."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        """Return the services themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop both."""
        self.stop()


def start_services(
    home: Home,
    *,
    log: Log | None = None,
    redis_port: int | None = None,
    database_port: int | None = None,
    need_free_mib: int = _NEED_FREE_MIB,
    role: str = "up",
) -> Services:
    """Start Valkey and PostgreSQL in `home` and return when both answer; holds the home's lock until they are stopped.

    Call it before any other child is started in this home: it ends what a killed run left there. Without a port, a free
    one is picked.

    Raises:
        HomeInUse: another process holds the home.
        ConfigError: its secrets are not safe.
        ServiceError: the disk is full, a given port is taken, or a server does not start; the message says which
            and what to do, and quotes the end of its log.

    """
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(home.lock(role=role))
        _check_space(home, need_free_mib)
        supervisor = Supervisor(run_folder=home.run_folder, log_folder=home.log_folder)
        cleanup.callback(supervisor.stop)
        start = _Start(home=home, supervisor=supervisor, log=log)
        try:
            left = stop_leftovers(home.run_folder)
            if left and log is not None:
                log.info("leftovers_stopped", services=left)
            redis = _start_valkey(start, redis_port)
            database = _start_postgres(start, database_port, cleanup)
        except OSError as error:
            message = (
                f"cannot use {home.path}: {error.strerror}; free some space or set HEADRACE_HOME to another folder"
            )
            raise ServiceError(message) from error
        return Services(supervisor=supervisor, redis=redis, database=database, cleanup=cleanup.pop_all())


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What bringing up a server needs."""

    home: Home
    supervisor: Supervisor
    log: Log | None
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def secret(self, name: str) -> str:
        """Return a secret, and remember to mask it in what we quote."""
        return self.secrets.setdefault(name, self.home.secret(name))

    def bring_up(self, fixed_port: int | None, make: Callable[[int], Child], answers: Callable[[int], bool]) -> int:
        """Start a server, wait for its answer and return its port; tried again if someone else got the port first."""
        for tries_left in reversed(range(_PORT_TRIES)):
            began_s = time.monotonic()
            child = make(pick_port(fixed_port))
            name, port = child.name, int(child.facts["port"])
            self.supervisor.start(child)
            exit_code = self._wait(name, port, answers)
            if exit_code is None:
                if self.log is not None:
                    self.log.info(
                        "service_ready", service=name, port=port, seconds=round(time.monotonic() - began_s, 2)
                    )
                return port
            self.supervisor.stop_one(name)
            if not tries_left or _PORT_TAKEN not in self._log_end(name):
                break
        message = f"{name} ended at its start (exit code {exit_code}); the end of {self._log_end(name)}"
        raise ServiceError(message)

    def _wait(self, name: str, port: int, answers: Callable[[int], bool]) -> int | None:
        """Wait until the server answers (None) or ends (its exit code)."""
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline_s:
            exit_code = self.supervisor.exit_code(name)
            if exit_code is not None:
                return exit_code
            if self.supervisor.listens(name, port) and answers(port):  # no password to a stranger on the port
                return None
            time.sleep(_LOOK_EVERY_S)
        message = f"{name} does not answer after {_READY_WITHIN_S:.0f} s; the end of {self._log_end(name)}"
        raise ServiceError(message)

    def _log_end(self, name: str) -> str:
        """Return a server's log file and its last lines, secrets masked."""
        path = self.supervisor.log_path(name)
        return f"{path}:\n{logs.tail(path, mask=tuple(self.secrets.values()))}"


def _start_valkey(start: _Start, fixed_port: int | None) -> tuple[str, int]:
    """Start Valkey; return its address and port."""
    password = start.secret(REDIS_SECRET)
    port = start.bring_up(
        fixed_port,
        lambda port: valkey.valkey_child(start.home, port),
        lambda port: valkey.answers(redis_url(password, port)),
    )
    return redis_url(password, port), port


def _start_postgres(start: _Start, fixed_port: int | None, cleanup: contextlib.ExitStack) -> tuple[str, int]:
    """Start PostgreSQL, making its data the first time; return its address and port."""
    password = start.secret(DATABASE_SECRET)
    place = find_place(start.home)
    binaries = cleanup.enter_context(reachable(start.home, postgres_binaries(), place.account))
    cleanup.callback(start.supervisor.stop)  # again, and first: a copy of the programs goes only after the server
    postgres.prepare_data(start.home, place, binaries, start.supervisor)
    port = start.bring_up(
        fixed_port,
        lambda port: postgres.postgres_child(place, binaries, port),
        lambda port: postgres.answers(password, port),
    )
    return database_url(password, port), port


def _check_space(home: Home, need_free_mib: int) -> None:
    """Refuse a disk so full that the servers would fail half-way."""
    free_mib = shutil.disk_usage(home.path).free // _MIB
    if free_mib < need_free_mib:
        message = (
            f"{free_mib} MiB are free in {home.path} and {need_free_mib} MiB are needed; "
            "free some space or set HEADRACE_HOME to a folder on another disk"
        )
        raise ServiceError(message)
