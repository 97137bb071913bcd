"""A worker that is gone is known for gone, and no other is."""

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.adapters.processes import is_gone, worker_name

_HERE = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="there is no /proc here to tell by")


def _name_of_another() -> "tuple[str, subprocess.Popen[bytes]]":
    code = "from pipeline.adapters.processes import worker_name; print(worker_name('small'), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process.stdout.readline().decode().strip(), process


@_HERE
def test_a_process_is_gone_when_it_was_killed_even_before_its_parent_looked() -> None:
    name, process = _name_of_another()
    assert not is_gone(name)
    process.kill()
    until_s = time.monotonic() + 10
    while not is_gone(name) and time.monotonic() < until_s:
        time.sleep(0.01)
    assert is_gone(name)
    process.communicate()
    assert is_gone(name)


@_HERE
def test_a_number_that_another_process_has_now_is_not_the_worker() -> None:
    place, _, start = worker_name("small").rpartition(":")
    assert not is_gone(f"{place}:{start}")
    assert is_gone(f"{place}:{int(start) + 1}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "small@host:17",
        "w1",
        f"small@{socket.gethostname()}:{2**30}",
        f"small@{socket.gethostname()}/0123456789ab:{2**30}:5",
        "small@host/machine:pid:start",
        "a/b:c",
    ],
)
def test_of_other_machines_and_other_names_nothing_is_said(name: str) -> None:
    assert not is_gone(name)


def test_without_proc_nothing_is_said_of_anybody(tmp_path: Path) -> None:
    name = worker_name("small", tmp_path)
    assert name == f"small@{socket.gethostname()}/:{os.getpid()}:"
    assert not is_gone(name, tmp_path)


@_HERE
def test_where_processes_are_hidden_nothing_is_said_of_those_that_cannot_be_seen(tmp_path: Path) -> None:
    name, process = _name_of_another()
    for part in ("sys", "self"):
        (tmp_path / part).symlink_to(f"/proc/{part}")
    assert not is_gone(name, tmp_path)
    process.communicate(b"\n")


def test_two_processes_have_two_names() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        names = set(pool.map(worker_name, ["small"] * 50, chunksize=1)) | {worker_name("small")}
    assert len(names) >= 2
