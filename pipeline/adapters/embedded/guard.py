"""One guard process per child: it starts the child and stops it when told to, or when the supervisor is gone.

Run by path, with the standard library alone (`python -I -S guard.py TOKEN ORDER`), so that it starts in 30 ms. The
supervisor keeps the other end of a socket pair: end-of-file there, for a stop in good order as for a `kill -9` of the
supervisor, makes the guard send the child's stop signal, wait its grace and then kill what is left of its group. This
works on macOS too, and a worker's own children go with it. Should the guard itself be killed, Linux sends the child
its stop signal (PR_SET_PDEATHSIG, set after the change of account, which would clear it).

TOKEN tells this process from a stranger that got its number later; ORDER is JSON (see `Order`).
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn, TypedDict

_PR_SET_PDEATHSIG = 1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CANNOT_EXECUTE = 127


class Order(TypedDict):
    """What the supervisor asks for."""

    argv: list[str]
    cwd: str
    uid: int | None  # None: stay who we are
    gid: int | None
    stop_signal: int
    grace_s: float  # from the stop signal to SIGKILL
    fd: int  # our end of the socket pair


def main(arguments: list[str]) -> int:
    """Run the child of ORDER to its end; return its exit code, or 128 + the signal that ended it."""
    order: Order = json.loads(arguments[1])
    line = socket.socket(fileno=order["fd"])
    line.set_inheritable(False)
    wake, wake_end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_STOP_SIGNALS):
        signal.signal(number, lambda _number, _frame: None)
    guard_pid = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # or a stop between fork and exec would be swallowed
    pid = os.fork()
    if pid == 0:
        _become(order, guard_pid)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    with contextlib.suppress(OSError):  # the child does the same; whoever comes first
        os.setpgid(pid, pid)
    with contextlib.suppress(OSError):  # a supervisor that is gone shows as end-of-file below
        line.sendall(f"{pid}\n".encode())
    status = _watch(pid, order, line, wake)
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _watch(pid: int, order: Order, line: socket.socket, wake: int) -> int:
    """Wait for the child's end; stop it on end-of-file of `line` or on a stop signal."""
    deadline: float | None = None
    listen: list[int] = [wake, line.fileno()]
    while True:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(listen, [], [], left_s)
        stop = wake in ready and _stop_asked(wake)
        if line.fileno() in ready and _is_closed(line):
            listen, stop = [wake], True
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if stop and deadline is None:
            deadline = time.monotonic() + order["grace_s"]
            os.kill(pid, order["stop_signal"])
        elif deadline is not None and time.monotonic() >= deadline:
            os.killpg(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]


def _stop_asked(wake: int) -> bool:
    """Empty the wake-up pipe; True if one of the signals in it asks us to stop."""
    try:
        return any(number in _STOP_SIGNALS for number in os.read(wake, 4096))
    except BlockingIOError:
        return False


def _is_closed(line: socket.socket) -> bool:
    """Whether the supervisor closed its end, or died."""
    try:
        return line.recv(64) == b""
    except OSError:
        return True


def _become(order: Order, guard_pid: int) -> NoReturn:
    """In the forked child: own group, own account, tied to the guard's life; then the program itself."""
    try:
        os.setpgid(0, 0)
        os.chdir(order["cwd"])  # before the change of account, which may not be able to walk there
        if order["uid"] is not None and order["gid"] is not None:
            os.setgroups([])
            os.setgid(order["gid"])
            os.setuid(order["uid"])
        # Python ignores SIGPIPE and SIGXFSZ, and exec keeps what is ignored or blocked
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *_STOP_SIGNALS):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, order["stop_signal"], 0, 0, 0)
        if os.getppid() == guard_pid:
            os.execvp(order["argv"][0], order["argv"])  # noqa: S606 - starting the ordered program is what this file is for
    except OSError as error:
        os.write(2, f"cannot start {order['argv'][0]}: {error.strerror}\n".encode())
    os._exit(_CANNOT_EXECUTE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
