"""Addresses of servers: what is taken, what is told of it, and that none is ever quoted."""

import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.connection import Connection

from pipeline.adapters.celery_queue import celery_settings
from pipeline.adapters.celery_queue.address import (
    broker_ssl,
    broker_url,
    client_url,
    redis_exposures,
)
from pipeline.adapters.postgres.address import postgres_exposures, postgres_url
from pipeline.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("redis://:pw@h:6379/0", "redis://:pw@h:6379/0"),
        ("valkey://h", "redis://h"),
        ("rediss://:pw@h/1", "rediss://:pw@h/1?ssl_cert_reqs=required"),
        ("valkeys://h", "rediss://h?ssl_cert_reqs=required"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h?ssl_cert_reqs=none"),
        ("rediss://h?ssl_ca_certs=/a/ca.pem", "rediss://h?ssl_ca_certs=/a/ca.pem&ssl_cert_reqs=required"),
        ("redis+socket://:pw@/a/s?virtual_host=1", "redis+socket://:pw@/a/s?virtual_host=1"),
    ],
)
def test_an_address_of_redis_is_made_what_its_clients_know(url: str, known: str) -> None:
    assert broker_url(url) == known
    assert broker_url(known) == known, "once is enough"


def test_a_socket_has_another_name_for_redis_own_client() -> None:
    assert client_url("redis+socket://:pw@/a/s?virtual_host=1") == "unix://:pw@/a/s?db=1"


@pytest.mark.parametrize("url", ["rediss://:pw@h:6379/0", "valkeys://h", "rediss://h?ssl_ca_certs=/a/ca.pem"])
def test_celery_verifies_the_certificate_unless_it_is_told_not_to(url: str) -> None:
    """Kombu by itself takes any certificate for `rediss://`."""
    for told in (celery_settings(url)["broker_use_ssl"], False):
        connection = Connection(broker_url(url), ssl=told)
        assert connection.ssl is not None
        assert connection.ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED


def test_celery_and_flower_are_told_about_tls_beside_the_url() -> None:
    told = broker_ssl("rediss://h?ssl_ca_certs=/a/ca.pem&ssl_check_hostname=false")
    assert told == {"ssl_ca_certs": "/a/ca.pem", "ssl_check_hostname": False, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert broker_ssl("redis://h") is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost",
        "redis://[::1]:6379",
        "redis:///0",
        "redis+socket:///run/redis.sock",
        "rediss://:pw@h:6379/0",
        "rediss://:pw@h?ssl_ca_certs=/ca.pem",
    ],
)
def test_redis_on_this_machine_or_with_verified_tls_and_a_password_is_not_exposed(url: str) -> None:
    assert redis_exposures(url) == ()


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("redis://:hush@redis:6379/0", ["without TLS"]),
        ("redis://10.0.0.7", ["without TLS", "no password"]),
        ("rediss://redis", ["no password"]),
        ("rediss://:hush@redis?ssl_cert_reqs=none", ["not verified"]),
        ("rediss://:hush@redis?ssl_check_hostname=False", ["not verified"]),
        ("redis://:hush@localhost.evil.example", ["without TLS"]),
        ("redis://:hush@127.0.0.1.evil.example", ["without TLS"]),
    ],
)
def test_redis_elsewhere_is_exposed_without_tls_a_verified_certificate_or_a_password(url: str, seen: list[str]) -> None:
    found = redis_exposures(url)
    assert [word in one.seen for word, one in zip(seen, found, strict=True)] == [True] * len(seen)
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@localhost/h",
        "postgresql:///h",
        "postgresql:///h?host=/run/postgresql",
        "postgresql://me:pw@db/h?sslmode=verify-full",
        "postgresql+psycopg://me:pw@db/h?sslmode=require&sslrootcert=system",
        "postgresql://me@db/h?sslmode=verify-full&sslcert=/a&sslkey=/b",
    ],
)
def test_postgres_on_this_machine_or_with_verified_tls_and_a_password_is_not_exposed(url: str) -> None:
    assert postgres_exposures(url) == ()


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://me:hush@db/h", ["without TLS"]),
        ("postgresql://me:hush@db/h?sslmode=prefer", ["without TLS"]),
        ("postgresql://me:hush@db/h?sslmode=require", ["not verified"]),
        ("postgresql://me@db/h?sslmode=verify-full", ["no password"]),
        ("postgresql://me:hush@/h?host=127.0.0.1,db", ["without TLS"]),
        ("postgresql://me:hush@/h?host=db1:5432&host=db2:5432", ["without TLS"]),
    ],
)
def test_postgres_elsewhere_is_exposed_without_tls_a_verified_certificate_or_a_password(
    url: str, seen: list[str]
) -> None:
    found = postgres_exposures(url)
    assert [word in one.seen for word, one in zip(seen, found, strict=True)] == [True] * len(seen)
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    "url",
    ["redis://:hu/sh@h:6379/0", "redis://:hush@h:port/0", "redis://[hush", "hush", "amqp://me:hush@h", "redis:hush"],
)
def test_what_is_no_address_of_redis_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="HEADRACE_REDIS_URL") as caught:
        broker_url(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["hush", "postgresql://me:hush@h:port/d", "mysql://me:hush@h/d", "postgresql://"])
def test_what_is_no_address_of_postgres_is_refused_and_not_quoted(url: str) -> None:
    try:
        postgres_url(url)
    except ConfigError as error:
        assert "hush" not in str(error)  # noqa: PT017 — `postgresql://` alone is an address
        assert error.__cause__ is None  # noqa: PT017


@given(st.text(max_size=40), st.sampled_from(["redis://:", "rediss://", "postgresql://u:", "redis+socket://", ""]))
def test_no_text_at_all_breaks_the_reading_of_an_address(text: str, scheme: str) -> None:
    for read in (broker_url, client_url, broker_ssl, redis_exposures, postgres_url, postgres_exposures):
        with contextlib.suppress(ConfigError):
            read(scheme + text)
