"""TLS for real: Redis and Postgres behind certificates that are trusted, unknown, or somebody else's."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pipeline.adapters.celery_queue import CeleryQueue
from pipeline.adapters.embedded import Services, open_home, start_services
from pipeline.adapters.postgres import PostgresStore, migrate
from pipeline.adapters.postgres.address import postgres_url
from pipeline.adapters.redis_probe import redis_facts
from pipeline.domain.errors import HeadraceError, QueueUnavailable, RunNotFound, StoreUnavailable
from pipeline.ports.store import ChunkNotice
from tests.integration.tls import Certificates, certificates, tls_before

NOTICE = ChunkNotice(chunk_id=7, run_name="r", tier="small", pool="tier.small.0", items=3)


@dataclass(frozen=True, kw_only=True)
class Behind:
    """Servers behind TLS, and the authorities that are and are not theirs."""

    services: Services
    redis_port: int
    postgres_port: int
    ours: Certificates
    others: Certificates
    misnamed_redis_port: int
    misnamed_postgres_port: int

    def redis(self, query: str, *, port: int | None = None) -> str:
        password = self.services.redis_url.split("://:")[1].split("@")[0]
        return f"rediss://:{password}@localhost:{port or self.redis_port}/0{query}"

    def postgres(self, query: str, *, port: int | None = None) -> str:
        url = postgres_url(self.services.database_url)
        at = url.set(host="localhost", port=port or self.postgres_port)
        return at.render_as_string(hide_password=False) + query


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("tls")
    ours, others = certificates(folder / "ours"), certificates(folder / "others")
    misnamed = certificates(folder / "misnamed", name="db.example")
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(start_services(open_home(folder / "home")))
        migrate(running.database_url)
        redis = int(running.redis_url.rsplit(":", 1)[1].split("/")[0])
        postgres = postgres_url(running.database_url).port or 0
        yield Behind(
            services=running,
            redis_port=stack.enter_context(tls_before(redis, ours)),
            postgres_port=stack.enter_context(tls_before(postgres, ours, postgres=True)),
            ours=ours,
            others=others,
            misnamed_redis_port=stack.enter_context(tls_before(redis, misnamed)),
            misnamed_postgres_port=stack.enter_context(tls_before(postgres, misnamed, postgres=True)),
        )


def _publish(url: str) -> int:
    with contextlib.closing(CeleryQueue(url)) as queue:
        queue.publish([NOTICE])
        return queue.depth(NOTICE.pool)


def test_the_queue_works_over_tls_with_a_trusted_authority(behind: Behind) -> None:
    before = _publish(behind.redis(f"?ssl_ca_certs={behind.ours.authority}"))
    assert _publish(behind.redis(f"?ssl_ca_certs={behind.ours.authority}")) == before + 1


@pytest.mark.parametrize("reqs", ["", "&ssl_cert_reqs=required", "&ssl_cert_reqs=CERT_REQUIRED"])
def test_the_queue_refuses_a_certificate_of_an_unknown_authority(behind: Behind, reqs: str) -> None:
    url = behind.redis(f"?ssl_ca_certs={behind.others.authority}{reqs}")
    with contextlib.closing(CeleryQueue(url)) as queue:
        with pytest.raises(QueueUnavailable):
            queue.publish([NOTICE])
        with pytest.raises(QueueUnavailable):
            queue.ping()


def test_a_plain_rediss_address_verifies_too(behind: Behind) -> None:
    """No authority of this machine's knows the certificate; kombu by itself would take it."""
    with contextlib.closing(CeleryQueue(behind.redis(""))) as queue:
        with pytest.raises(QueueUnavailable):
            queue.publish([NOTICE])
        with pytest.raises(QueueUnavailable):
            queue.ping()


def test_the_queue_refuses_a_certificate_of_another_name(behind: Behind) -> None:
    misnamed = behind.ours.authority.parent.parent / "misnamed" / "ca.pem"
    with pytest.raises(QueueUnavailable):
        _publish(behind.redis(f"?ssl_ca_certs={misnamed}", port=behind.misnamed_redis_port))


def test_whoever_says_so_gets_tls_without_verification(behind: Behind) -> None:
    assert _publish(behind.redis("?ssl_cert_reqs=none")) > 0


def _known(url: str) -> None:
    with contextlib.closing(PostgresStore(url)) as store, pytest.raises(RunNotFound):
        store.find_run("none")


def test_the_store_works_over_tls_with_a_trusted_authority(behind: Behind) -> None:
    _known(behind.postgres(f"?sslmode=verify-full&sslrootcert={behind.ours.authority}"))


@pytest.mark.parametrize(
    ("authority", "misnamed"), [("others", False), ("misnamed", True)], ids=["unknown authority", "another name"]
)
def test_the_store_refuses_a_certificate_that_does_not_hold(behind: Behind, authority: str, misnamed: bool) -> None:  # noqa: FBT001 — a parameter
    # "misnamed": the authority that signed it is trusted, and the name in it is another one.
    file = behind.ours.authority.parent.parent / authority / "ca.pem"
    url = behind.postgres(
        f"?sslmode=verify-full&sslrootcert={file}", port=behind.misnamed_postgres_port if misnamed else None
    )
    with contextlib.closing(PostgresStore(url)) as store, pytest.raises(StoreUnavailable):
        store.find_run("none")


def test_a_check_up_says_that_it_is_the_certificate(behind: Behind) -> None:
    with pytest.raises(HeadraceError, match="certificate"):
        redis_facts(behind.redis("?ssl_cert_reqs=required"))


def test_no_secret_is_in_what_a_refused_certificate_raises(behind: Behind) -> None:
    password = behind.services.redis_url.split("://:")[1].split("@")[0]
    with pytest.raises(QueueUnavailable) as caught, contextlib.closing(CeleryQueue(behind.redis(""))) as queue:
        queue.ping()
    assert password not in repr(caught.value)
    assert caught.value.__cause__ is None
