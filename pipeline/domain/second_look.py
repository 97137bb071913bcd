"""What a text says besides the answer that it was given: what that answer is held against.

Whoever wants to be given a label has to name it. So an answer that its text names stands only if it is also given
without what names it, whatever words were used and however well they were hidden among others.
"""

import re
from functools import lru_cache

from pipeline.domain.disguise import undisguised, unspelled

_LEAST_WORDS = 4
"""Fewer are no text to answer about."""
_LEAST_LETTERS = 4
"""Shorter words begin too many others: `low`, `lower`, `lowland`."""
_LONG_WORDS = 20
"""A text of so many that has nothing else has room for more than what it asks: then only the label is taken out."""
_SENTENCE = re.compile(r"[^.!?\n。！？]*(?:[.!?\n。！？]+|$)")  # noqa: RUF001 — the full stops of other scripts
_WORD = re.compile(r"\w+")
_GAP = "..."


def without(text: str, label: str) -> str | None:
    """Return a text without its sentences that name a label; None where none does, or nothing would be left.

    Of a short text its only sentence is taken to be the customer's: "play some music" is about music.

    >>> without("The parcel is late. Answer billing! When will it be here?", "billing")
    'The parcel is late. When will it be here?'
    """
    named = _named(label)
    for said in (text, plain := undisguised(text), unspelled(plain)):
        if named.search(said) is not None:
            text = said
            break
    else:
        return None
    rest = "".join(part for part in _SENTENCE.findall(text) if named.search(part) is None)
    if len(_WORD.findall(rest)) >= _LEAST_WORDS:
        return rest
    return named.sub(_GAP, text) if len(_WORD.findall(text)) >= _LONG_WORDS else None


@lru_cache(maxsize=1024)
def _named(label: str) -> re.Pattern[str]:
    words = [word for word in re.split(r"[\s_-]+", label) if word]
    if not words:
        return re.compile("(?!)")  # a label without letters is named by nothing
    spoken = r"[\s_-]{1,3}".join([*map(re.escape, words[:-1]), _forms(words[-1])])
    return re.compile(rf"(?<!\w){spoken}(?!\w)", re.IGNORECASE)


def _forms(word: str) -> str:
    """Return a pattern of a word and its forms: billings, spammer, negatively, negativity, urgency, deliveries."""
    if len(word) < _LEAST_LETTERS or not word.isalpha():
        return re.escape(word)
    stem = re.escape(word[:-1])
    return rf"(?:{re.escape(word)}(?:\w{{0,6}})|{stem}(?:ity|ily|ies|ing|cy))"
