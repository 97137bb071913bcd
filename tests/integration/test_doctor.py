"""`headrace doctor` finds what would fail, says how to mend it, shows no secret and disturbs nothing."""

import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest
import redis
import structlog

from pipeline import samples
from pipeline.adapters.embedded import Services, open_home, start_services
from pipeline.adapters.llama.probe import library_facts
from pipeline.cli import main
from pipeline.domain.errors import ModelError
from pipeline.domain.tiers import Tier
from pipeline.settings import load_settings
from pipeline.wiring import engine_for
from tests.integration.openai_server import OpenAIServer

Findings: TypeAlias = dict[str, dict[str, Any]]
Doctor: TypeAlias = Callable[..., tuple[int, Findings, str]]

STEPS = '[[steps]]\nname = "mood"\nkind = "sentiment"\n'


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """Put back what `main` sets for the whole process."""
    root = logging.getLogger()
    handlers, level, on_stop = list(root.handlers), root.level, signal.getsignal(signal.SIGTERM)
    yield
    root.handlers[:], root.level = handlers, level
    signal.signal(signal.SIGTERM, on_stop)
    structlog.reset_defaults()


@pytest.fixture(scope="module", autouse=True)
def model(model_path: Callable[[str], Path]) -> Path:
    """Return a real model's file, found before any test says that models lie elsewhere."""
    return model_path("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor") / "home"


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Services]:
    """Run the servers of this home, as `headrace up` does."""
    with start_services(open_home(home)) as running:
        yield running


