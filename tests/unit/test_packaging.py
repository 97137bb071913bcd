"""What is in the wheel that users install, and what the lock file promises."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PACKAGES = ("pipeline", "workers", "migrations")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Build the wheel, once, with what is installed and from nowhere else."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("headrace-*.whl")
    return zipfile.Path(file)


@pytest.fixture(scope="session")
def project() -> dict[str, list[str]]:
    """Dependencies, by extra; "" is what every user gets."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": metadata["dependencies"], **metadata.get("optional-dependencies", {})}


@pytest.fixture(scope="session")
def pins() -> dict[str, Version]:
    """Name → version of the lock file."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    found = [match for line in lines if (match := PIN.fullmatch(line))]
    return {canonicalize_name(match["name"]): Version(match["version"]) for match in found}


def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "migrations/env.py",
        "migrations/script.py.mako",
        "pipeline/adapters/models/catalogue.toml",
        "pipeline/adapters/prices.toml",
        "pipeline/py.typed",
        "pipeline/samples/app.log",
        "pipeline/samples/kinds.toml",
        "pipeline/samples/logs.toml",
        "pipeline/samples/night.toml",
        "pipeline/samples/tickets.csv",
        "pipeline/samples/tickets.gold.jsonl",
        "pipeline/samples/tickets.toml",
        "pipeline/samples/values.toml",
        "pipeline/samples/words.toml",
        "workers/__main__.py",
        "workers/py.typed",
    ],
)
def test_the_wheel_carries_the_file_as_it_is_here(wheel: zipfile.Path, name: str) -> None:
    assert wheel.joinpath(name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_carries_every_module(wheel: zipfile.Path, package: str) -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
    assert here
    assert here <= names(wheel)


def test_the_wheel_carries_every_migration(wheel: zipfile.Path) -> None:
    assert [name for name in names(wheel) if re.fullmatch(r"migrations/versions/\d{4}_\w+\.py", name)]


def test_the_wheel_carries_nothing_else(wheel: zipfile.Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names(wheel) if name.endswith((".pyc", ".gguf", ".env"))]


def test_the_wheel_installs_the_command(wheel: zipfile.Path) -> None:
    (entry_points,) = [name for name in names(wheel) if name.endswith(".dist-info/entry_points.txt")]
    assert "headrace = pipeline.cli:main" in wheel.joinpath(entry_points).read_text(encoding="utf-8").splitlines()


def test_every_line_of_the_lock_is_a_pin_a_hash_or_a_comment() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    known = (PIN, HASH, re.compile(r"\s*#.*"), re.compile(""))
    assert [line for line in text.splitlines() if not any(kind.fullmatch(line) for kind in known)] == []
    assert "://" not in text


def test_every_pin_of_the_lock_has_a_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if PIN.fullmatch(line)]
    assert starts
    assert [lines[number] for number in starts if not HASH.fullmatch(lines[number + 1])] == []


def test_the_lock_holds_each_dependency_at_a_version_that_the_project_allows(
    project: dict[str, list[str]], pins: dict[str, Version]
) -> None:
    required = [Requirement(line) for lines in project.values() for line in lines]
    assert required
    missing = [one.name for one in required if canonicalize_name(one.name) not in pins]
    assert missing == []
    assert [str(one) for one in required if pins[canonicalize_name(one.name)] not in one.specifier] == []


def test_each_dependency_has_a_lower_bound(project: dict[str, list[str]]) -> None:
    required = [Requirement(line) for lines in project.values() for line in lines]
    assert [str(one) for one in required if {bound.operator for bound in one.specifier} != {">="}] == []
