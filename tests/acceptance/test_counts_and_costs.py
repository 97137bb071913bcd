"""Runs whose every count and cent can be checked by hand."""

from tests.acceptance.conftest import Shell, lines_of

ITEMS = 40
CHUNK = 16


def test_when_the_small_tier_is_sure_of_everything_it_answers_everything(fresh_shell: Shell) -> None:
    shell = fresh_shell
    source = shell.file("in.log", lines_of(ITEMS))
    seen = shell.json("run", shell.job(small="score=0.99", chunk=CHUNK), source)
    assert seen["state"] == "done"
    assert (seen["items"], seen["rejected"], seen["duplicates"]) == (ITEMS, 0, 0)
    for step in ("category", "mood"):
        assert seen["steps"][step] == {"verdicts": {"small": ITEMS, "large": 0}, "unresolved": 0}
    costs = shell.json("costs", "last", "--by", "tier")
    assert [row["tier"] for row in costs["rows"]] == ["small"]
    (small,) = costs["rows"]
    # 40 items in chunks of 16 are 3 chunks, and the instant engine makes one call a chunk.
    assert small["calls"] == 3
    # One dollar a token, in and out; the large tier would have taken ten for the same tokens.
    assert small["known_usd"] == small["tokens_in"] + small["tokens_out"] == seen["cost"]["known_usd"]
    assert seen["cost"]["baseline_usd"] == 10 * seen["cost"]["known_usd"]
    assert seen["cost"]["saved_ratio"] == 0.9
    assert seen["cost"]["unknown_calls"] == 0


def test_when_the_small_tier_is_unsure_of_everything_all_goes_up_and_both_tiers_are_paid(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(ITEMS))
    seen = shell.json("run", shell.job(small="score=0.10", chunk=CHUNK), source)
    assert seen["state"] == "done"
    for step in ("category", "mood"):
        assert seen["steps"][step] == {"verdicts": {"small": 0, "large": ITEMS}, "unresolved": 0}
    rows = {row["tier"]: row for row in shell.json("costs", "last", "--by", "tier")["rows"]}
    small, large = rows["small"], rows["large"]
    assert small["calls"] == 3
    # Escalations travel in full chunks of 16, 16 and the remaining 8; a slow worker may make the flush cut one in two.
    assert 3 <= large["calls"] <= 6
    assert (small["tokens_in"], small["tokens_out"]) == (large["tokens_in"], large["tokens_out"])
    assert small["known_usd"] == small["tokens_in"] + small["tokens_out"]
    assert large["known_usd"] == 10 * small["known_usd"]
    assert seen["cost"]["known_usd"] == 11 * small["known_usd"]
    # All at the large tier would have been ten: the cascade cost a tenth more, and says so.
    assert seen["cost"]["baseline_usd"] == 10 * small["known_usd"]
    assert seen["cost"]["saved_ratio"] == -0.1
    first = shell.results()[0]["answers"]["category"]
    assert first["tier"] == "large"
    assert first["escalated_from"] == [{"tier": "small", "reason": "low_confidence"}]
    assert first["calibrated"] is False


def test_costs_by_step_and_by_tier_sum_to_the_same_cent(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(ITEMS))
    shell.json("run", shell.job(small="score=0.10", chunk=7), source)
    by_step = shell.json("costs", "last", "--by", "step")
    by_tier = shell.json("costs", "last", "--by", "tier")
    by_all = shell.json("costs", "last", "--by", "step,tier,model,day")
    total = by_tier["known_usd"]
    for found in (by_step, by_tier, by_all):
        assert found["known_usd"] == total
        assert sum(row["known_usd"] for row in found["rows"]) == total
    assert {row["step"] for row in by_step["rows"]} == {"category", "mood"}


def test_an_unknown_confidence_escalates_or_is_accepted_as_the_job_says(shell: Shell) -> None:
    source = shell.file("in.log", lines_of(5))
    job = shell.job(small="score=unknown")
    seen = shell.json("run", job, source)
    assert seen["steps"]["mood"]["verdicts"] == {"small": 0, "large": 5}
    assert shell.results()[0]["answers"]["mood"]["escalated_from"][0]["reason"] == "unknown_confidence"
    accepting = job.read_text(encoding="utf-8").replace(
        'price = "per-token-small"', 'price = "per-token-small"\non_unknown_confidence = "accept"'
    )
    seen = shell.json("run", shell.file("accepting.toml", accepting), source)
    assert seen["steps"]["mood"]["verdicts"] == {"small": 5, "large": 0}
    assert shell.results()[0]["answers"]["mood"]["confidence"] is None


def test_an_unknown_price_is_reported_as_unknown_and_never_as_nothing(shell: Shell) -> None:
    job = shell.job().read_text(encoding="utf-8").replace('price = "per-token-small"\n', "")
    seen = shell.json("run", shell.file("unpriced.toml", job), shell.file("in.log", lines_of(20)))
    assert seen["cost"]["unknown_calls"] == 2
    assert seen["cost"]["known_usd"] == 0
    assert seen["cost"]["saved_ratio"] is None
    assert "unknown" in shell.run("status", "last")