@pytest.fixture
def doctor(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that runs `headrace doctor --json`: exit code, findings by name, everything shown."""
    monkeypatch.setenv("HEADRACE_HOME", str(home))
    for name in ("HEADRACE_REDIS_URL", "HEADRACE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*argv: str) -> tuple[int, Findings, str]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--json", *argv])
        shown = capsys.readouterr()
        document = json.loads(shown.out)
        assert document["ok"] is (ended.value.code == 0)
        assert all(one["mend"] for one in document["findings"] if one["level"] == "warning")
        assert isinstance(ended.value.code, int)
        return ended.value.code, {one["name"]: one for one in document["findings"]}, shown.out + shown.err

    return run


def job_file(folder: Path, tiers: str, steps: str = STEPS) -> str:
    path = folder / "job.toml"
    path.write_text(f'name = "tickets"\n{steps}{tiers}', encoding="utf-8")
    return str(path)


def endpoint(base_url: str, model: str = "some-model") -> str:
    return (
        f'[[tiers]]\nname = "large"\nengine = "openai"\nmodel = "{model}"\nbase_url = "{base_url}"\n'
        'api_key_env = "SOME_KEY"\nprice = "gpt-4o"\n'
    )


def test_where_nothing_runs_the_servers_are_tried_and_nothing_is_left_running(doctor: Doctor, home: Path) -> None:
    code, found, _ = doctor()
    assert code == 0
    assert found.keys() >= {"python", "settings", "home", "binaries", "redis", "postgres", "processor", "memory"}
    assert "started for this check" in found["redis"]["seen"]
    assert found["redis"]["level"] == found["postgres"]["level"] == found["llama.cpp"]["level"] == "ok"
    assert open_home(home).running() is None
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(home) in str(process.info["cmdline"])]


def test_servers_that_run_are_asked_and_left_alone(doctor: Doctor, up: Services, home: Path) -> None:
    records = {path.name: path.read_text() for path in (home / "run").iterdir()}
    code, found, shown = doctor()
    assert code == 0
    assert "running" in found["redis"]["seen"]
    assert {path.name: path.read_text() for path in (home / "run").iterdir()} == records
    assert up.poll() == []
    assert up.redis_url.split("@")[0].removeprefix("redis://:") not in shown


def test_a_home_that_another_process_is_just_starting_in_is_left_alone(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "busy"))
    with open_home(tmp_path / "busy").lock():
        code, found, _ = doctor()
    assert code == 0
    assert found["servers"]["level"] == "warning"
    assert str(os.getpid()) in found["servers"]["seen"]


def test_servers_of_the_users_own_are_asked_and_their_passwords_not_shown(
    doctor: Doctor, up: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS_URL", up.redis_url)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", up.database_url)
    client = redis.Redis.from_url(up.redis_url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        code, found, shown = doctor()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.close()
    assert code == 0
    assert (found["redis"]["level"], found["postgres"]["level"]) == ("warning", "ok")
    assert "allkeys-lru" in found["redis"]["seen"]
    for url in (up.redis_url, up.database_url):
        assert url.rpartition("@")[0].rpartition(":")[2] not in shown


def test_servers_that_do_not_answer_end_with_2(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound and not listening: whoever connects is refused
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        monkeypatch.setenv("HEADRACE_REDIS_URL", f"redis://:hush@127.0.0.1:{port}/0")
        monkeypatch.setenv("HEADRACE_DATABASE_URL", f"postgresql://me:hush@127.0.0.1:{port}/h")
        code, found, shown = doctor()
    assert code == 2
    assert (found["redis"]["level"], found["postgres"]["level"]) == ("failure", "failure")
    assert "HEADRACE_REDIS_URL" in found["redis"]["mend"]
    assert "hush" not in shown


@pytest.mark.usefixtures("up")
def test_the_sample_job_on_a_machine_without_its_models_names_the_command_that_fetches_them(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_MODELS", str(tmp_path))
    code, found, _ = doctor(str(samples.path("tickets.toml")))
    assert code == 2
    assert found["job"]["level"] == found["prices"]["level"] == found["thresholds"]["level"] == "ok"
    assert "headrace models pull qwen2.5-coder-0.5b-instruct" in found["model of small"]["seen"]


@pytest.mark.usefixtures("up")
def test_a_model_that_is_here_is_hashed_and_its_memory_estimated(doctor: Doctor, tmp_path: Path, model: Path) -> None:
    tier = f'[[tiers]]\nname = "small"\nengine = "llama"\nmodel = "{model}"\n'
    code, found, _ = doctor(job_file(tmp_path, tier))
    assert code == 0
    assert found["model of small"]["level"] == "ok"
    assert "GB" in found["memory of the job"]["seen"]
    assert (found["prices"]["level"], found["thresholds"]["level"]) == ("warning", "ok")


def test_a_job_that_does_not_fit_into_memory_is_refused_with_the_numbers_and_the_way_out(
    doctor: Doctor, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "small"))
    tier = '[[tiers]]\nname = "{}"\nengine = "llama"\nmodel = "{}"\n'
    job = job_file(tmp_path, tier.format("small", model) + tier.format("large", model))
    code, found, _ = doctor(job)
    assert code == 0
    assert "need about 1.2" in found["memory of the job"]["seen"], "the file's own pages count once for both"
    monkeypatch.setattr("pipeline.wiring.checkup.available_memory_bytes", lambda: 1_000_000_000)
    code, found, _ = doctor(job)
    assert (code, found["memory of the job"]["level"]) == (2, "failure")
    assert "1.00 GB are free: small 0.65 GB (weights 0.13 GB" in found["memory of the job"]["seen"]
    assert "smaller context_tokens" in found["memory of the job"]["mend"]


@pytest.mark.parametrize(
    ("template", "level", "word"), [("plain", "failure", "of its own"), (None, "ok", "GB")], ids=["two", "its own"]
)
def test_a_file_and_a_job_make_one_chat_template(
    doctor: Doctor, tmp_path: Path, model: Path, template: str | None, level: str, word: str
) -> None:
    named = "" if template is None else f'chat_template = "{template}"\n'
    tier = f'[[tiers]]\nname = "small"\nengine = "llama"\nmodel = "{model}"\n{named}'
    found = doctor(job_file(tmp_path, tier))[1]["model of small"]
    assert found["level"] == level
    assert word in found["seen"]


def test_a_worker_refuses_to_load_what_does_not_fit(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.wiring.fit.available_memory_bytes", lambda: 100_000_000)
    tier = Tier(name="small", engine="llama", model=str(model))
    with pytest.raises(ModelError, match=r"tier small needs about 0\.65 GB.*0\.10 GB are free: take a smaller"):
        engine_for(tier, load_settings({}))


@pytest.mark.usefixtures("up")
def test_a_job_that_cannot_be_read_is_a_failure_with_the_loaders_own_words(doctor: Doctor, tmp_path: Path) -> None:
    code, found, _ = doctor(job_file(tmp_path, '[[tiers]]\nname = "small"\nengine = "llmaa"\nmodel = "x"\n'))
    assert code == 2
    assert "engine" in found["job"]["seen"]
    assert doctor(str(tmp_path / "none.toml"))[1]["job"]["level"] == "failure"


@pytest.mark.usefixtures("up")
def test_an_endpoint_that_answers_and_has_the_model_is_ok(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openai_server: OpenAIServer
) -> None:
    monkeypatch.setenv("SOME_KEY", openai_server.api_key)
    _, found, shown = doctor(job_file(tmp_path, endpoint(openai_server.base_url)))
    assert found["endpoint of large"]["level"] == "warning"
    assert "does not list some-model" in found["endpoint of large"]["seen"]
    assert openai_server.api_key not in shown
    monkeypatch.setenv("SOME_KEY", "wrong-key")
    code, found, shown = doctor(job_file(tmp_path, endpoint(openai_server.base_url)))
    assert (code, found["endpoint of large"]["level"]) == (2, "failure")
    assert "SOME_KEY" in found["endpoint of large"]["seen"] or "api_key_env" in found["endpoint of large"]["seen"]
    assert "wrong-key" not in shown


@pytest.mark.usefixtures("up")
def test_an_endpoint_that_is_down_or_a_key_that_is_not_set_is_a_failure(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        job = job_file(tmp_path, endpoint(f"http://127.0.0.1:{held.getsockname()[1]}/v1"))
        code, found, _ = doctor(job)
        assert code == 2
        assert "SOME_KEY" in found["endpoint of large"]["seen"]
        monkeypatch.setenv("SOME_KEY", "hush")
        code, found, shown = doctor(job)
    assert code == 2
    assert "cannot be reached" in found["endpoint of large"]["seen"]
    assert "hush" not in shown


@pytest.mark.usefixtures("up")
def test_gaps_that_a_run_survives_are_warnings(doctor: Doctor, tmp_path: Path) -> None:
    tiers = "".join(f'[[tiers]]\nname = "{name}"\nengine = "instant"\nmodel = "any"\n' for name in ("small", "large"))
    code, found, _ = doctor(job_file(tmp_path, tiers))
    assert code == 0
    assert (found["prices"]["level"], found["thresholds"]["level"]) == ("warning", "warning")


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize(("function", "level"), [("json:loads", "ok"), ("no_such_module:check", "failure")])
def test_checks_of_the_users_own_are_imported(doctor: Doctor, tmp_path: Path, function: str, level: str) -> None:
    steps = f'{STEPS}[[steps.checks]]\nkind = "python"\nentry_point = "{function}"\n'
    job = job_file(tmp_path, '[[tiers]]\nname = "small"\nengine = "instant"\nmodel = "any"\n', steps)
    assert doctor(job)[1]["checks"]["level"] == level


@pytest.mark.usefixtures("up", "doctor")
def test_people_see_a_line_for_each_check_and_the_way_out_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_file(tmp_path, '[[tiers]]\nname = "small"\nengine = "llama"\nmodel = "nonsense"\n')
    with pytest.raises(SystemExit) as ended:
        main(["doctor", job])
    shown = capsys.readouterr()
    assert ended.value.code == 2
    lines = shown.out.splitlines()
    assert any(line.startswith("ok       python") for line in lines)
    assert any(line.startswith("failure  model of small") for line in lines)
    assert any(line.lstrip().startswith("→") for line in lines)
    assert "checks failed: model of small" in shown.err


def test_the_library_is_loaded_in_a_process_of_its_own_and_tells_its_features() -> None:
    found = library_facts()
    assert found.version
    assert found.features
