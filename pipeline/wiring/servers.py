"""Which Redis and Postgres: the user's own, those of a running `headrace up`, or embedded ones started for a while."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.adapters.embedded import Home, Services, open_home, start_services
from pipeline.adapters.postgres import grant_roles, migrate, role_statements
from pipeline.domain.errors import ConfigError, HomeInUse
from pipeline.settings import Settings
from pipeline.telemetry import logger
from pipeline.wiring.exposure import refuse_exposed

_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.1


class Role(StrEnum):
    """What a process wants of the embedded servers, and so whose it may use."""

    UP = "up"
    """Keeps them for everybody: must be the first."""
    RUN = "run"
    """Keeps them until its run is done, unless an `up` does."""
    REPORT = "report"
    """Needs them for a moment; nobody builds on those it starts."""


_JOINS = {Role.UP: frozenset[str](), Role.RUN: frozenset({"up"}), Role.REPORT: frozenset({"up", "run"})}


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Addresses (with passwords, so never shown), and the embedded servers if this process started them."""

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    home: Home = field(repr=False)
    services: Services | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a worker needs to find them."""
        return {"HEADRACE_REDIS_URL": self.redis_url, "HEADRACE_DATABASE_URL": self.database_url}


@contextlib.contextmanager
def servers(settings: Settings, role: Role, *, migrated: bool = False, joining: bool = False) -> Iterator[Servers]:
    """Find or start the servers; those that this process starts end with the context.

    `joining`: those of an `up` are used, where one is running, even by who would keep some for everybody otherwise.
    Embedded tables are always brought up to date; those of the user's own Postgres only with `migrated`, by commands
    that say so.

    Raises HomeInUse when another process holds the home in a way that cannot be joined or waited out.
    """
    home = open_home(settings.home)
    with contextlib.ExitStack() as cleanup:
        found = (_joined(home, Role.RUN) if joining else None) or _find(settings, home, role, cleanup)
        if migrated or found.services is not None:
            migrate(found.database_url)
        yield found


def make_roles(found: Servers) -> None:
    """Make the database's roles for producers, workers and readers; raises ConfigError where the user may not."""
    grant_roles(found.database_url)


def roles_script() -> str:
    """Return what `make_roles` does, for whoever keeps the database."""
    return "".join(f"{statement};\n" for statement in role_statements())


def running_servers(settings: Settings) -> Servers:
    """Return servers that somebody keeps up; raises ConfigError when there are none."""
    home = open_home(settings.home)
    found = _theirs(settings, home) or _joined(home, Role.REPORT)
    if found is None:
        raise ConfigError("no servers are running: start `headrace up`, or set the two URLs (see headrace --help)")
    return found


def _find(settings: Settings, home: Home, role: Role, cleanup: contextlib.ExitStack) -> Servers:
    found = _theirs(settings, home)
    until_s = time.monotonic() + _PATIENCE_S
    while found is None:
        found = _joined(home, role)
        if found is None:
            try:
                found = _started(settings, home, role, cleanup)
            except HomeInUse:
                # Somebody comes up, goes down, or looks something up: a moment later we know which.
                running = home.running()
                stays = running is not None and running.role != Role.REPORT
                if time.monotonic() > until_s or (stays and _joined(home, role) is None):
                    raise
                time.sleep(_LOOK_EVERY_S)
    return found


def _theirs(settings: Settings, home: Home) -> Servers | None:
    if settings.redis_url is None or settings.database_url is None:
        return None
    refuse_exposed(settings)
    return Servers(
        redis_url=settings.redis_url.get_secret_value(),
        database_url=settings.database_url.get_secret_value(),
        home=home,
    )


def _joined(home: Home, role: Role) -> Servers | None:
    running = home.running()
    if running is None or running.role not in _JOINS[role]:
        return None
    return Servers(redis_url=running.redis_url, database_url=running.database_url, home=home)


def _started(settings: Settings, home: Home, role: Role, cleanup: contextlib.ExitStack) -> Servers:
    services = cleanup.enter_context(
        start_services(
            home,
            log=logger(),
            redis_port=settings.redis_port,
            database_port=settings.postgres_port,
            role=role.value,
        )
    )
    return Servers(redis_url=services.redis_url, database_url=services.database_url, home=home, services=services)
