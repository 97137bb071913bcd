"""Which Redis and Postgres: the user's own, those of a running `headrace up`, or embedded ones started for a while."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.adapters.embedded import Home, Services, open_home, start_services
from pipeline.adapters.postgres import migrate
from pipeline.settings import Settings
from pipeline.telemetry import logger


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
def servers(settings: Settings, *, migrated: bool = True) -> Iterator[Servers]:
    """Find or start the servers, and with `migrated` bring the tables up to date.

    Servers that this process starts end with the context. Tables of the user's own Postgres are migrated only by the
    commands that say so (`up`, `run`, `migrate`): those pass `migrated`.
    """
    home = open_home(settings.home)
    with contextlib.ExitStack() as cleanup:
        found = _find(settings, home, cleanup)
        if migrated or found.services is not None:
            migrate(found.database_url)
        yield found


def _find(settings: Settings, home: Home, cleanup: contextlib.ExitStack) -> Servers:
    if settings.redis_url is not None and settings.database_url is not None:
        return Servers(
            redis_url=settings.redis_url.get_secret_value(),
            database_url=settings.database_url.get_secret_value(),
            home=home,
        )
    running = home.running()
    if running is not None:
        return Servers(redis_url=running.redis_url, database_url=running.database_url, home=home)
    services = cleanup.enter_context(
        start_services(home, log=logger(), redis_port=settings.redis_port, database_port=settings.postgres_port)
    )
    return Servers(redis_url=services.redis_url, database_url=services.database_url, home=home, services=services)
