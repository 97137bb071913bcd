"""The README cannot rot: its job, its commands and its variables are held against the code."""

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest

from pipeline.cli.main import commands
from pipeline.domain.job import Job
from pipeline.domain.logs.nights import LogJob
from pipeline.domain.runs import RunState
from pipeline.domain.tiers import Tier
from pipeline.settings import PREFIX, Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_job_file_of_the_readme_is_valid() -> None:
    shown = blocks("toml")[0]
    assert Job.model_validate(tomllib.loads(shown)).name == "support-tickets"


def test_the_log_job_file_of_the_readme_is_valid_and_names_every_setting() -> None:
    _, shown = blocks("toml")
    job = tomllib.loads(shown)
    assert LogJob.model_validate(job).log == "web"
    assert LogJob.model_fields.keys() - job.keys() == {"layout"}


def test_every_setting_of_a_tier_is_explained() -> None:
    shown = blocks("toml")[0]
    assert [name for name in Tier.model_fields if f"`{name}`" not in README and f"\n{name} " not in shown] == []


def test_the_defaults_of_the_readme_are_those_of_the_code() -> None:
    tier = Tier(name="small", engine="llama", model="m")
    assert f"| {tier.chunk_items}, {tier.context_tokens} (" in README
    assert f"), {tier.max_answer_tokens} |" in README
    assert f"| {tier.concurrency}, {tier.timeout_s:g}, {tier.retries} |" in README
    assert f'`"{tier.on_long}"`: one tier up' in README
    assert f'| `"{tier.on_unknown_confidence}"`; or' in README


def test_the_python_of_the_readme_parses() -> None:
    for code in blocks("python"):
        ast.parse(code)


def test_every_command_is_in_the_readme() -> None:
    context = click.Context(commands)
    for name in commands.list_commands(context):
        assert f"`{name}" in README, name


def test_every_variable_of_the_readme_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"HEADRACE_[A-Z_]+[A-Z]", README))
    assert named <= known
    assert known - named == {"HEADRACE_ASSIGNMENT", "HEADRACE_NIGHTS"}


@pytest.mark.parametrize("state", list(RunState))
def test_every_run_state_is_explained(state: RunState) -> None:
    assert f"`{state.value}`" in README
