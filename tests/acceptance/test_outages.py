"""An endpoint that is down pauses its tier; nothing becomes Unresolved for that."""

import json

import pytest

from tests.acceptance.conftest import Shell, lines_of
from tests.acceptance.test_secrets import JOB
from tests.integration.openai_server import Scripted, completion, scripted


def test_a_tier_whose_endpoint_is_down_pauses_and_goes_on_by_itself(shell: Shell) -> None:
    down = Scripted(status=503, body={"error": {"message": "down"}})
    with scripted(*[down] * 3, completion(json.dumps({"answer": "neutral"}))) as endpoint:
        text = JOB.format(url=endpoint.base_url).replace('"{subject} {body}"', '"{text}"').replace('key = "id"\n', "")
        job = shell.file("job.toml", text)
        shell.extra["ACCEPTANCE_KEY"] = "any"
        running = shell.start("run", job, shell.file("in.log", lines_of(6)), "--json")
        shell.wait_until(lambda: "paused" in _state(shell), "the tier is paused")
        assert running.wait(120) == 0, shell.output(running)
    seen = shell.json("status", "last")
    assert seen["steps"]["mood"] == {"verdicts": {"small": 0, "large": 6}, "unresolved": 0}
    assert seen["state"] == "done"
    assert "tier_paused" in shell.log("worker-large")


def _state(shell: Shell) -> str:
    runs = shell.json("status")
    return str(runs[0]["state"]) if runs else ""


@pytest.mark.parametrize("ends", ["dies_of", "hangs_at"])
def test_an_item_at_which_every_worker_dies_or_hangs_is_found_and_all_others_are_answered(
    shell: Shell, ends: str
) -> None:
    shell.extra.update(HEADRACE_LEASE_S="1", HEADRACE_SWEEP_EVERY_S="0.5", HEADRACE_STALL_AFTER_S="1")
    source = shell.file("in.log", "plain one\nplain two\nthe poison one\nplain three\nplain four\n")
    job = shell.job(small=f"score=0.99 {ends}=poison", chunk=2)
    shell.run("run", job, source, code=5)
    failed = shell.json("status", "last")
    run, lost = failed["run"], failed["unsettled"]
    # Its tokens have a price: what the lost workers may have spent is seen, though the run has no budget.
    assert failed["budget"] is None
    assert (lost["calls"], lost["usd"] > 0) == (7, True)
    assert shell.json("costs", run)["unsettled"] == lost
    assert "unsettled: 7 chunks were being asked" in shell.run("status", run)
    (dead,) = shell.json("dead", "list", run)["dead"]
    assert (dead["key"], dead["line"], dead["with_others"], dead["tier"]) == ("3", 3, 0, "small")
    assert "poison" not in shell.run("dead", "list", run)
    assert shell.json("dead", "show", run, "3")["text"] == "the poison one"
    states = {line["key"]: line["answers"]["mood"]["state"] for line in shell.results(run)}
    assert states == {"1": "verdict", "2": "verdict", "3": "pending", "4": "verdict", "5": "verdict"}
    assert shell.json("dead", "requeue", run, "3")["asked_again"] == 2
    assert shell.json("status", run)["state"] == "running"
    shell.run("dead", "requeue", run, "7", code=2)
    assert "dead list" in shell.last_stderr
