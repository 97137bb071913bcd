"""The HEADRACE_HOME folder is ours alone, held by one process at a time, and keeps its secrets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.adapters.embedded.home import Home, open_home
from pipeline.domain.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from pipeline.adapters.embedded.home import open_home
with open_home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home of mine")


@pytest.fixture
def holder(home: Home) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the home's lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_home_and_its_folders_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = open_home(tmp_path / "a" / "b")
        assert {mode(home.path), mode(home.run_folder), mode(home.log_folder)} == {0o700}
    finally:
        os.umask(before)


def test_the_mode_of_a_folder_that_we_did_not_make_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine").chmod(0o755)

    home = open_home(tmp_path / "mine")
    home.secret("token")

    assert mode(home.path) == 0o755
    assert mode(home.path / "secrets") == 0o700


def test_a_home_that_anyone_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(ConfigError, match="anyone on this machine may write"):
        open_home(tmp_path)


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="set HEADRACE_HOME"):
        open_home(tmp_path / "file")
    with pytest.raises(ConfigError, match="set HEADRACE_HOME"):
        open_home(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_account_in_the_home_is_refused(home: Home) -> None:
    os.chown(home.run_folder, 65534, 65534)

    with pytest.raises(ConfigError, match="made by another account"):
        _ = home.run_folder


def test_a_live_holder_is_named(home: Home, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(ConfigError) as caught, home.lock():
        pass

    assert f"another headrace (pid {holder.pid}) is using {home.path}" in str(caught.value)
    assert "set HEADRACE_HOME" in str(caught.value)


def test_the_lock_of_a_killed_process_is_no_obstacle(home: Home, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()

    assert (home.path / "lock").read_text()
    with home.lock():
        assert f'"pid": {os.getpid()}' in (home.path / "lock").read_text()


def test_the_same_home_may_take_its_lock_again_and_keeps_it_until_the_first_ends(home: Home) -> None:
    with home.lock():
        with home.lock():
            pass
        with pytest.raises(ConfigError), open_home(home.path).lock():
            pass
    with open_home(home.path).lock():
        pass


def test_a_secret_is_generated_once_and_only_we_can_read_it(home: Home) -> None:
    secret = home.secret("token")

    assert len(secret) == 43
    assert open_home(home.path).secret("token") == secret
    assert home.secret("other") != secret
    assert mode(home.path / "secrets" / "token") == 0o600
    assert sorted(path.name for path in (home.path / "secrets").iterdir()) == ["other", "token"]


def test_a_secret_open_to_others_is_refused_without_showing_it(home: Home) -> None:
    secret = home.secret("token")
    (home.path / "secrets" / "token").chmod(0o640)

    with pytest.raises(ConfigError, match="others may read") as caught:
        home.secret("token")

    assert secret not in str(caught.value)


def test_an_emptied_secret_is_refused(home: Home) -> None:
    home.secret("token")
    (home.path / "secrets" / "token").write_text("")

    with pytest.raises(ConfigError, match="is empty"):
        home.secret("token")


def test_a_secret_name_cannot_lead_out_of_its_folder(home: Home) -> None:
    with pytest.raises(ValueError, match="a secret's name"):
        home.secret("../lock")
