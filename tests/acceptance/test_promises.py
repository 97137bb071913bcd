"""A job with a target, as its user meets it: drawn, certified or refused, and the money that it took."""

import math
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shell, lines_of

ITEMS = 400
TARGET = """
[target]
agreement = { category = 0.9 }
delta = 0.1
audit = 0.02
"""


def job_with_target(shell: Shell, *, small: str, target: str = TARGET) -> Path:
    job = shell.job(small=small, chunk=64)
    # Tables of their own come before lists of tables or after them: the target goes to the end.
    return shell.file("job.toml", job.read_text(encoding="utf-8") + target)


def test_a_tier_that_agrees_is_certified_on_the_few_answers_that_were_drawn(shell: Shell) -> None:
    job = job_with_target(shell, small="score=0.99")
    seen = shell.json("run", job, shell.file("in.log", lines_of(ITEMS)))
    assert seen["state"] == "done"
    (window,) = shell.json("certificates", "last")["windows"]
    assert (window["step"], window["certified"], window["reference"]) == ("category", True, "large")
    assert (window["items"], window["lost"]) == (ITEMS, 0)
    assert window["thresholds"] == {"small": 0.99}
    drawn = window["drawn"]
    assert 0 < drawn < ITEMS / 4
    # What was drawn or is audited is answered by the reference, and nothing else is; the other step promises nothing.
    audit = window["audit"]
    assert audit == {"audited": math.ceil(0.02 * (ITEMS - drawn)), "wrong": 0, "withdrawn": False, "since": 0}
    up = drawn + audit["audited"]
    assert seen["steps"]["category"]["verdicts"] == {"small": ITEMS - up, "large": up}
    assert seen["steps"]["mood"]["verdicts"] == {"small": ITEMS, "large": 0}
    assert window["goes_up"] == pytest.approx(drawn / ITEMS)
    said = shell.run("certificates")
    assert "at least 90.0% of 400 answers agree with the reference, with probability 0.9" in said
    assert "0.9900" in said
    assert "audited answers 0 differ: the certificate holds" in said


def test_a_review_that_is_due_writes_its_proposal_once_and_a_person_applies_it(shell: Shell) -> None:
    monthly = TARGET + '\n[review]\nevery = "month"\n'
    job, source = job_with_target(shell, small="score=0.99", target=monthly), shell.file("in.log", lines_of(ITEMS))
    shell.run("policy", "propose", job, "--runs", code=2)
    assert "has a certificate yet" in shell.last_stderr
    assert shell.json("policy", "review", job)["proposal"] is None
    shell.run("run", job, source)
    (change,) = shell.json("policy", "propose", job, "--runs")["change"]
    assert (change["tier"], change["proposed"]) == ("small", 0.94)
    proposal = shell.json("policy", "review", job)["proposal"]
    assert shell.json("policy", "review", job)["proposal"] is None, "it is due once a month"
    shell.run("policy", "apply", proposal, job)
    shown = {(row["step"], row["tier"]): row["threshold"] for row in shell.json("policy", "show", job)["thresholds"]}
    assert shown["category", "small"] == 0.94
    (applied,) = shell.json("policy", "history", job)["applied"]
    assert applied["evaluation"].startswith("acceptance-")


def test_a_tier_that_disagrees_is_refused_and_the_run_waits_for_its_owner(shell: Shell) -> None:
    job, source = job_with_target(shell, small="score=0.99 answer=last"), shell.file("in.log", lines_of(ITEMS))
    shell.run("run", job, source, code=5)
    assert "a promise cannot be kept" in shell.last_stderr
    held = shell.json("status", "last")
    assert held["state"] == "held"
    (window,) = shell.json("certificates", "last")["windows"]
    assert (window["certified"], window["lost"]) == (False, window["drawn"])
    # Only what was drawn has been bought of the reference.
    assert held["steps"]["category"]["verdicts"] == {"small": 0, "large": window["drawn"]}
    shell.run("run", job, source, code=2)
    assert "headrace retry" in shell.last_stderr
    shell.run("retry", "last")
    seen = shell.json("run", job, source)
    assert seen["state"] == "done"
    assert seen["steps"]["category"]["verdicts"] == {"small": 0, "large": ITEMS}
    assert shell.results()[0]["answers"]["category"]["value"] == "billing"


def test_a_target_for_a_step_that_is_not_there_is_refused_by_name(shell: Shell) -> None:
    job = job_with_target(shell, small="score=0.99", target="[target]\nagreement = { mod = 0.9 }\n")
    shell.run("run", job, shell.file("in.log", lines_of(3)), code=2)
    assert "target" in shell.last_stderr
    assert "'mod' is no step; allowed: category, default, mood" in shell.last_stderr
