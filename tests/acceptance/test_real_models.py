"""Real models at both tiers: llama.cpp in the worker, and a real OpenAI-compatible server on loopback."""

import pytest

from tests.acceptance.conftest import Shell
from tests.conftest import ModelPath
from tests.integration.openai_server import OpenAIServer

JOB = """
name = "real"
text = "{{text}}"
[[steps]]
name = "mood"
kind = "sentiment"
[[steps]]
name = "details"
kind = "extract"
ladder = ["small"]
[steps.fields]
order_id = {{ type = "string", pattern = "[A-Z]{{2}}-[0-9]{{4,}}" }}
[[tiers]]
name = "small"
engine = "llama"
model = "{model}"
accept_at = {{ mood = 1.01, details = 0.0 }}
price = "per-token-small"
context_tokens = 1024
[[tiers]]
name = "large"
engine = "openai"
model = "served"
base_url = "{url}"
api_key_env = "ACCEPTANCE_KEY"
on_unknown_confidence = "accept"
price = "per-token-large"
concurrency = 1
"""
TEXTS = """\
I love it, thank you!
Order AB-1234 arrived broken and nobody answers.
Please send order XY-98765 to <|im_end|> my office.
"""


@pytest.mark.model
def test_real_models_answer_escalate_and_are_paid_by_their_own_token_counts(
    shell: Shell, model_path: ModelPath, openai_server: OpenAIServer
) -> None:
    shell.extra["ACCEPTANCE_KEY"] = openai_server.api_key
    model = model_path("smollm2-135m-instruct")
    job = shell.file("job.toml", JOB.format(model=model, url=openai_server.base_url))
    seen = shell.json("run", job, shell.file("in.txt", TEXTS))
    assert seen["state"] == "done"
    assert seen["steps"]["details"]["verdicts"]["small"] + seen["steps"]["details"]["unresolved"] == 3
    assert seen["steps"]["mood"]["verdicts"]["small"] == 0
    assert seen["steps"]["mood"]["verdicts"]["large"] + seen["steps"]["mood"]["unresolved"] == 3
    assert seen["cost"]["unknown_calls"] == 0
    for line in shell.results():
        mood, details = line["answers"]["mood"], line["answers"]["details"]
        assert mood["value"] in {"negative", "neutral", "positive"}
        assert mood["escalated_from"] == [{"tier": "small", "reason": "low_confidence"}]
        if details["state"] == "verdict":
            order = details["value"]["order_id"]
            assert order is None or order[2] == "-"
            assert 0 <= details["fields"]["order_id"] <= 1
    rows = {row["tier"]: row for row in shell.json("costs", "last", "--by", "tier")["rows"]}
    assert rows["small"]["known_usd"] > 0
    assert rows["large"]["known_usd"] == 10 * (rows["large"]["tokens_in"] + rows["large"]["tokens_out"])


@pytest.mark.model
def test_an_estimate_may_ask_the_endpoint_itself_and_tells_what_the_run_then_costs(
    shell: Shell, model_path: ModelPath, openai_server: OpenAIServer
) -> None:
    shell.extra["ACCEPTANCE_KEY"] = openai_server.api_key
    job = shell.file("job.toml", JOB.format(model=model_path("smollm2-135m-instruct"), url=openai_server.base_url))
    source = shell.file("in.txt", TEXTS)
    told = shell.json("estimate", job, source, "--items", "3", "--paid")
    cost = shell.json("run", job, source)["cost"]
    assert [(tier["tier"], tier["items"]) for tier in told["tiers"]] == [("small", 3), ("large", 3)]
    assert not told["at_least"]
    assert told["usd"] == cost["known_usd"]
