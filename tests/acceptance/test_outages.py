"""An endpoint that is down pauses its tier; nothing becomes Unresolved for that."""

import json

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
