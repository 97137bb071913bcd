"""Patterns: what the subset takes and refuses, and that `re` agrees with the tree it is written from."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.patterns import Alt, Chars, Node, PatternError, Repeat, Seq, parse, to_python
from tests.pattern_language import ALPHABET, PATTERNS


@given(pattern=PATTERNS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_written_for_python_means_the_pattern_itself(pattern: str, data: st.DataObject) -> None:
    ours = re.compile(to_python(pattern))
    theirs = re.compile(pattern, re.ASCII)
    for text in (data.draw(st.from_regex(theirs, fullmatch=True))[:12], data.draw(st.text(ALPHABET, max_size=6))):
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
