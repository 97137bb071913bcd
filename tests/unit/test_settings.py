"""The environment is read once, checked, and never quoted when it is wrong."""

from pathlib import Path

import platformdirs
import pytest

from pipeline.domain.errors import ConfigError
from pipeline.settings import child_environment, load_settings, secret_from


def test_an_empty_environment_gives_embedded_servers_in_the_users_data_folder() -> None:
    settings = load_settings({})
    assert settings.is_embedded
    assert settings.home == Path(platformdirs.user_data_dir("headrace"))
    assert settings.models_folder == settings.home / "models"


def test_an_empty_variable_counts_as_one_that_is_not_set() -> None:
    assert load_settings({"HEADRACE_REDIS_URL": "", "HEADRACE_LEASE_S": ""}) == load_settings({})


def test_models_may_lie_elsewhere_than_the_home() -> None:
    settings = load_settings({"HEADRACE_HOME": "/data/headrace", "HEADRACE_MODELS": "/srv/models"})
    assert (settings.home, settings.models_folder) == (Path("/data/headrace"), Path("/srv/models"))


def test_both_addresses_together_mean_servers_of_the_users_own() -> None:
    settings = load_settings(
        {"HEADRACE_REDIS_URL": "redis://:hush@db/0", "HEADRACE_DATABASE_URL": "postgresql://me:hush@db/h"}
    )
    assert not settings.is_embedded
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


@pytest.mark.parametrize("name", ["HEADRACE_REDIS_URL", "HEADRACE_DATABASE_URL"])
def test_one_address_alone_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(ConfigError, match=r"set both .* or neither") as caught:
        load_settings({name: "redis://:hush@db/0"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADRACE_LEASE_S", "soon"),
        ("HEADRACE_LEASE_S", "0"),
        ("HEADRACE_REDIS_PORT", "70000"),
        ("HEADRACE_LOG_LEVEL", "loud"),
        ("HEADRACE_SWEEP_EVERY_S", "-4711"),
        *(
            (name, value)
            for name in ("HEADRACE_LEASE_S", "HEADRACE_SWEEP_EVERY_S")
            for value in ("inf", "nan", "1e300")
        ),
        ("HEADRACE_REDIS_PORT", "9" * 5000),
    ],
)
def test_a_wrong_value_is_reported_by_its_variable_and_not_quoted(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings({name: value})
    assert value == "0" or value not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_key_is_read_from_the_variable_that_a_job_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "hush")
    assert secret_from("SOME_KEY") == "hush"
    assert secret_from(None) is None
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(ConfigError, match="SOME_KEY"):
        secret_from("SOME_KEY")


def test_a_childs_environment_is_ours_with_the_additions_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NAME", "ours")
    assert child_environment({})["SOME_NAME"] == "ours"
    assert child_environment({"SOME_NAME": "theirs"})["SOME_NAME"] == "theirs"
