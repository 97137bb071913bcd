"""Does a text try to instruct the model that reads it? A cheap look, by signs that are counted; no model is asked.

A small model does what a text tells it, whatever it was told about the text before (README, "Measured"). So an answer
about a text that looks like this is not believed, however sure the model is.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice

from pipeline.domain.disguise import decoded, undisguised, unspelled
from pipeline.domain.hostile_signs import ENOUGH, IN_A_ROW, LABELS, NAMES_A_LABEL, PLAIN, SIGNS, Sign

EVERYDAY = frozenset({"yes", "no", "true", "false", "other", "none", "question", "answer"})
"""Labels that people write all the time in other senses: nothing is made of them."""
_SHORTEST_LABEL = 3


def is_suspicious(text: str, labels: Sequence[str] = ()) -> bool:
    """Tell whether a text looks as if it instructed a model; `labels` are those that it may want to be given."""
    return sum(signs_of(text, labels).values()) >= ENOUGH


def signs_of(text: str, labels: Sequence[str] = ()) -> dict[str, int]:
    """Return the signs that a text shows and their weights; of several of one name the heaviest."""
    known, plain = _known(tuple(labels)), undisguised(text)
    seen = list(known.seen(plain))
    found = {sign.name: sign.weight for sign in sorted(seen, key=lambda sign: sign.weight)}
    if any(next(known.seen(undisguised(said)), None) for said in decoded(text)):
        found["hides an instruction"] = ENOUGH
    read = unspelled(plain)  # who spells a label hides it from whoever looks for it
    if read != plain and any(sign.needs_labels and sign not in seen for sign in known.seen(read)):
        found["hides an instruction"] = ENOUGH
    if known.repeated(plain):
        found["repeats a label"] = ENOUGH
    named = any(sign.needs_labels for sign in seen)
    if found and not named and known.named is not None and known.named.search(plain):
        found[NAMES_A_LABEL] = 1
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The signs, ready to be looked for with some labels."""

    labels: frozenset[str]
    named: re.Pattern[str] | None
    """Any of the labels; None where there is none to look for."""
    patterns: tuple[tuple[Sign, re.Pattern[str]], ...]

    def seen(self, plain: str) -> Iterator[Sign]:
        """Yield each sign in a text without disguise."""
        words = frozenset(PLAIN.findall(plain))
        for sign, pattern in self.patterns:
            if sign.words and sign.words.isdisjoint(words):
                continue
            if sum(1 for _ in islice(pattern.finditer(plain), sign.least)) == sign.least:
                yield sign

    def repeated(self, plain: str) -> bool:
        """Tell whether a label is said again and again, and nothing else between."""
        said = PLAIN.findall(plain)
        often = {word for word in self.labels.intersection(said) if said.count(word) >= IN_A_ROW}
        return bool(often) and any(word in often and len(list(run)) >= IN_A_ROW for word, run in groupby(said))


@lru_cache(maxsize=64)
def _known(labels: tuple[str, ...]) -> _Known:
    plain = {undisguised(label) for label in labels}
    told = sorted({one for one in plain if len(one) >= _SHORTEST_LABEL and one not in EVERYDAY}, key=len, reverse=True)
    either = "(?:" + "|".join(map(re.escape, told)) + ")"
    return _Known(
        labels=frozenset(told),
        named=re.compile(rf"\b{either}\b") if told else None,
        patterns=tuple(
            (sign, re.compile(sign.pattern.replace(LABELS, either))) for sign in SIGNS if told or not sign.needs_labels
        ),
    )
