"""Secrets and customer text reach no log line, whoever logs them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pipeline import telemetry


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Configure logs as JSON into a buffer, and leave the process as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    telemetry.configure(level="debug", style="json", stream=stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_an_event_keeps_its_name_and_fields_and_gets_a_level_and_a_time(log: io.StringIO) -> None:
    telemetry.logger().info("chunk_judged", chunk=7, tier="small")
    (line,) = lines(log)
    assert line.items() >= {"event": "chunk_judged", "chunk": 7, "tier": "small", "level": "info"}.items()
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("url", ["redis://:hush@db:6379/0", "postgresql+psycopg://me:hush@db/headrace"])
def test_the_password_of_an_address_is_masked_in_fields_and_in_the_event(log: io.StringIO, url: str) -> None:
    telemetry.logger().warning(f"cannot reach {url}", reason=f"{url} is down", n=1)
    assert "hush" not in log.getvalue()
    assert lines(log)[0]["reason"].count(telemetry.MASK) == 1


@pytest.mark.parametrize("name", ["password", "flower_password", "api_key", "openai_api_key", "token", "Authorization"])
def test_fields_that_are_named_like_secrets_are_masked(log: io.StringIO, name: str) -> None:
    telemetry.logger().info("started", **{name: "hush"})
    assert lines(log)[0][name] == telemetry.MASK


@pytest.mark.parametrize("name", ["text", "texts", "body", "answer", "prompt", "content", "value"])
def test_fields_that_could_hold_customer_text_are_masked(log: io.StringIO, name: str) -> None:
    telemetry.logger().info("asked", **{name: "my card was charged twice"})
    assert lines(log)[0][name] == telemetry.MASK


@pytest.mark.parametrize("name", ["tokens_in", "tokens_out", "context_tokens"])
def test_counts_of_tokens_are_no_secrets(log: io.StringIO, name: str) -> None:
    telemetry.logger().info("called", **{name: 12})
    assert lines(log)[0][name] == 12


def test_what_libraries_log_is_masked_too(log: io.StringIO) -> None:
    logging.getLogger("celery.worker").warning("lost the connection to %s", "redis://:hush@db:6379/0")
    (line,) = lines(log)
    assert "hush" not in log.getvalue()
    assert line["level"] == "warning"


def test_what_libraries_log_below_a_warning_is_left_out(log: io.StringIO) -> None:
    logging.getLogger("httpx").info("POST with a body")
    assert log.getvalue() == ""


def test_events_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    telemetry.configure(level="warning", style="json", stream=stream)
    telemetry.logger().info("seldom_wanted")
    telemetry.logger().error("always_wanted")
    structlog.reset_defaults()
    assert [line["event"] for line in lines(stream)] == ["always_wanted"]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:hush@db/0", "redis://:***@db/0"),
        ("postgresql://me:hu:sh@db/h and redis://:hush@db", "postgresql://me:***@db/h and redis://:***@db"),
        ("redis://:hu@sh/@db/0", "redis://:***@db/0"),
        ("postgresql://me@db/h?password=hush&x=1", "postgresql://me@db/h?password=***&x=1"),
        ("https://example.org/a?b=c", "https://example.org/a?b=c"),
        ("no address at all", "no address at all"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, masked: str) -> None:
    assert telemetry.mask_urls(text) == masked
