"""A run never costs more than its budget, and with more money it goes on where it was."""

from decimal import Decimal
from pathlib import Path

from tests.acceptance.conftest import Shell, lines_of

ITEMS = 120
SMALL, LARGE = "score=0.10", "score=0.99"


def with_budget(
    shell: Shell, usd: Decimal, on_exhausted: str, *, price: str = "per-token-small", cap: str = "usd"
) -> Path:
    text = shell.job(small=SMALL, large=LARGE, chunk=8).read_text(encoding="utf-8")
    text = text.replace('"per-token-small"', f'"{price}"')
    return shell.file("budget.toml", f'{text}[budget]\n{cap} = {usd}\non_exhausted = "{on_exhausted}"\n')


def test_a_run_is_held_at_its_budget_and_ends_with_more_at_the_price_of_one_without(shell: Shell) -> None:
    whole = shell.json("run", shell.job(small=SMALL, large=LARGE, chunk=8), shell.file("a.log", lines_of(ITEMS)))
    cost = Decimal(str(whole["cost"]["known_usd"]))
    limit = (cost * Decimal("0.6")).quantize(Decimal(1))
    # The same texts in another file are another run only if their bytes differ: one blank line more.
    source = shell.file("b.log", lines_of(ITEMS) + "\n")
    shell.run("run", with_budget(shell, limit, "hold"), source, code=5)
    assert "headrace budget" in shell.last_stderr
    held = shell.json("status", "last")
    assert held["state"] == "held"
    assert 0 < held["budget"]["settled_usd"] == held["cost"]["known_usd"] <= limit
    assert held["budget"]["reserved_usd"] == 0
    assert any(line["answers"]["mood"]["state"] == "pending" for line in shell.results())
    shell.run("budget", held["run"], "--usd", "1000000")
    again = shell.json("run", with_budget(shell, limit, "hold"), source)
    assert (again["run"], again["state"], again["cost"]["known_usd"]) == (held["run"], "done", float(cost))


def test_what_there_is_no_money_for_gets_the_best_answer_so_far_and_says_so(shell: Shell) -> None:
    source = shell.file("a.log", lines_of(ITEMS))
    first = shell.json("run", shell.job(small=SMALL, large=LARGE, chunk=8), source)
    limit = (Decimal(str(first["cost"]["known_usd"])) * Decimal("0.6")).quantize(Decimal(1))
    # The small tier's answers are there whatever the large one has spent meanwhile: its time costs next to nothing.
    job = with_budget(shell, limit, "accept", price="per-hour")
    done = shell.json("run", job, shell.file("b.log", lines_of(ITEMS) + "\n"))
    assert done["state"] == "done"
    assert done["cost"]["known_usd"] <= limit
    states = {(answer["state"], answer["tier"]) for line in shell.results() for answer in line["answers"].values()}
    assert states == {("verdict", "large"), ("uncertified", "small")}


def test_a_run_that_its_budget_stopped_goes_on_as_it_says(shell: Shell) -> None:
    source = shell.file("a.log", lines_of(40))
    whole = shell.json("run", shell.job(small=SMALL, large=LARGE, chunk=8), source)
    limit = (Decimal(str(whole["cost"]["known_usd"])) * Decimal("0.6")).quantize(Decimal(1))
    job, more = with_budget(shell, limit, "stop"), shell.file("b.log", lines_of(40) + "\n")
    shell.run("run", job, more, code=5)
    stopped = shell.json("status", "last")
    assert (stopped["state"], "&& headrace retry" in stopped["reason"]) == ("cancelled", True)
    shell.run("budget", stopped["run"], "--usd", "1000000")
    assert "headrace retry" in shell.last_stderr
    shell.run("retry", stopped["run"])
    assert shell.json("run", job, more)["cost"]["known_usd"] == whole["cost"]["known_usd"]


def some_long_lines() -> str:
    """Return lines of which every tenth has so many tokens that a cap lies between it and the others."""
    lines = lines_of(40).splitlines()
    return "".join(line * (1 if number % 10 else 60) + "\n" for number, line in enumerate(lines))


CAP = Decimal(80_000)
"""At ten dollars a token: more than the large tier may cost for a short line, less than for a long one."""


def test_items_over_their_cap_are_dead_letters_and_more_money_asks_them_again(shell: Shell) -> None:
    source = shell.file("a.log", some_long_lines())
    job = with_budget(shell, CAP, "hold", cap="per_item_usd", price="per-hour")
    shell.run("run", job, source, code=5)
    failed = shell.json("status", "last")
    assert (failed["state"], failed["unsettled"]) == ("failed", {"calls": 0, "usd": 0.0})
    assert "4 items are over per_item_usd" in failed["reason"]
    assert (failed["budget"]["usd"], failed["budget"]["per_item_usd"]) == (None, float(CAP))
    letters = shell.json("dead", "list", failed["run"])["dead"]
    assert [letter["key"] for letter in letters] == ["1", "11", "21", "31"]
    assert all("per_item_usd is $80,000.00" in letter["reason"] for letter in letters)
    assert sum(step["verdicts"]["large"] for step in failed["steps"].values()) == 2 * 36
    shell.run("budget", failed["run"], "--per-item-usd", "1000000")
    assert shell.json("dead", "requeue", failed["run"])["asked_again"] == 8
    done = shell.json("run", job, source)
    assert (done["run"], done["state"], done["budget"]["per_item_usd"]) == (failed["run"], "done", 1e6)
    assert sum(step["verdicts"]["large"] for step in done["steps"].values()) == 2 * 40


def test_items_over_their_cap_may_keep_the_best_answer_so_far(shell: Shell) -> None:
    source = shell.file("a.log", some_long_lines())
    done = shell.json("run", with_budget(shell, CAP, "accept", cap="per_item_usd", price="per-hour"), source)
    assert done["state"] == "done"
    uncertified = {line["key"] for line in shell.results() if line["answers"]["mood"]["state"] == "uncertified"}
    assert uncertified == {"1", "11", "21", "31"}


def test_what_was_estimated_beforehand_by_all_texts_is_to_the_cent_what_the_run_then_costs(shell: Shell) -> None:
    lines = lines_of(60).splitlines()
    source = shell.file("a.log", "".join(line * (1 + number % 9) + "\n" for number, line in enumerate(lines)))
    job = shell.job(small=SMALL, large=LARGE, chunk=8)
    told = shell.json("estimate", job, source, "--items", "60")
    assert shell.json("status") == []
    done = shell.json("run", job, source)
    assert (told["items"], told["sample"], told["at_least"]) == (done["items"], 60, False)
    assert told["usd_low"] == told["usd"] == told["usd_high"] == done["cost"]["known_usd"]
