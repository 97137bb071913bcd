"""What a neighbour on the network could use of the addresses of the user's own servers: warned of, or refused."""

from pipeline.adapters.celery_queue import redis_exposures
from pipeline.adapters.postgres.address import postgres_exposures
from pipeline.domain.errors import ConfigError
from pipeline.domain.exposures import Exposure
from pipeline.settings import PREFIX, Settings
from pipeline.telemetry import logger

REQUIRE = PREFIX + "REQUIRE_TLS"


def exposures(settings: Settings) -> tuple[Exposure, ...]:
    """Return all there are; none where servers are embedded. Raises ConfigError for what is no address."""
    if settings.redis_url is None or settings.database_url is None:
        return ()
    return (
        *redis_exposures(settings.redis_url.get_secret_value()),
        *postgres_exposures(settings.database_url.get_secret_value()),
    )


def refuse_exposed(settings: Settings) -> None:
    """Raise ConfigError where the user wants TLS and passwords, and an address has none."""
    found = exposures(settings) if settings.require_tls else ()
    if found:
        raise ConfigError(f"{REQUIRE} is set: " + "; ".join(f"{one.seen} ({one.mend})" for one in found))


def warn_of_exposed(settings: Settings) -> None:
    """Log a warning for each; raises as `refuse_exposed`."""
    refuse_exposed(settings)
    for one in exposures(settings):
        logger().warning("server_exposed", reason=one.seen, mend=one.mend)
