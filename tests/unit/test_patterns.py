"""Patterns: what the subset takes and refuses, and that `re` agrees with the tree it is written from."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.patterns import Alt, Chars, Node, PatternError, Repeat, Seq, parse, to_python

ALPHABET = 'abcXYZ019_-. "\\[]{}()^$|+*?\n\té€😀'


def literal(char: str) -> str:
    return f"\\{char}" if char in "\\[](){}^$|+*?.-" else char


ATOMS = st.one_of(
    st.sampled_from(ALPHABET).map(literal),
    st.sampled_from([r"\d", r"\w", r"\s", ".", r"\n", r"\t"]),
    st.lists(
        st.sampled_from(["a-f", "0-9", "x", r"\]", r"\d", "_", "é", r"\-", '"', r"\\"]), min_size=1, max_size=3
    ).map(lambda parts: f"[{''.join(parts)}]"),
    st.lists(st.sampled_from(["a-c", "0", r"\n", '"', "€", r"\w"]), min_size=1, max_size=2).map(
        lambda parts: f"[^{''.join(parts)}]"
    ),
)
QUANTIFIERS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,}", "{0,3}", "{0}"])


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, QUANTIFIERS).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


PATTERNS = st.recursive(st.tuples(ATOMS, QUANTIFIERS).map("".join), grow, max_leaves=6)


@given(pattern=PATTERNS, data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_for_python_means_the_pattern_itself(pattern: str, data: st.DataObject) -> None:
    ours = re.compile(to_python(pattern))
    theirs = re.compile(pattern, re.ASCII)
    for text in (data.draw(st.from_regex(theirs, fullmatch=True)), data.draw(st.text(ALPHABET, max_size=6))):
        assert (ours.fullmatch(text) is None) == (theirs.fullmatch(text) is None) or set(text) & set("\f\v")


@pytest.mark.parametrize(
    ("pattern", "tree"),
    [
        ("", Seq(())),
        ("^a$", Chars((("a", "a"),))),
        (r"\d+", Repeat(Chars((("0", "9"),)), 1, None)),
        ("a|", Alt((Chars((("a", "a"),)), Seq(())))),
        ("[^a-c]", Chars((("a", "c"),), negated=True)),
        (r"a\$", Seq((Chars((("a", "a"),)), Chars((("$", "$"),))))),
        (r"a\\$", Seq((Chars((("a", "a"),)), Chars((("\\", "\\"),))))),
    ],
)
def test_the_tree_of_a_pattern(pattern: str, tree: Node) -> None:
    assert parse(pattern) == tree


@pytest.mark.parametrize(
    "pattern",
    [
        "a^b", "a$b", r"\bword", r"\D", r"(a)\1", "(?=a)", "(?P<n>a)", "(?i)a", "a*?", "a++", "a{3,2}", "a{500}",
        "a{,3}", "(a", "a)", "[a", "[]", "[z-a]", r"[a-\d]", "a**", "*", "\\", "x" * 501,
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_is_refused_with_a_reason(pattern: str) -> None:
    with pytest.raises(PatternError, match="pattern: "):
        parse(pattern)


def test_digits_and_words_are_ascii_only() -> None:
    assert re.fullmatch(to_python(r"\d"), "٣") is None
    assert re.fullmatch(to_python(r"\w"), "é") is None
