"""What `deploy/` says is true of the code: commands, tiers, grace periods; and nothing is open or guessable."""

import configparser
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

from pipeline.adapters.user_files.job import load_job
from pipeline.cli.main import commands
from pipeline.samples import path as sample
from pipeline.settings import PREFIX, Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
JOB_IN_PLACE = "/etc/headrace/job.toml"
NIGHT_IN_PLACE = "/etc/headrace/night.toml"
NO_DEFAULT = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|KEY$|BASIC_AUTH|_URL$")
TAGGED = re.compile(r"[a-z0-9./-]+:[a-z0-9][a-z0-9.-]*[0-9][a-z0-9.-]*")  # a tag with a version in it

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    """Return the services of the compose file."""
    found: dict[str, Service] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


@pytest.fixture
def soft_shutdown_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """Return how long a worker that is told to stop may go on with its chunk."""
    monkeypatch.setenv("HEADRACE_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    # The module reads the environment when it is imported.
    return float(importlib.import_module("workers.app").make_app().conf.worker_soft_shutdown_timeout)


def seconds(duration: str) -> int:
    """Return the seconds of `90`, `60s` or `15m`."""
    number, unit = re.fullmatch(r"(\d+)([sm]?)", duration).groups()  # type: ignore[union-attr]  # else it fails, rightly
    return int(number) * (60 if unit == "m" else 1)


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse a command line as `headrace` does, running nothing; return the command's name and parameters."""
    there = str(sample("tickets.toml"))
    ours = [there if argument in {JOB_IN_PLACE, NIGHT_IN_PLACE} else argument for argument in arguments]
    with click.Context(commands, info_name="headrace") as context:
        name, command, rest = commands.resolve_command(context, ours)
        assert name is not None
        assert command is not None
        while isinstance(command, click.Group):
            inner, command, rest = command.resolve_command(click.Context(command, parent=context), rest)
            assert command is not None
            name = f"{name} {inner}"
        return name, command.make_context(name, rest, parent=context).params


def headrace_services(services: dict[str, Service]) -> dict[str, Service]:
    return {name: service for name, service in services.items() if service["image"].startswith("headrace:")}


def workers_of(services: dict[str, Service]) -> dict[str, Service]:
    return {name: service for name, service in services.items() if service.get("command", [""])[0] == "worker"}


def read_unit(unit: Path) -> configparser.SectionProxy:
    config = configparser.ConfigParser(interpolation=None, delimiters="=", strict=False)
    config.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's own documentation does it
    config.read(unit, encoding="utf-8")
    return config["Service"]


def test_each_tier_of_the_sample_job_has_its_worker_service(services: dict[str, Service]) -> None:
    served = [parsed(service["command"])[1]["tier"] for service in workers_of(services).values()]
    assert sorted(served) == sorted(tier.name for tier in load_job(sample("tickets.toml")).tiers)


def test_a_workers_health_check_asks_the_tier_that_it_serves(services: dict[str, Service]) -> None:
    workers = workers_of(services)
    assert workers
    for service in workers.values():
        assert f'"{parsed(service["command"])[1]["tier"]}@$$HOSTNAME"' in service["healthcheck"]["test"][1]


def test_every_command_of_the_services_is_one_that_headrace_has(services: dict[str, Service]) -> None:
    ours = headrace_services(services)
    used = {parsed(service["command"])[0] for service in ours.values() if "command" in service}
    assert used == {"worker", "sweep", "migrate", "up", "status"}


def test_an_unknown_command_does_not_pass_for_one() -> None:
    with pytest.raises(click.UsageError):
        parsed(["serve", "--tier", "small"])
    with pytest.raises(click.UsageError):
        parsed(["worker", "--level", "small"])


def test_all_published_ports_are_this_machines_own(services: dict[str, Service]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not str(port).startswith("127.0.0.1:")] == []


def test_redis_and_postgres_can_be_reached_by_no_one_outside(services: dict[str, Service]) -> None:
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["networks"]
    for name in ("redis", "postgres"):
        assert services[name]["networks"] == ["data"]
        assert "ports" not in services[name]
    assert networks["data"]["internal"] is True


def test_every_secret_comes_from_outside_and_has_no_default(services: dict[str, Service]) -> None:
    secrets = {
        (service, name): str(value)
        for service, settings in services.items()
        for name, value in settings.get("environment", {}).items()
        if SECRET_NAME.search(name)
    }
    assert secrets
    assert [where for where, value in secrets.items() if not NO_DEFAULT.search(value)] == []


def test_the_example_of_secrets_names_all_and_holds_none(services: dict[str, Service]) -> None:
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    required = re.findall(r"\$\{([A-Z_]+):\?", yaml.safe_dump(services))
    assert required
    assert {name: given[name] for name in required} == dict.fromkeys(required, "")


def test_every_variable_of_ours_is_one_that_settings_reads(services: dict[str, Service]) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    units = "".join(unit.read_text(encoding="utf-8") for unit in UNITS)
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", dockerfile + units))
    named |= {
        name for service in services.values() for name in service.get("environment", {}) if name.startswith(PREFIX)
    }
    assert named
    assert named <= {PREFIX + field.upper() for field in Settings.model_fields}


def test_every_image_has_a_tag_with_a_version(services: dict[str, Service]) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    assert [image for image in images if not TAGGED.fullmatch(image)] == []
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_no_service_of_ours_may_write_or_gain_rights(services: dict[str, Service]) -> None:
    for service in headrace_services(services).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_as_an_ordinary_user_and_checks_itself() -> None:
    final = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").split("AS runtime")[1]
    (user,) = re.findall(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert int(user) > 0
    assert "HEALTHCHECK" in final
    assert "g++" not in final


def test_the_image_is_not_compiled_for_the_machine_that_builds_it() -> None:
    (flags,) = re.findall(r'^ARG GGML_FLAGS="(.*)"$', (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert "-DGGML_NATIVE=OFF" in flags.split()


def test_a_worker_has_longer_to_stop_than_its_soft_shutdown_takes(
    services: dict[str, Service], soft_shutdown_s: float
) -> None:
    graces = [seconds(service["stop_grace_period"]) for service in workers_of(services).values()]
    graces += [seconds(read_unit(unit)["TimeoutStopSec"]) for unit in UNITS if "worker" in unit.name]
    assert len(graces) == len(workers_of(services)) + 1
    assert min(graces) > soft_shutdown_s > 0


def test_a_worker_is_stopped_by_the_signal_of_the_soft_shutdown(services: dict[str, Service]) -> None:
    (unit,) = [read_unit(unit) for unit in UNITS if "worker" in unit.name]
    assert {service["stop_signal"] for service in workers_of(services).values()} == {"SIGQUIT"}
    assert (unit["KillSignal"], unit["KillMode"]) == ("SIGQUIT", "mixed")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_headrace_has(unit: Path) -> None:
    program, *arguments = shlex.split(read_unit(unit)["ExecStart"].replace("%i", "small"))
    assert program == "/opt/headrace/bin/headrace"
    name, _ = parsed(arguments)
    assert name in {"up", "worker", "sweep", "logs nightly"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_hardened_and_keeps_secrets_out_of_itself(unit: Path) -> None:
    service = read_unit(unit)
    wanted = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "StateDirectory": "headrace"}
    assert {name: service[name] for name in wanted} == wanted
    assert service["User"] == "headrace"
    assert service["EnvironmentFile"].removeprefix("-") == "/etc/headrace/environment"
    assert not SECRET_NAME.search(service["Environment"])
