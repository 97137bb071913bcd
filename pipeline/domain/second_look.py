"""What a text says besides the answer that it was given: what that answer is held against.

Whoever wants to be given a label has to name it. So an answer that its text names stands only if it is also given
without what names it, whatever words were used and however well they were hidden among others.
"""

import re
from functools import lru_cache

from pipeline.domain.disguise import undisguised

_LEAST_WORDS = 4
"""Fewer are no text to answer about."""
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
    if named.search(text) is None:
        text = undisguised(text)
        if named.search(text) is None:
            return None
    rest = "".join(part for part in _SENTENCE.findall(text) if named.search(part) is None)
    if len(_WORD.findall(rest)) >= _LEAST_WORDS:
        return rest
    return named.sub(_GAP, text) if len(_WORD.findall(text)) >= _LONG_WORDS else None


@lru_cache(maxsize=1024)
def _named(label: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in re.split(r"[\s_-]+", label) if word]
    spoken = r"[\s_-]{1,3}".join(words) or "(?!)"  # a label without letters is named by nothing
    return re.compile(rf"(?<!\w){spoken}(?!\w)", re.IGNORECASE)
