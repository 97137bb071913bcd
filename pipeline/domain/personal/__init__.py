"""Personal values that stand in a text: e-mail addresses, phone and card numbers and their like, found by rules.

The rules take too much rather than too little: what is taken by mistake costs an answer a word, what is missed has left
the machine. Texts are hostile: every pattern is bounded, and the work grows with the text's length and no faster.
Names and postal addresses are not among the kinds: no rule knows them.
"""

from collections.abc import Collection, Iterator
from itertools import chain

from pipeline.domain.personal.accounts import ibans_in
from pipeline.domain.personal.emails import emails_in
from pipeline.domain.personal.found import KINDS, Found, Kind
from pipeline.domain.personal.hosts import ips_in
from pipeline.domain.personal.numbers import numbers_in

__all__ = ["KINDS", "Found", "Kind", "personal_in"]


def personal_in(text: str, kinds: Collection[Kind]) -> tuple[Found, ...]:
    """Return the personal values of these kinds in the order of the text; no two share a character.

    Where rules disagree the longer span counts, and of two as long the more special rule.
    """
    ranked = sorted(chain(*_by_rule(text, kinds)), key=lambda one: (one.start, -one.end))
    found: list[Found] = []
    for one in ranked:
        if found and one.start < found[-1].end:
            if one.end - one.start > found[-1].end - found[-1].start:
                found[-1] = Found(one.kind, found[-1].start, one.end)
            elif one.end > found[-1].end:
                found[-1] = Found(found[-1].kind, found[-1].start, one.end)
            continue
        found.append(one)
    return tuple(found)


def _by_rule(text: str, kinds: Collection[Kind]) -> Iterator[Iterator[Found]]:
    """Yield what each rule finds, the most special rule first."""
    taken: list[Found] = []
    if "iban" in kinds:
        taken += ibans_in(text)
    if "ip" in kinds:
        taken += ips_in(text)
    yield iter(taken)
    if "email" in kinds:
        yield emails_in(text)
    if not {"phone", "card", "ssn"}.isdisjoint(kinds):
        yield numbers_in(text, kinds)
