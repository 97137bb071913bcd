"""Random patterns of the documented subset, and the characters that texts for them are made of."""

from hypothesis import strategies as st

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
