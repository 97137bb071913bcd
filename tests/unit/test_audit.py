"""The audit after a promise: quiet while it holds, loud soon after it is broken."""

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.audit import Audit, _log_capital, wrong_allowed


def watched(chance: random.Random, limit: float, share: float, items: int, before: int = 0) -> Audit:
    audit = Audit(limit=limit, delta=0.1)
    for number in range(before + items):
        audit = audit.seen(wrong=chance.random() < (share if number >= before else limit / 2))
        if audit.withdrawn:
            break
    return audit


@pytest.mark.parametrize("limit", [0.05, 0.2])
def test_a_promise_kept_to_its_very_limit_is_seldom_withdrawn(limit: float) -> None:
    chance = random.Random(3)
    alarms = sum(watched(chance, limit, limit, 400).withdrawn for _ in range(200))
    assert alarms <= 32  # 20 expected at the most; the chance of more than 32 is below .003


def test_a_share_three_times_the_limit_is_noticed_within_some_tens_of_items() -> None:
    chance = random.Random(4)
    taken = [watched(chance, 0.1, 0.3, 400).audited for _ in range(50)]
    assert sorted(taken)[25] < 60


def test_a_share_that_grows_later_is_noticed_and_dated() -> None:
    audit = watched(random.Random(5), 0.1, 0.4, 400, before=500)
    assert audit.withdrawn
    assert 450 <= audit.since <= 550
    assert audit.audited < 620


def test_the_worked_series_is_withdrawn_only_by_what_it_has_seen() -> None:
    audit = Audit(limit=0.1, delta=0.1)
    assert not audit.withdrawn
    assert audit.since == 0
    for _ in range(5):
        audit = audit.seen(wrong=True)
    assert audit.withdrawn


def test_a_promise_once_withdrawn_stays_so() -> None:
    audit = Audit(limit=0.1, delta=0.1)
    for number in range(300):
        audit = audit.seen(wrong=number < 10)
    assert audit.withdrawn


@given(st.floats(0.01, 0.9), st.lists(st.booleans(), max_size=4))
def test_the_mean_of_the_capital_does_not_rise_at_the_limit(limit: float, past: list[bool]) -> None:
    audit = Audit(limit=limit, delta=0.001, block=2)
    for wrong in past:
        audit = audit.seen(wrong=wrong)
    before = exp(_log_capital(audit))
    after = sum(
        share * exp(_log_capital(audit.seen(wrong=wrong))) for wrong, share in ((True, limit), (False, 1.0 - limit))
    )
    assert after == pytest.approx(before)


def test_the_limit_is_the_budget_over_what_was_accepted() -> None:
    assert wrong_allowed(budget=100, accepted=1000) == 0.1
    assert wrong_allowed(budget=100, accepted=90) is None


def test_what_is_no_audit_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Audit(limit=0.0, delta=0.1)
    with pytest.raises(ValueError, match="block"):
        Audit(limit=0.1, delta=0.1, wrong=(1,), audited=0)
