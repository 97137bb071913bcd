"""llama.cpp's grammar sampler and Python's `re` judge the same strings alike, for every pattern of the subset."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from llama_cpp.llama_grammar import json_schema_to_gbnf

from pipeline.adapters.llama.constraint import TAIL, Grammar
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.fields import FieldSpec, object_schema
from pipeline.domain.grammar import slots
from pipeline.domain.patterns import to_python
from tests.pattern_language import ALPHABET, PATTERNS

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def vocab(vocabulary: object) -> Vocab:
    return Vocab(vocabulary)


def accepts(vocab: Vocab, spec: FieldSpec, written: str) -> bool:
    """Tell whether the grammar of a field takes a value, token by token as a model would write it."""
    (slot,) = slots([("f", spec)])
    taken = taken_of(vocab, slot.grammar, f" {written}{slot.end}")
    return slot.holds(taken) and taken.decode() == f" {written}{slot.end}"


def taken_of(vocab: Vocab, text: str, written: str) -> bytes:
    """Return how much a grammar takes of what is written."""
    grammar = Grammar(vocab, text, what="test")
    state = grammar.begin()
    try:
        for token in vocab.plain(written):
            if not state.allowed(np.array([token]))[0]:
                break
            state.accept(token)
        return state.written
    finally:
        state.close()
        grammar.close()


def told_by_python(pattern: str, text: str) -> bool:
    return re.fullmatch(to_python(pattern), text) is not None


@given(pattern=PATTERNS, data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_string_and_its_mutations_are_judged_alike(vocab: Vocab, pattern: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(re.compile(to_python(pattern)), fullmatch=True)).replace("\0", "")
    text = text[:12]  # not longer: `re` may need exponential time for nested quantifiers, the grammar does not
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.sampled_from(["", *ALPHABET])) + text[at + data.draw(st.integers(0, 1)) :]
    spec = FieldSpec(type="string", pattern=pattern)
    for string in (text, changed, ""):
        written = json.dumps(string, ensure_ascii=False)
        assume(b"".join(map(vocab.piece, vocab.plain(written))) == written.encode())  # this model lacks some rare bytes
        taken = accepts(vocab, spec, written)
        assert taken == told_by_python(pattern, string), (pattern, string)


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*", "((a|b)*c?)*", "((a*)*b*)+", "(a{0,200}){0,200}", "(|a)*", "()*", r"(\d{1,200}-){1,200}", "(a?)+b"],
)
def test_patterns_that_grammars_find_hard_are_enforced(vocab: Vocab, pattern: str) -> None:
    spec = FieldSpec(type="string", pattern=pattern)
    for text in ("", "a", "aa", "ab", "abc", "b", "12-3-", "12-"):
        assert accepts(vocab, spec, json.dumps(text)) == told_by_python(pattern, text), text


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        (
            FieldSpec(type="date"),
            ['"2024-02-29"', "null"],
            ['"2024-13-01"', '"2024-1-01"', '"2024-12-32"', "2024-12-01"],
        ),
        (FieldSpec(type="integer"), ["0", "-12", "null"], ["1.5", "01", "1e3", "--1", '"1"', "- 1"]),
        (FieldSpec(type="number"), ["0.5", "-12", "12.50"], [".5", "1.", "NaN", "1,000"]),
        (FieldSpec(type="number", minimum=0), ["1.5"], ["-1.5"]),
        (
            FieldSpec(type="money", copy=False),
            ['"EUR 64.90"', '"JPY -500"', "null"],
            ['"64.90"', '"ABC 1"', '"EUR 01"', '"EUR 1.249,00"', '"EUR1"', "1"],
        ),
        (FieldSpec(type="boolean"), ["true", "false", "null"], ["True", '"true"', "1"]),
        (
            FieldSpec(type="one_of", options=('a"b', "größe", "\\d")),
            ['"a\\"b"', '"größe"', '"\\\\d"'],
            ['"a"', '"d"', '""'],
        ),
        (
            FieldSpec(type="string"),
            ['"x"', '"é 😀 \\" \\\\ \\n"', f'"{"x" * 400}"'],
            ['""', f'"{"x" * 401}"', '"\\u0000"', '"\\ud800"', "x", '"\n"', '  "x"'],
        ),
        (
            FieldSpec(type="list", of="integer"),
            ["[]", "[1, 2]", f"[{', '.join('1' * 20)}]"],
            [f"[{', '.join('1' * 21)}]", "[1,2]", "[ 1]", "[1, ]", "1"],
        ),
        (FieldSpec(type="list", pattern="[A-Z]{2}"), ['["AB", "CD"]'], ['["AB", "c"]']),
    ],
)
def test_values_of_each_type(vocab: Vocab, spec: FieldSpec, good: list[str], bad: list[str]) -> None:
    assert [accepts(vocab, spec, written) for written in good] == [True] * len(good)
    assert [accepts(vocab, spec, written) for written in bad] == [False] * len(bad)


def test_a_servers_converter_enforces_the_schema_of_money(vocab: Vocab) -> None:
    grammar = json_schema_to_gbnf(json.dumps(object_schema({"f": FieldSpec(type="list", of="money")})))
    for written in ('{"f": ["EUR 64.90", "USD -0.5"]}', '{"f": null}'):
        assert taken_of(vocab, grammar, written).decode() == written
    for written in ('{"f": ["64.90"]}', '{"f": ["EUR 1,249"]}', '{"f": ["€5"]}', '{"f": ["EUR 007"]}'):
        assert taken_of(vocab, grammar, written).decode("utf-8", "ignore") != written


@pytest.mark.parametrize("spread", [0.5, 4.0, 30.0], ids=["flat", "ordinary", "sharp"])
@pytest.mark.parametrize("begun", ["", ' "2024-', ' "2024-0'])
def test_the_picked_token_is_the_most_probable_allowed_one_and_its_share_hardly_lower(
    vocab: Vocab, spread: float, begun: str
) -> None:
    (slot,) = slots([("f", FieldSpec(type="date"))])
    grammar = Grammar(vocab, slot.grammar, what="test")
    random = np.random.default_rng(7)
    usable = np.setdiff1d(np.arange(vocab.size), vocab.control_ids)
    for _ in range(10):
        state = grammar.begin()
        for token in vocab.plain(begun):
            state.accept(token)
        allowed = usable[state.allowed(usable)]
        logits = random.normal(0, spread, vocab.size).astype(np.float32)
        logits[allowed[: random.integers(0, len(allowed))]] += 3 * spread
        shares = np.exp(logits[allowed].astype(np.float64) - logits[allowed].max())
        picked = state.pick(logits)
        assert picked is not None
        token, share = picked
        assert token == allowed[shares.argmax()]
        exact = shares.max() / shares.sum()
        assert exact * (1 - TAIL) - 1e-6 <= share <= exact + 1e-6
        state.close()
    grammar.close()


def test_nothing_is_picked_where_the_model_returns_no_numbers(vocab: Vocab) -> None:
    (slot,) = slots([("f", FieldSpec(type="date"))])
    grammar = Grammar(vocab, slot.grammar, what="test")
    state = grammar.begin()
    assert state.pick(np.full(vocab.size, np.nan, dtype=np.float32)) is None
    state.close()
    grammar.close()
