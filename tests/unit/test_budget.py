"""What a question may cost, what there is money for, and what is refused beforehand."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.budget import (
    OVER_CAP,
    Budget,
    affordable,
    charge,
    dollars,
    funded,
    most_usd,
    over_cap_reason,
)
from pipeline.domain.dead import dead_reason
from pipeline.domain.errors import ConfigError
from pipeline.domain.job import Job
from pipeline.domain.pricing import Price, PriceBook
from pipeline.flow.ingest import new_run

BY_TOKEN = Price.model_validate(
    {"name": "list", "valid_from": "2020-01-01", "usd_per_mtok_in": "1", "usd_per_mtok_out": "2"}
)
BY_HOUR = Price.model_validate({"name": "own", "valid_from": "2020-01-01", "usd_per_hour": "1"})
MONEY = st.decimals(min_value=0, max_value=100, places=6)


def test_the_most_that_a_question_may_cost_is_worked_out_from_its_bytes() -> None:
    assert most_usd(BY_TOKEN, ["ä" * 20, "abcd"], answer_tokens=10, tries=1) == Decimal("0.00032")
    assert most_usd(BY_TOKEN, ["ä" * 20, "abcd"], answer_tokens=10, tries=2) == Decimal("0.00064")


def test_machine_time_is_not_reserved() -> None:
    assert most_usd(BY_HOUR, ["a"], answer_tokens=10, tries=1) == 0
    assert most_usd(None, ["a"], answer_tokens=10, tries=1) == 0


@given(st.text(), st.integers(0, 4000), st.integers(0, 256), st.integers(0, 300))
def test_no_call_of_a_text_costs_more_than_that(text: str, tokens: int, framing: int, out: int) -> None:
    tokens_in = min(tokens, len(text.encode("utf-8", "surrogatepass"))) + framing
    cost = BY_TOKEN.cost_usd(tokens_in=tokens_in, tokens_cached=None, tokens_out=out, seconds=1.0)
    assert cost is not None
    assert cost <= most_usd(BY_TOKEN, [text], answer_tokens=300, tries=1)


@given(st.lists(MONEY, max_size=20), MONEY)
def test_what_is_affordable_never_comes_to_more_than_there_is(costs: list[Decimal], free: Decimal) -> None:
    count = affordable(costs, free)
    assert sum(costs[:count]) <= free
    assert count == len(costs) or free <= 0 or sum(costs[: count + 1]) > free


def test_with_nothing_left_not_even_what_costs_nothing_beforehand_is_asked() -> None:
    assert affordable([Decimal(0)], Decimal(0)) == 0
    assert affordable([Decimal(0)], Decimal("0.000000000001")) == 1


@given(st.data(), st.lists(st.integers(0, 9), min_size=1, max_size=6), st.decimals("0.01", 20, places=2))
def test_no_item_ever_costs_more_than_its_cap_whatever_the_order_of_calls(
    data: st.DataObject, items: list[int], cap: Decimal
) -> None:
    budget = Budget(per_item_usd=cap)
    spent: dict[int, Decimal] = dict.fromkeys(items, Decimal(0))
    for _ in range(12):
        chunk = data.draw(st.lists(st.sampled_from(sorted(spent)), unique=True, min_size=1))
        costs = [data.draw(MONEY) for _ in chunk]
        found = funded(budget, costs, [spent[item] for item in chunk])
        assert sorted((*found.asked, *found.over_cap)) == list(range(len(chunk)))
        for place in found.asked:  # what a call does cost is at most what was reserved for it
            spent[chunk[place]] += data.draw(st.decimals(0, costs[place], places=6))
    assert max(spent.values()) <= cap


@given(st.lists(st.tuples(MONEY, MONEY), max_size=10), MONEY, MONEY)
def test_both_caps_hold_together(items: list[tuple[Decimal, Decimal]], usd: Decimal, gone: Decimal) -> None:
    budget = Budget(usd=usd + 1, per_item_usd=Decimal(50))
    costs, spent = [cost for cost, _ in items], [before for _, before in items]
    found = funded(budget, costs, spent, gone_usd=gone)
    assert sum(costs[place] for place in found.asked) <= max(Decimal(0), usd + 1 - gone)
    assert all(spent[place] + costs[place] <= 50 for place in found.asked)
    assert all(spent[place] + costs[place] > 50 for place in found.over_cap)


def test_an_item_whose_cost_is_unknown_is_over_any_cap_but_only_where_there_is_one() -> None:
    assert funded(Budget(per_item_usd=Decimal(9)), [Decimal(0)], [None]).over_cap == (0,)
    assert funded(Budget(usd=Decimal(9)), [Decimal(0)], [None]).asked == (0,)


def test_a_budget_is_of_the_run_or_of_each_item() -> None:
    with pytest.raises(ValidationError, match="give usd"):
        Budget(on_exhausted="stop")


def test_a_budget_is_raised_by_what_is_more_and_never_lifted() -> None:
    both = Budget(usd=Decimal(5), per_item_usd=Decimal(1))
    assert both.raised(Budget(usd=Decimal(4), on_exhausted="stop")) is both
    assert both.raised(Budget(per_item_usd=Decimal(2))) == Budget(usd=Decimal(5), per_item_usd=Decimal(2))
    assert Budget(usd=Decimal(5)).raised(Budget(per_item_usd=Decimal(1))) == both


@given(MONEY.filter(lambda usd: usd > 0))
def test_what_people_are_told_to_give_is_enough(wanted: Decimal) -> None:
    told = over_cap_reason(Decimal("0.000001"), [Decimal(0), wanted])
    assert told.startswith(OVER_CAP)
    assert Decimal(told.rpartition("$")[2].replace(",", "")) >= wanted


def test_a_run_with_dead_letters_says_which_break_workers_and_which_cost_too_much() -> None:
    assert dead_reason("r", 1) == "1 item breaks the workers, all others are done; see: headrace dead list r"
    both = dead_reason("r", 3, over_cap=2)
    assert both.startswith("1 item breaks the workers and 2 items are over per_item_usd, all others are done; see")
    assert both.endswith("headrace budget r --per-item-usd MORE, headrace dead requeue r")


def test_an_unknown_cost_is_charged_at_the_most() -> None:
    assert charge([Decimal(1), None], reserved_usd=Decimal(5)) == 5
    assert charge([Decimal(7), None], reserved_usd=Decimal(5)) == 7
    assert charge([Decimal(1), Decimal(2)], reserved_usd=Decimal(5)) == 3


@pytest.mark.parametrize("usd", [0, -1, "1e-15", "much", 1e12])
def test_a_budget_is_an_amount_above_nothing(usd: object) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate({"usd": usd})


def a_job(**more: object) -> Job:
    tiers = [{"name": name, "engine": "instant", "model": "m", "price": "list"} for name in ("small", "large")]
    steps = [{"name": "mood", "kind": "sentiment"}]
    return Job.model_validate({"name": "j", "steps": steps, "tiers": tiers, "budget": {"usd": 0.25}, **more})


def test_another_budget_is_the_same_run() -> None:
    assert a_job().digest == a_job(budget={"usd": 80, "on_exhausted": "stop"}).digest == a_job(budget=None).digest


def test_a_budget_without_prices_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"small, large has none.*write price = NAME.*own"):
        new_run(a_job(), "source", PriceBook(prices=(BY_HOUR,)))
    assert new_run(a_job(), "source", PriceBook(prices=(BY_TOKEN,))).job.budget == Budget(usd=Decimal("0.25"))


def test_no_answer_stands_uncertified_where_something_is_promised() -> None:
    with pytest.raises(ValidationError, match="on_exhausted"):
        a_job(budget={"usd": 1, "on_exhausted": "accept"}, target={"agreement": {"default": 0.9}})


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("50", "$50.00"),
        ("1234.5", "$1,234.50"),
        ("0.0123", "$0.0123"),
        ("0.0000111", "$0.000011"),
        ("4.82E-7", "$0.00000048"),
    ],
)
def test_amounts_are_shown_as_people_read_them(amount: str, shown: str) -> None:
    assert dollars(Decimal(amount)) == shown
