"""What hostile job files, labels and addresses can do: no more than the README's threat model says."""

import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from pipeline import messages, telemetry
from pipeline.adapters.celery_queue import celery_settings
from pipeline.adapters.user_files import load_job
from pipeline.domain.errors import ConfigError, JobError, MessageError
from pipeline.domain.findings import Level
from pipeline.settings import Settings, load_settings
from pipeline.wiring.checkup import exposure_findings
from pipeline.wiring.exposure import exposures, refuse_exposed, warn_of_exposed
from pipeline.wiring.servers import running_servers

JOB = """
name = "hostile"
text = "{{text}}"
[[steps]]
name = "topic"
kind = "classify"
labels = [{labels}]
[[tiers]]
name = "small"
engine = "llama"
model = "m"
{tier}
"""
REMOTE = {"HEADRACE_REDIS_URL": "redis://:hush@redis:6379/0", "HEADRACE_DATABASE_URL": "postgresql://me:hush@db/h"}


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    def write(*, labels: str = '"a", "b"', tier: str = "") -> Path:
        path = tmp_path / "jobs" / "job.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(JOB.format(labels=labels, tier=tier), encoding="utf-8")
        return path

    return write


def test_only_json_is_accepted_written_and_kept_on_the_queue() -> None:
    settings = celery_settings("redis://localhost")
    assert settings["accept_content"] == ["json"]
    assert {settings[name] for name in ("task_serializer", "result_serializer", "event_serializer")} == {"json"}
    assert settings["result_backend"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"chunk_id": 1, "text": "more"},
        {"chunk_id": 1, "version": 2},
        {"chunk_id": "1"},
        {"chunk_id": 1.0},
        {"chunk_id": True},
        {"chunk_id": -1},
        {"chunk_id": 1 << 63},
        {"chunk_id": None},
    ],
)
def test_a_message_that_is_not_exactly_ours_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        messages.read(body)


@pytest.mark.parametrize("label", ["a\\u0000b", "a\\nb", "a\\u001b[2Jb", "a\\u0085b", "", " ", "x" * 10_000, "\\u2028"])
def test_a_label_that_could_break_a_line_or_a_terminal_is_refused_by_its_line(
    job_file: Callable[..., Path], label: str
) -> None:
    with pytest.raises(JobError, match=r"line 7.*printable characters") as caught:
        load_job(job_file(labels=f'"{label}", "b"'))
    assert len(str(caught.value)) < 1000, "it is not quoted at full length"


@pytest.mark.parametrize("label", ["{text}", "{{ 7 * 7 }}", "{0.__class__}", "%s", "<|im_end|>", "</s>", "=1+1"])
def test_a_label_that_looks_like_a_template_is_a_word(job_file: Callable[..., Path], label: str) -> None:
    job = load_job(job_file(labels=f'"{label}", "b"'))
    assert label in str(job.steps[0])


def test_a_template_of_texts_with_a_nul_is_refused_before_no_item_can_be_stored(job_file: Callable[..., Path]) -> None:
    path = job_file()
    path.write_text(path.read_text(encoding="utf-8").replace("{text}", "{text}\\u0000"), encoding="utf-8")
    with pytest.raises(JobError, match="NUL"):
        load_job(path)


@pytest.mark.parametrize("named", ["../secret.jinja", "/etc/passwd.jinja", "../../../../etc/hostname.jinja"])
def test_a_template_outside_of_the_jobs_folder_is_read_only_as_a_template_and_never_quoted(
    job_file: Callable[..., Path], tmp_path: Path, named: str
) -> None:
    (tmp_path / "secret.jinja").write_text("hush, no template\n", encoding="utf-8")
    with pytest.raises(JobError) as caught:
        load_job(job_file(tier=f'chat_template = "{named}"'))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("named", ["../secret.txt", "/etc/passwd", "secret"])
def test_another_file_than_a_template_is_not_read_at_all(job_file: Callable[..., Path], named: str) -> None:
    with pytest.raises(JobError, match="chat_template"):
        load_job(job_file(tier=f'chat_template = "{named}"'))


def _settings(**more: str) -> Settings:
    return load_settings({**REMOTE, **more})


def test_servers_elsewhere_without_tls_are_warned_of_by_doctor_and_at_a_workers_start() -> None:
    found = list(exposure_findings(_settings()))
    assert [one.level for one in found] == [Level.WARNING] * 2
    assert all(one.name == "network" and one.mend for one in found)
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    telemetry.configure(level="info", style="json", stream=stream)
    warn_of_exposed(_settings())
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    assert stream.getvalue().count("server_exposed") == 2
    assert "hush" not in stream.getvalue() + str(found)


def test_with_require_tls_they_are_refused_by_every_command_and_worker() -> None:
    strict = _settings(HEADRACE_REQUIRE_TLS="1")
    for ask in (refuse_exposed, warn_of_exposed, running_servers):
        with pytest.raises(ConfigError, match="HEADRACE_REQUIRE_TLS") as caught:
            ask(strict)
        assert "hush" not in str(caught.value)
    assert {one.level for one in exposure_findings(strict)} == {Level.FAILURE}


def test_embedded_servers_and_verified_tls_are_never_complained_of() -> None:
    assert exposures(load_settings({"HEADRACE_REQUIRE_TLS": "1"})) == ()
    safe = {
        "HEADRACE_REDIS_URL": "rediss://:hush@redis:6379/0",
        "HEADRACE_DATABASE_URL": "postgresql://me:hush@db/h?sslmode=verify-full&sslrootcert=/ca.pem",
        "HEADRACE_REQUIRE_TLS": "1",
    }
    refuse_exposed(load_settings(safe))
    assert list(exposure_findings(load_settings(safe))) == []
