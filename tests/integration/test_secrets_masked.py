"""A secret is in no repr, no error, no log and no answer of a command, whatever it is made of."""

import contextlib
import io
import json
import logging
import traceback
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import telemetry
from pipeline.adapters.celery_queue import CeleryQueue, celery_settings
from pipeline.adapters.embedded import Home, Services, open_home, start_services
from pipeline.adapters.embedded.home import RunningServices
from pipeline.adapters.embedded.supervisor import Child
from pipeline.adapters.openai_compatible import OpenAIEngine
from pipeline.adapters.postgres import PostgresStore
from pipeline.adapters.postgres.address import postgres_url
from pipeline.domain.errors import HeadraceError
from pipeline.settings import load_settings
from pipeline.wiring.checkup import checkup
from pipeline.wiring.servers import Servers
from pipeline.wiring.stack import FlowerAddress
from tests.integration.conftest import Run

# Of signs that nothing else around it is made of, so that finding it means something.
SECRETS = st.text("QXZ7@/:?#%&=\\\"' é{}[]*", min_size=3, max_size=16).map(lambda middle: f"ZQ{middle}QZ")
_KEYS = st.text("QXZ7-_", min_size=8, max_size=20)


def _escaped(secret: str) -> str:
    return urllib.parse.quote(secret, safe="")


def _has(shown: str, secret: str) -> bool:
    return (
        secret in shown or _escaped(secret) in shown or json.dumps(secret)[1:-1] in shown or repr(secret)[1:-1] in shown
    )


@given(secret=SECRETS)
def test_no_repr_of_what_holds_a_secret_shows_it(secret: str) -> None:
    redis, postgres = f"redis://:{_escaped(secret)}@h:6379/0", f"postgresql://me:{_escaped(secret)}@h/d"
    held = load_settings({"HEADRACE_REDIS_URL": redis, "HEADRACE_DATABASE_URL": postgres})
    celery = celery_settings(redis)
    with contextlib.closing(PostgresStore(postgres)) as store, contextlib.closing(CeleryQueue(redis)) as queue:
        shown = "\n".join(
            f"{thing!r} {thing}"
            for thing in (
                held,
                held.model_dump(),
                held.model_dump_json(),
                Servers(redis_url=redis, database_url=postgres, home=Home(Path("/none"))),
                FlowerAddress(url="http://h", user="u", password=secret),
                Child(name="c", argv=("a",), env={"HEADRACE_REDIS_URL": redis}),
                RunningServices(role="up", redis_port=1, database_port=2, redis_url=redis, database_url=postgres),
                store,
                queue,
                postgres_url(postgres),
                queue._app,
                queue._app.conf,
                celery,
                queue._app.conf.table(with_defaults=True, censored=True),
                queue._app.connection_for_write(),
            )
        )
    assert celery["broker_url"] == redis
    assert not _has(shown, secret)


@given(key=_KEYS)
def test_no_repr_of_an_engine_shows_its_key(key: str) -> None:
    engine = OpenAIEngine(
        model="m",
        base_url="http://127.0.0.1:9/v1",
        api_key=key,
        azure_api_version=None,
        context_tokens=100,
        max_text_tokens=None,
        max_answer_tokens=10,
        concurrency=1,
        timeout_s=1.0,
        retries=0,
        pace=None,
    )
    try:
        assert key not in f"{engine!r} {engine} {vars(engine)!r}"
    finally:
        engine.close()


@given(secret=SECRETS.filter(lambda secret: " " not in secret))
def test_no_address_in_a_log_shows_its_password(secret: str) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    telemetry.configure(level="debug", style="json", stream=stream)
    for written in (secret, _escaped(secret)):
        telemetry.logger().debug(f"at redis://:{written}@h/0", reason=f"postgresql://me:{written}@h/d is down")
        logging.getLogger("celery").error("lost %s", f"redis://me:{written}@h")
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    assert not _has(stream.getvalue(), secret)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with start_services(open_home(tmp_path_factory.mktemp("masked") / "home")) as services:
        yield services


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRETS)
def test_no_error_of_a_wrong_password_shows_it(running: Services, tmp_path: Path, secret: str) -> None:
    redis = f"redis://:{_escaped(secret)}@127.0.0.1:{running.redis_port}/0"
    postgres = f"postgresql://headrace:{_escaped(secret)}@127.0.0.1:{running.database_port}/headrace"
    told = []
    with contextlib.closing(CeleryQueue(redis)) as queue, contextlib.closing(PostgresStore(postgres)) as store:
        for connect in (queue.ping, lambda: queue.depth("x"), lambda: store.find_run("last")):
            with pytest.raises(HeadraceError) as caught:
                connect()
            told.append("".join(traceback.format_exception(caught.value)) + repr(caught.value))
    held = load_settings(
        {"HEADRACE_REDIS_URL": redis, "HEADRACE_DATABASE_URL": postgres, "HEADRACE_HOME": str(tmp_path / "home")}
    )
    found = {one.name: json.dumps(one.as_json()) for one in checkup(held)}
    assert '"failure"' in found["redis"]
    assert '"failure"' in found["postgres"]
    assert not _has("\n".join([*told, *found.values()]), secret)


def test_commands_with_a_wrong_password_do_not_show_it(
    running: Services, headrace: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_LOG_LEVEL", "debug")
    monkeypatch.setenv("HEADRACE_REDIS_URL", f"redis://:ZQhushQZ@127.0.0.1:{running.redis_port}/0")
    monkeypatch.setenv("HEADRACE_DATABASE_URL", f"postgresql://me:ZQhushQZ@127.0.0.1:{running.database_port}/h")
    for words in (("status",), ("doctor", "--json"), ("sweep",), ("migrate",), ("results", "last"), ("budget", "last")):
        code, shown, told = headrace(*words)
        assert code in {2, 3}, words
        assert "ZQhushQZ" not in shown + told, words


@pytest.mark.parametrize("url", ["redis://:ZQhu/shQZ@h:1/0", "redis://:ZQhushQZ@h:port/0", "redis://:ZQ#hushQZ@h"])
def test_an_address_that_is_not_well_formed_is_not_quoted_by_any_command(
    headrace: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HEADRACE_REDIS_URL", url)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://me:ZQhushQZ@h:port/d")
    for words in (("status",), ("doctor", "--json"), ("sweep",)):
        code, shown, told = headrace(*words)
        assert code == 2, words
        assert "ZQ" not in shown + told, words
