"""Children are started, watched and stopped in order; they never outlive whoever started them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.adapters.embedded.records import guard_of, new_token, read_record, stop_leftovers, write_record
from pipeline.adapters.embedded.supervisor import Child, Supervisor

REPOSITORY = Path(__file__).resolve().parents[2]
ENV = {"PATH": "/usr/bin:/bin"}
LONG = "echo up; while :; do sleep 0.02; done"


def sh(name: str, script: str, **more: object) -> Child:
    return Child(**{"name": name, "argv": ("/bin/sh", "-c", script), "env": ENV, "grace_s": 5.0, **more})  # type: ignore[arg-type]  # a test's shorthand


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does; fail if it never comes."""
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.01)


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Clock:
    """A clock that goes when it is told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(tmp_path: Path, clock: Clock) -> Iterator[Supervisor]:
    with Supervisor(run_folder=tmp_path, log_folder=tmp_path, clock_s=clock) as supervisor:
        yield supervisor


def up(supervisor: Supervisor, *names: str) -> None:
    until(lambda: all(supervisor.log_path(name).read_text().startswith("up") for name in names))


def test_children_stop_in_the_reverse_of_their_start(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name in ("first", "second", "third"):
        supervisor.start(sh(name, f"trap 'echo {name} >> {order}; exit 0' TERM; {LONG}"))
    up(supervisor, "first", "second", "third")

    supervisor.stop()

    assert order.read_text().split() == ["third", "second", "first"]


def test_each_child_gets_its_own_stop_signal(supervisor: Supervisor) -> None:
    supervisor.start(sh("db", f"trap 'echo fast; exit 0' INT; {LONG}", stop_signal=signal.SIGINT))
    up(supervisor, "db")

    supervisor.stop()

    assert supervisor.log_path("db").read_text().split() == ["up", "fast"]


def test_a_child_that_will_not_stop_is_killed_with_its_own_children(supervisor: Supervisor) -> None:
    supervisor.start(sh("deaf", "trap '' TERM; (while :; do sleep 0.02; done) & echo up $!; wait; wait", grace_s=0.1))
    up(supervisor, "deaf")
    pid, grandchild = supervisor.pid("deaf"), int(supervisor.log_path("deaf").read_text().split()[1])

    supervisor.stop()

    assert not alive(pid)
    until(lambda: not alive(grandchild))


def test_what_a_child_left_in_its_group_ends_with_it(supervisor: Supervisor) -> None:
    supervisor.start(sh("leaky", "sleep 1000 & echo up $!; exit 3"))
    until(lambda: supervisor.exit_code("leaky") is not None)

    grandchild = int(supervisor.log_path("leaky").read_text().split()[1])

    until(lambda: not alive(grandchild))


def test_after_stop_nothing_runs_and_no_zombie_is_left(supervisor: Supervisor, tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for name in ("a", "b"):
        supervisor.start(sh(name, LONG))

    supervisor.stop()
    supervisor.stop()

    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
    assert list(tmp_path.glob("*.json")) == []


def test_a_child_lives_outside_our_session_so_ctrl_c_reaches_only_us(supervisor: Supervisor) -> None:
    supervisor.start(sh("a", LONG))
    pid = supervisor.pid("a")

    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) == pid


def test_an_exit_is_reported_once_with_its_code(supervisor: Supervisor) -> None:
    supervisor.start(sh("brief", "exit 7"))
    until(lambda: supervisor.exit_code("brief") is not None)

    (exit_,) = supervisor.poll()

    assert (exit_.name, exit_.exit_code, exit_.restart_in_s) == ("brief", 7, None)
    assert supervisor.poll() == []


def test_a_child_ended_by_a_signal_is_reported_as_128_and_its_number(supervisor: Supervisor) -> None:
    supervisor.start(sh("a", LONG))
    pid = supervisor.pid("a")
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    until(lambda: supervisor.exit_code("a") is not None)

    assert supervisor.poll()[0].exit_code == 128 + signal.SIGKILL


def test_a_failing_child_is_started_again_after_longer_and_longer_pauses(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.start(sh("flappy", "echo turn; exit 1", restart="always"))
    pauses = []
    for _ in range(7):
        until(lambda: supervisor.exit_code("flappy") is not None)
        pause_s = supervisor.poll()[0].restart_in_s
        assert pause_s is not None
        clock.now_s += pause_s - 0.1
        assert supervisor.poll() == []
        clock.now_s += 0.1
        assert supervisor.poll() == []
        pauses.append(pause_s)
    until(lambda: supervisor.exit_code("flappy") is not None)

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert supervisor.log_path("flappy").read_text().split() == ["turn"] * 8


def test_a_child_that_ran_for_a_minute_starts_over_with_a_short_pause(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.start(sh("flappy", "exit 1", restart="always"))
    for uptime_s, expected_s in ((0, 1), (0, 2), (61, 1), (0, 2)):
        until(lambda: supervisor.exit_code("flappy") is not None)
        clock.now_s += uptime_s
        (exit_,) = supervisor.poll()
        assert exit_.restart_in_s == expected_s
        clock.now_s += expected_s
        supervisor.poll()


def test_a_child_waiting_for_its_restart_can_be_stopped(supervisor: Supervisor, clock: Clock) -> None:
    supervisor.start(sh("flappy", "exit 1", restart="always"))
    until(lambda: supervisor.exit_code("flappy") is not None)
    supervisor.poll()

    supervisor.stop()
    clock.now_s += 100

    assert supervisor.poll() == []


def test_a_missing_program_exits_127_and_its_log_says_so(supervisor: Supervisor) -> None:
    supervisor.start(Child(name="none", argv=("/no/such/program",), env=ENV))
    until(lambda: supervisor.exit_code("none") is not None)

    assert supervisor.exit_code("none") == 127
    assert "cannot start /no/such/program: No such file or directory" in supervisor.log_path("none").read_text()


def test_a_name_is_used_once(supervisor: Supervisor) -> None:
    supervisor.start(sh("a", LONG))

    with pytest.raises(ValueError, match="already being watched"):
        supervisor.start(sh("a", LONG))


def test_a_child_gets_the_given_environment_alone_and_hides_it_in_its_repr(supervisor: Supervisor) -> None:
    child = sh("env", "env", env={"ADDRESS": "redis://:hush@127.0.0.1"})
    supervisor.start(child)
    until(lambda: supervisor.exit_code("env") is not None)

    names = {line.split("=")[0] for line in supervisor.log_path("env").read_text().splitlines()}
    assert "ADDRESS" in names
    assert "HOME" not in names
    assert "hush" not in repr(child)


def test_three_older_logs_are_kept_and_none_is_open_to_others(supervisor: Supervisor, tmp_path: Path) -> None:
    for turn in range(6):
        supervisor.start(sh("talk", f"echo turn {turn}"))
        until(lambda: supervisor.exit_code("talk") is not None)
        supervisor.stop()

    found = {path.name: path.read_text().strip() for path in tmp_path.glob("talk.log*")}
    assert found == {"talk.log": "turn 5", "talk.log.1": "turn 4", "talk.log.2": "turn 3", "talk.log.3": "turn 2"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("talk.log*")} == {0o600}


HOLDER = """
import json, sys
from pathlib import Path
from pipeline.adapters.embedded.supervisor import Child, Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(run_folder=folder, log_folder=folder)
script = f"trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.02; done"
supervisor.start(Child(name="a", argv=("/bin/sh", "-c", script), env={"PATH": "/usr/bin:/bin"}))
print(supervisor.pid("a"), flush=True)
sys.stdin.read()
"""


def test_children_of_a_killed_supervisor_are_asked_to_stop_and_end(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        until(lambda: (tmp_path / "a.log").read_text().startswith("up"))
        holder.kill()

    until(lambda: not alive(pid))
    record = read_record(tmp_path / "a.json")
    assert record is not None
    until(lambda: guard_of(record) is None)
    assert (tmp_path / "a.log").read_text().split() == ["up", "asked"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_child_whose_guard_is_killed_is_asked_to_stop(supervisor: Supervisor) -> None:
    supervisor.start(sh("a", f"trap 'echo asked; exit 0' TERM; {LONG}"))
    up(supervisor, "a")
    pid = supervisor.pid("a")
    guard_pid = psutil.Process(pid).ppid()

    os.kill(guard_pid, signal.SIGKILL)

    until(lambda: not alive(pid))
    assert supervisor.log_path("a").read_text().split() == ["up", "asked"]
    assert supervisor.poll()[0].exit_code == 128 + signal.SIGKILL


def test_leftovers_are_ended_by_their_record(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(sh("a", LONG))
    pid = supervisor.pid("a")

    assert stop_leftovers(tmp_path) == ["a"]

    assert not alive(pid)
    assert list(tmp_path.glob("*.json")) == []


def test_a_stranger_that_got_the_number_of_a_leftover_is_left_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(sh("stranger", LONG))
    pid = supervisor.pid("stranger")
    assert pid is not None
    old = tmp_path / "old"
    old.mkdir()
    write_record(
        old,
        {
            "name": "a",
            "token": new_token(),
            "guard_pid": psutil.Process(pid).ppid(),
            "pid": pid,
            "created": psutil.Process(pid).create_time() - 3600,
            "grace_s": 1.0,
            "facts": {},
        },
    )

    assert stop_leftovers(old) == []

    assert alive(pid)
    assert supervisor.exit_code("stranger") is None


def test_a_damaged_record_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps({"name": "b"}))

    assert stop_leftovers(tmp_path) == []

    assert list(tmp_path.iterdir()) == []
