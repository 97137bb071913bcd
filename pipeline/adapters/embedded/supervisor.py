"""Child processes: started in order, watched, stopped in the reverse order, and never left behind.

Each child lives in a session of its own under a guard (see `guard`), so that Ctrl-C in the terminal reaches only us,
and we decide who stops when. No thread runs here: whoever holds the supervisor calls `poll` now and then.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import psutil

from pipeline.adapters.embedded import guard, logs, records

_GUARD_SPEAKS_WITHIN_S = 10.0
_GUARD_EXTRA_S = 5.0  # what a guard may take beyond its child's grace
_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
_SETTLED_S = 60.0  # a child that ran this long starts over with the first backoff


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to run."""

    name: str  # also of its log and of its file in HOME/run
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)  # all of it; may hold addresses with passwords
    cwd: Path = Path("/")
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0  # from the stop signal to SIGKILL of its whole group
    restart: Literal["always", "never"] = "never"
    uid: int | None = None  # run as this account (root only), together with `gid`
    gid: int | None = None
    facts: Mapping[str, int | str] = field(default_factory=dict)  # written to HOME/run/NAME.json


@dataclass(frozen=True, kw_only=True)
class ChildExit:
    """A child ended without being asked to."""

    name: str
    exit_code: int  # 128 + signal number when a signal ended it
    uptime_s: float
    restart_in_s: float | None  # None: it stays ended


@dataclass(kw_only=True)
class _Watched:
    """What is known about one child."""

    child: Child
    guard: "subprocess.Popen[bytes]"
    line: socket.socket
    record: records.Record
    started_s: float
    backoff_s: float = _FIRST_BACKOFF_S
    restart_at_s: float | None = None  # ended, and to be started again then
    reported: bool = False


class Supervisor:
    """Runs children; a context manager that stops them all."""

    def __init__(self, *, run_folder: Path, log_folder: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Write records to `run_folder` and each child's output to `log_folder`."""
        self._run_folder = run_folder
        self._log_folder = log_folder
        self._clock_s = clock_s
        self._watched: dict[str, _Watched] = {}

    def __enter__(self) -> Self:
        """Return the supervisor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all children."""
        self.stop()

    def start(self, child: Child) -> None:
        """Start a child with a fresh log; ValueError if one of that name runs already."""
        if child.name in self._watched:
            message = f"a child named {child.name} is already being watched"
            raise ValueError(message)
        logs.rotate(self.log_path(child.name))
        with _signals_held():
            self._watched[child.name] = self._spawn(child)

    def log_path(self, name: str) -> Path:
        """Return the file that a child's output goes to."""
        return self._log_folder / f"{name}.log"

    def exit_code(self, name: str) -> int | None:
        """Return the code with which a child ended, None while it runs."""
        return _exit_code(self._watched[name])

    def pid(self, name: str) -> int | None:
        """Return the number of a child's own process; None if it could not be started."""
        return self._watched[name].record["pid"]

    def listens(self, name: str, port: int) -> bool:
        """Whether a child's own process accepts connections on the port."""
        pid = self.pid(name)
        if pid is None:
            return False
        try:
            found = psutil.Process(pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr[1] == port for one in found)

    def poll(self) -> list[ChildExit]:
        """Return the exits since the last call, and start again what is due."""
        now_s = self._clock_s()
        exits = []
        for name, watched in list(self._watched.items()):
            if watched.restart_at_s is not None:
                if now_s >= watched.restart_at_s:
                    with _signals_held():
                        again = self._spawn(watched.child)
                        again.backoff_s = watched.backoff_s
                        self._watched[name] = again
                continue
            exit_code = _exit_code(watched)
            if exit_code is not None and not watched.reported:
                exits.append(self._note_exit(watched, exit_code, now_s))
        return exits

    def stop_one(self, name: str) -> None:
        """Stop one child as it wants to be stopped, and forget it; nothing happens if there is none."""
        watched = self._watched.pop(name, None)
        if watched is None:
            return
        watched.line.close()
        try:
            watched.guard.wait(watched.child.grace_s + _GUARD_EXTRA_S)
            _end_orphan(watched)
        except subprocess.TimeoutExpired:
            _kill(watched)
        except BaseException:  # an impatient second Ctrl-C: no grace any more
            _kill(watched)
            raise
        finally:
            records.remove_record(self._run_folder, name)

    def stop(self) -> None:
        """Stop all children, the last started first; safe to call again."""
        try:
            for name in reversed(list(self._watched)):
                self.stop_one(name)
        except BaseException:
            for name in reversed(list(self._watched)):
                watched = self._watched.pop(name)
                watched.line.close()
                _kill(watched)
                records.remove_record(self._run_folder, name)
            raise

    def _note_exit(self, watched: _Watched, exit_code: int, now_s: float) -> ChildExit:
        """Plan what follows an exit."""
        watched.line.close()
        watched.reported = True
        _end_orphan(watched)
        records.remove_record(self._run_folder, watched.child.name)
        uptime_s = now_s - watched.started_s
        restart_in_s = None
        if watched.child.restart == "always":
            restart_in_s = _FIRST_BACKOFF_S if uptime_s >= _SETTLED_S else watched.backoff_s
            watched.restart_at_s = now_s + restart_in_s
            watched.backoff_s = min(restart_in_s * 2, _LONGEST_BACKOFF_S)
        return ChildExit(name=watched.child.name, exit_code=exit_code, uptime_s=uptime_s, restart_in_s=restart_in_s)

    def _spawn(self, child: Child) -> _Watched:
        """Start a child under a new guard and write it down."""
        ours, theirs = socket.socketpair()
        token = records.new_token()
        order = guard.Order(
            argv=list(child.argv),
            cwd=str(child.cwd),
            uid=child.uid,
            gid=child.gid,
            stop_signal=child.stop_signal.value,
            grace_s=child.grace_s,
            fd=theirs.fileno(),
        )
        with theirs, logs.open_log(self.log_path(child.name)) as log:
            process = subprocess.Popen(  # noqa: S603 - our own guard; what it runs is the caller's choice
                [sys.executable, "-I", "-S", guard.__file__, token, json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(child.env),
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        pid = _child_pid(ours)
        record = records.Record(
            name=child.name,
            token=token,
            guard_pid=process.pid,
            pid=pid,
            created=records.start_time(pid),
            grace_s=child.grace_s,
            facts=dict(child.facts),
        )
        records.write_record(self._run_folder, record)
        return _Watched(child=child, guard=process, line=ours, record=record, started_s=self._clock_s())


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let a Ctrl-C wait until a new child is in the list of those to stop; the guard clears its own mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child_pid(line: socket.socket) -> int | None:
    """Return the number that the guard tells us; None if it ended before."""
    line.settimeout(_GUARD_SPEAKS_WITHIN_S)
    with contextlib.suppress(OSError, ValueError):
        return int(line.recv(32))
    return None


def _exit_code(watched: _Watched) -> int | None:
    """Return the guard's exit code, which is its child's; 128 + signal if it was killed itself."""
    code = watched.guard.poll()
    return code if code is None or code >= 0 else 128 - code


def _end_orphan(watched: _Watched) -> None:
    """End the child of a guard that was killed: nobody else would."""
    if watched.guard.returncode is not None and watched.guard.returncode < 0:
        records.end(watched.record)


def _kill(watched: _Watched) -> None:
    """End a child's group and its guard at once."""
    pid = watched.record["pid"]
    if pid is not None and watched.guard.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    watched.guard.kill()
    watched.guard.wait()
