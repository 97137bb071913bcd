"""A worker killed, Ctrl-C, a second identical submit: nothing lost, nothing twice."""

import signal

import pytest

from tests.acceptance.conftest import Shell, lines_of

ITEMS = 1600
# 200 chunks of 8 take a tier 20 seconds or more: no machine is through before a test has stopped what it means to.
CHUNK = 8
SLOWLY = "wait_s=0.1"


def _is_whole(shell: Shell, items: int) -> None:
    """Hold the tables to it: each item has each outcome once."""
    seen = shell.json("status", "last")
    assert seen["state"] == "done"
    assert seen["items"] == items
    for step in seen["steps"].values():
        assert sum(step["verdicts"].values()) + step["unresolved"] == items
    lines = shell.results()
    assert len({line["key"] for line in lines}) == len(lines) == items
    assert all(answer["state"] == "verdict" for line in lines for answer in line["answers"].values())


def test_a_worker_killed_in_mid_run_costs_time_and_no_item(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(ITEMS))
    running = shell.start(
        "run", shell.job(small=f"score=0.10 {SLOWLY}", large=f"score=0.99 {SLOWLY}", chunk=CHUNK), source, "--json"
    )
    shell.wait_until(lambda: shell.answered() > ITEMS // 10, "a tenth is answered")
    shell.worker_child("small").kill()
    shell.worker("large").kill()
    assert running.wait(120) == 0, shell.output(running)
    _is_whole(shell, ITEMS)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_a_run_that_was_stopped_goes_on_where_it_was(shell: Shell, how: signal.Signals) -> None:
    source = shell.file("in.log", lines_of(ITEMS))
    job = shell.job(small=f"score=0.99 {SLOWLY}", chunk=CHUNK)
    running = shell.start("run", job, source)
    shell.wait_until(lambda: shell.answered() > ITEMS // 10, "a tenth is answered")
    running.send_signal(how)
    code = running.wait(90)
    if how is signal.SIGINT:
        assert code == 130, shell.output(running)
        assert "Traceback" not in shell.output(running)
    shell.wait_until(lambda: not shell.processes(), "every process of the run is gone")
    before = shell.json("status", "last")
    assert before["state"] in {"ingesting", "running"}
    assert 0 < sum(before["steps"]["mood"]["verdicts"].values()) < ITEMS
    again = shell.json("run", job, source)
    assert again["run"] == before["run"]
    _is_whole(shell, ITEMS)
    # Each question is booked once, to the cent: what was answered before the stop was not asked again.
    assert again["cost"]["baseline_usd"] == 10 * again["cost"]["known_usd"]


def test_a_second_identical_submit_adds_nothing_and_a_changed_job_is_a_new_run(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(50))
    job = shell.job()
    first = shell.json("run", job, source)
    again = shell.json("submit", job, source)
    assert again["run"] == first["run"]
    assert (again["new"], again["items"], again["rows"]) == (False, 0, 0)
    assert shell.json("run", job, source)["cost"] == first["cost"]
    renamed = shell.file("renamed.log", lines_of(50))
    assert shell.json("submit", job, renamed)["run"] == first["run"]
    changed = shell.file("changed.toml", job.read_text(encoding="utf-8").replace('"other"', '"else"'))
    assert shell.json("submit", changed, source)["run"] != first["run"]


def test_identical_texts_are_asked_once_and_every_row_has_its_line(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(10) * 5)
    seen = shell.json("run", shell.job(), source)
    assert (seen["items"], seen["duplicates"]) == (50, 40)
    assert seen["steps"]["mood"]["verdicts"]["small"] == 50
    lines = shell.results()
    assert [line["line"] for line in lines] == list(range(1, 51))
    assert lines[0]["answers"] == lines[10]["answers"] == lines[49]["answers"]
    (row,) = shell.json("costs", "last", "--by", "tier")["rows"]
    assert row["calls"] == 1


def test_a_cancelled_run_is_taken_up_by_retry(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(64))
    job = shell.job()
    run = shell.json("submit", job, source)["run"]
    assert shell.json("cancel", run)["stopped_chunks"] == 4
    assert shell.json("status", run)["state"] == "cancelled"
    shell.run("run", job, source, code=2)
    assert "headrace retry" in shell.last_stderr
    assert shell.json("retry", run)["asked_again"] == 128
    assert shell.json("run", job, source)["state"] == "done"
    _is_whole(shell, 64)


def test_a_submit_whose_run_is_cancelled_meanwhile_says_so_and_retry_takes_up_what_it_read(shell: Shell) -> None:
    job = shell.job()
    shell.start("up", job)
    shell.wait_until(lambda: "engine_ready" in shell.log("worker-small"), "the workers are up")
    submit = shell.start("submit", job, shell.file("in.log", lines_of(300_000)))
    shell.wait_until(lambda: "reading" in shell.output(submit), "it is being read")
    shell.run("cancel", "last")
    assert submit.wait(120) == 5, shell.output(submit)
    assert "headrace retry" in shell.output(submit)
    assert shell.json("status", "last")["items"] == 300_000
    shell.run("retry", "last")
    assert shell.json("status", "last")["state"] in {"running", "done"}


def test_nothing_is_left_running_after_ctrl_c_in_up(shell: Shell) -> None:
    up = shell.start("up", shell.job())
    shell.wait_until(lambda: "engine_ready" in shell.log("worker-small"), "the worker is up")
    assert any("flower" in process.cmdline() for process in shell.processes())
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0, shell.output(up)
    shell.wait_until(lambda: not shell.processes(), "every process is gone")
