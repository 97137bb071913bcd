"""Words that may be values: which are doubtful, and what becomes of kinds when models have said what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.logs.constants import doubtful_in, opened, types_of
from pipeline.domain.logs.events import kinds
from pipeline.domain.logs.slots import spans_in
from pipeline.domain.logs.words import split


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("session opened for user root by <*>", ["root"]),
        ("start app=org.example.mail, flags=<*>", ["org.example.mail"]),
        ("Process org.example.mail:sync has died", ["org.example.mail", "sync"]),
        ("name='eth0' went down", ["eth0"]),
        ("enabled=true, owner=null", []),
        ("job moved to RUNNING", []),
        ("called by close(<*>)", []),
        ("root logged in", []),
        ("mode: fast=<*>", []),
        ("deleted <*> from <*>", []),
    ],
)
def test_a_word_is_doubtful_where_names_stand(template: str, words: list[str]) -> None:
    assert [word for _, word in doubtful_in(template)] == words


def test_what_differs_only_where_a_model_saw_a_value_is_of_one_kind() -> None:
    (place,) = [place for place, _ in doubtful_in("calling app is org.a.mail")]
    told = {"calling app is org.a.mail": {place: "application"}}
    patterns = ["calling app is org.a.mail", "calling app is org.b.chat", "calling app is gone away"]
    assert kinds(patterns, told) == {
        "calling app is org.a.mail": "calling app is <*>",
        "calling app is org.b.chat": "calling app is <*>",
        "calling app is gone away": "calling app is gone away",
    }


def test_a_template_that_would_say_nothing_is_not_opened() -> None:
    assert kinds(["= a.b.c"], {"= a.b.c": {2: "application"}}) == {"= a.b.c": "= a.b.c"}


def test_an_answer_about_a_template_that_the_rules_have_left_changes_nothing() -> None:
    patterns = ["session opened for user bob", "session opened for user eve"]
    told = {"session opened for user bob": {2: "application"}}
    assert kinds(patterns, told) == kinds(patterns)


def test_places_that_touch_are_one_value_of_the_first_ones_number() -> None:
    told = {"pid <*> of a.b.c:d ended": {6: "application", 8: "user"}}
    assert opened("pid <*> of a.b.c:d ended", {6, 8}) == "pid <*> of <*> ended"
    assert {number for _, number, _ in types_of(told)} == {1}


@given(
    st.lists(st.text(alphabet='abA1. =:,()[]<*>"', max_size=20), min_size=1, max_size=12),
    st.sets(st.integers(0, 12), min_size=1),
)
def test_whatever_models_say_each_template_fits_the_patterns_that_have_it(
    patterns: list[str], places: set[int]
) -> None:
    by_rules = kinds(patterns)
    fits = {one for one in by_rules if spans_in(by_rules[one], one) is not None}
    told = {
        template: {place: "user" for place, _ in enumerate(split(template)) if place in places}
        for template in set(by_rules.values())
    }
    found = kinds(patterns, told)
    assert set(found) == set(by_rules)
    assert all(spans_in(found[one], one) is not None for one in fits)
