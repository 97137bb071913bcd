"""Ask again about texts that name the answer that they were given, without what names it (see `domain.second_look`)."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.domain.answers import Label, Usage
from pipeline.domain.errors import ConservationError
from pipeline.domain.hostile import EVERYDAY
from pipeline.domain.ledger import Call
from pipeline.domain.second_look import without
from pipeline.ports.engine import Ask, Engine, Reply


def looked_again(engine: Engine, asks: Sequence[Ask], reply: Reply) -> Reply:
    """Return the reply with those answers marked that are not given again; what that took is part of their calls.

    Few texts name their answer, and a text without its end is read as the beginning of itself: it costs little.
    """
    again = _naming(asks, reply)
    if not again:
        return reply
    second = engine.answer(list(again.values()))
    if len(second.given) != len(again):
        raise ConservationError(f"{len(again)} asks, {len(second.given)} answers: the engine lost or doubled some")
    given, calls = list(reply.given), list(reply.calls)
    for place, other in zip(again, second.given, strict=True):
        first = given[place]
        if first is not None:
            usage = first.usage if other is None else _sum(first.usage, other.usage)
            given[place] = replace(first, doubted=other is None or other.answer != first.answer, usage=usage)
    asked = list(zip(map(given.__getitem__, again), second.given, strict=True))
    for first, other in asked:
        if first is not None and other is not None:
            calls[first.call_no] = _with_tokens(calls[first.call_no], other.usage)
    # An item of the second call is one of the first, whose questions begin alike.
    into = {other.call_no: first.call_no for first, other in asked if first is not None and other is not None}
    for number, call in enumerate(second.calls):
        at = into.get(number, 0)
        calls[at] = replace(calls[at], seconds=calls[at].seconds + call.seconds)
    return replace(reply, given=tuple(given), calls=tuple(calls))


def _naming(asks: Sequence[Ask], reply: Reply) -> dict[int, Ask]:
    """Return, by their places, the texts that name their answer, without what names it."""
    again: dict[int, Ask] = {}
    for place, (ask, one) in enumerate(zip(asks, reply.given, strict=True)):
        if one is None or not isinstance(one.answer, Label) or one.answer.value.casefold() in EVERYDAY:
            continue
        rest = without(ask.text, one.answer.value)
        if rest is not None:
            again[place] = replace(ask, text=rest)
    return again


def _with_tokens(call: Call, usage: Usage) -> Call:
    return replace(
        call,
        tokens_in=_known(call.tokens_in, usage.tokens_in),
        tokens_cached=_known(call.tokens_cached, usage.tokens_cached),
        tokens_out=_known(call.tokens_out, usage.tokens_out),
    )


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        tokens_in=_known(one.tokens_in, other.tokens_in),
        tokens_cached=_known(one.tokens_cached, other.tokens_cached),
        tokens_out=_known(one.tokens_out, other.tokens_out),
    )


def _known(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
