"""`headrace models` on real files: what is there, what is damaged, and what a script is told."""

import json
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.integration.conftest import Run

NAME = "smollm2-135m-instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


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
def original(model_path: Callable[[str], Path]) -> Path:
    """Return the real model's file, found before any test says that models lie elsewhere."""
    return model_path(NAME)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of models."""
    models = tmp_path / "models"
    monkeypatch.setenv("HEADRACE_MODELS", str(models))
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    models.mkdir()
    return models


@pytest.fixture
def model(folder: Path, original: Path) -> Path:
    """Put the smallest real model into the folder."""
    (folder / FILE).symlink_to(original)
    return folder / FILE


def states(headrace: Run, *options: str) -> dict[str, str]:
    code, out, _ = headrace("models", "list", "--json", *options)
    assert code == 0
    listed: list[dict[str, Any]] = json.loads(out)
    return {one["name"]: one["state"] for one in listed}


def test_a_model_that_was_never_pulled_is_absent_and_listing_makes_nothing(folder: Path, headrace: Run) -> None:
    assert set(states(headrace).values()) == {"absent"}
    assert list(folder.iterdir()) == []


def test_a_model_is_present_until_it_is_hashed_and_verified_then(model: Path, headrace: Run) -> None:
    assert model.exists()
    assert states(headrace)[NAME] == "present"
    assert states(headrace, "--hash")[NAME] == "verified"


def test_a_file_of_another_size_is_damaged(folder: Path, headrace: Run) -> None:
    (folder / FILE).write_bytes(b"GGUF")
    assert states(headrace)[NAME] == "damaged"


def test_a_pull_that_was_cut_off_is_partial(folder: Path, headrace: Run) -> None:
    (folder / f".pull-{NAME}").mkdir()
    assert states(headrace)[NAME] == "partial"


def test_the_list_for_people_shows_size_licence_state_and_folder(model: Path, headrace: Run) -> None:
    code, out, _ = headrace("models", "list")
    assert code == 0
    (row,) = [line for line in out.splitlines() if NAME in line]
    assert all(word in row for word in ("98", "Apache-2.0", "present"))
    assert out.endswith(f"in {model.parent}\n")


def test_the_list_for_scripts_has_what_is_needed_to_fetch_the_file_by_hand(folder: Path, headrace: Run) -> None:
    listed = json.loads(headrace("models", "list", "--json")[1])
    (found,) = [one for one in listed if one["name"] == NAME]
    assert found == {
        "name": NAME,
        "size_bytes": 98_362_432,
        "licence": "Apache-2.0",
        "context_tokens": 8192,
        "sha256": SHA256,
        "state": "absent",
        "path": str(folder / FILE),
    }


def test_pulling_a_model_that_is_here_checks_it_and_asks_nobody(model: Path, headrace: Run) -> None:
    code, out, _ = headrace("models", "pull", NAME, "--json")
    assert code == 0
    assert json.loads(out) == [{"name": NAME, "path": str(model), "sha256": SHA256, "source": None}]
    assert "was here already" in headrace("models", "pull", NAME)[1]


def test_an_unknown_name_stops_a_pull_before_anything_is_fetched(folder: Path, headrace: Run) -> None:
    code, out, err = headrace("models", "pull", NAME, "nonsense")
    assert (code, out) == (2, "")
    assert "nonsense" in err
    assert list(folder.iterdir()) == []


def test_verifying_takes_all_that_are_here(model: Path, headrace: Run) -> None:
    code, out, _ = headrace("models", "verify", "--json")
    assert code == 0
    assert json.loads(out) == [
        {"name": NAME, "ok": True, "in_catalogue": True, "path": str(model), "sha256": SHA256, "fault": None}
    ]


def test_verifying_takes_a_path_and_knows_the_bytes_under_any_name(model: Path, tmp_path: Path, headrace: Run) -> None:
    (tmp_path / "mine.gguf").symlink_to(model)
    code, out, _ = headrace("models", "verify", str(tmp_path / "mine.gguf"), "--json")
    (found,) = json.loads(out)
    assert (code, found["ok"], found["in_catalogue"], found["sha256"]) == (0, True, True, SHA256)


def test_a_model_with_one_wrong_byte_ends_verifying_with_2(model: Path, headrace: Run) -> None:
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.unlink()
    model.write_bytes(content)
    code, out, err = headrace("models", "verify", "--json")
    (found,) = json.loads(out)
    assert (code, found["ok"]) == (2, False)
    assert f"headrace models pull {NAME}" in found["fault"]
    assert NAME in err


def test_a_model_that_is_not_here_ends_verifying_with_2_when_it_was_named(folder: Path, headrace: Run) -> None:
    assert list(folder.iterdir()) == []
    assert headrace("models", "verify", NAME)[0] == 2


def test_verifying_an_empty_folder_says_so(folder: Path, headrace: Run) -> None:
    assert list(folder.iterdir()) == []
    code, out, _ = headrace("models", "verify")
    assert code == 0
    assert "no model is here" in out
    assert json.loads(headrace("models", "verify", "--json")[1]) == []
