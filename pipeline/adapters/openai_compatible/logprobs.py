"""From the token probabilities of a chat completion to a RawScore, or None: never a guess.

Servers report the *unconstrained* distribution even where the answer was forced into a schema, so most of the mass may
lie on tokens that were never allowed. The rule, for one value (a choice's label, a record's field):

1. *Align.* The tokens' bytes, joined, must hold the content: at the start, or else exactly once (fence tokens or a
   stripped blank before it). Otherwise unknown.
2. *Take the value's tokens*: those that touch the value's bytes, and for a number the one behind it, which ends it. The
   first may begin with structure (`":"`): an alternative then counts by what it holds behind the same structure.
3. *At each token* sort the listed alternatives by the text that the value would have then:
   not allowed (no value of the field begins so): left out; *with* the answer (it narrows the value to the answer at
   least as far as the token taken did: mere formatting such as `"` for `"}` does not matter); *against* it: all others.
   ``low = with / (with + against + unlisted)``, ``high = with / (with + against)``. `unlisted` bounds what allowed
   continuations may hide outside the list: the mass left over, and for a finite set of values at most the smallest
   listed probability for each value not represented. Inside free text nearly everything is allowed and ``high = low``.
4. *Stop* as soon as only the answer remains possible: what follows is forced, and says nothing. So only branching
   points count, long labels are not punished, and a label may be the prefix of another (its closing quote decides).
5. The score is the product of the lows. If the product of the highs exceeds it by more than 0.1, the list says too
   little about the allowed values: unknown. A bare label (no quotes) that is a prefix of another is unknown too,
   because the end of the text is no listed token.

Worked example, labels `bill`, `billing`, `other`; content `{"answer": "bill"}` in tokens `{"`, `answer`, `":`, ` "`,
`bill`, `"}`.

- ` "`: every allowed alternative leaves all three labels possible: 1.
- `bill` 0.30; listed `other` 0.10 (against), `bi` 0.05 (with: it leaves the same two labels), `Bill` 0.40 (not
  allowed). All three labels are represented in the list, so unlisted is 0: 0.35 / 0.45 = 0.778.
- `"}` 0.5; listed `ing` 0.25 (→ `billing`, against), `"` 0.125 (with), `s` 0.05 (not allowed): 0.625 / 0.875 = 0.714.
- Score 0.778 * 0.714 = 0.556.

A record's score is that of its least sure field, and unknown if one field is unknown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.adapters.openai_compatible.spaces import Space

MAX_GAP = 0.1
"""Largest distance between the bounds of a score at which it is called known."""
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, with the alternatives that the server lists for its place."""

    text: bytes
    probability: float
    others: tuple[tuple[bytes, float], ...] = ()
    """Listed alternatives with their probabilities; the token itself may be among them."""


def token_of(entry: object) -> Token | None:
    """Read one entry of `logprobs.content`; None where it is not what the API promises."""
    known = _text_and_probability(entry)
    if known is None or not isinstance(entry, dict):
        return None
    listed = entry.get("top_logprobs")
    others = [_text_and_probability(other) for other in listed] if isinstance(listed, list) else []
    return Token(known[0], known[1], tuple(other for other in others if other is not None))


def _text_and_probability(entry: object) -> tuple[bytes, float] | None:
    data: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    text, raw, logprob = data.get("token"), data.get("bytes"), data.get("logprob")
    if not isinstance(text, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    try:
        probability = math.exp(min(float(logprob), 0.0))
    except OverflowError:  # JSON may hold an integer of hundreds of digits
        return None
    if math.isnan(probability):
        return None
    exact = isinstance(raw, list) and all(isinstance(byte, int) and 0 <= byte <= 255 for byte in raw)  # noqa: PLR2004 — a byte
    return bytes(raw) if exact and raw else text.encode(errors="replace"), probability


@dataclass(frozen=True, slots=True)
class Aligned:
    """Tokens whose joined bytes hold the content."""

    tokens: tuple[Token, ...]
    stream: bytes
    """All tokens' bytes."""
    shift: int
    """Where the content begins in the stream."""
    content: str

    def place(self, char: int) -> int:
        """Return the place in the stream of a character of the content."""
        return self.shift + len(self.content[:char].encode())


def aligned(tokens: Sequence[Token], content: str) -> Aligned | None:
    """Lay the tokens along the content; None when they do not hold it, or hold it in two places."""
    try:
        wanted = content.encode()
    except UnicodeEncodeError:
        return None
    stream = b"".join(token.text for token in tokens)
    if not wanted or not tokens:
        return None
    if stream.startswith(wanted):
        return Aligned(tuple(tokens), stream, 0, content)
    shift = stream.find(wanted)
    if shift < 0 or stream.find(wanted, shift + 1) >= 0:
        return None
    return Aligned(tuple(tokens), stream, shift, content)


def score(found: Aligned, span: tuple[int, int], space: Space) -> float | None:
    """Return the probability of the value at these characters of the content, or None where it can't be told."""
    start, end = found.place(span[0]), found.place(span[1])
    low, high, at = 1.0, 1.0, 0
    for token in found.tokens:
        begin, at = at, at + len(token.text)
        if at <= start or (at == begin):
            continue
        before = found.stream[begin:start] if begin < start else None
        node = _node(token, before, found.stream[start:begin], space)
        if node is None:
            return None
        low, high = low * node[0], high * node[1]
        if space.settled(found.stream[start:at]):
            return low if high - low <= MAX_GAP else None
        if begin >= end:
            break
    return None


def _node(token: Token, before: bytes | None, written: bytes, space: Space) -> tuple[float, float] | None:
    """Return the bounds for one token; None where it is itself not allowed, or nothing is."""
    taken = _value_text(token.text, before, written)
    if taken is None or not space.allowed(taken):
        return None
    chances = {text: chance for text, chance in token.others if text}
    chances[token.text] = token.probability
    floor = min((chance for text, chance in chances.items() if text != token.text), default=1.0)
    unlisted = max(0.0, 1.0 - sum(chances.values()))
    texts = {text: _value_text(text, before, written) for text in chances}
    options = {text: value for text, value in texts.items() if value is not None and space.allowed(value)}
    with_answer = sum(chances[text] for text, value in options.items() if space.leads(value, taken))
    listed = sum(chances[text] for text in options)
    unseen = space.unseen(written, list(options.values()))
    if unseen is not None:
        unlisted = min(unlisted, unseen * floor)
    if listed + unlisted <= 0.0:
        return None
    low = min(1.0, with_answer / (listed + unlisted))
    if space.free(written):
        return low, low
    return low, (min(1.0, with_answer / listed) if listed else 1.0)


def _value_text(text: bytes, before: bytes | None, written: bytes) -> bytes | None:
    """Return the value's text if this token came next; None where the token breaks the structure before the value.

    `before` is what the token taken holds in front of the value; None: the value has begun (or begins here exactly).
    """
    if before is None:
        return written + text if written else text.lstrip(_BLANKS)
    structure, bare = before.strip(_BLANKS), text.lstrip(_BLANKS)
    if bare.startswith(structure):
        return bare[len(structure) :].lstrip(_BLANKS)
    return b"" if structure.startswith(bare) else None
