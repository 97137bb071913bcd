"""Watch a promise after it was given: a share of the accepted items is asked of the reference, and the bets add up.

Against "a share of at most `limit` of the accepted items is wrong" one bets on each audited item that more are: the
capital is a likelihood ratio, a mixture over larger shares, and over moments from which the share may have grown. While
each audited item, whatever came before, is wrong with a chance of `limit` at most, the capital's mean stays below 1, so
that it ever exceeds 1/delta has probability delta at most (Ville 1939; mixtures of bets: Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", JRSS-B 2024; mixtures of starts: Shin, Ramdas and Rinaldo,
"E-detectors", 2023).

Worked series: limit .1, one larger share of .2, one start. A wrong item multiplies the capital by .2/.1 = 2, a right
one by .8/.9 = .89; five wrong of ten make 2^5 · .89^5 = 17.8, above 1/delta = 10: withdrawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, log1p

_EXCESS = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
"""How many times the limit the share may have become: equal parts of the capital are laid on each."""
_FROM_THE_BEGINNING = 0.5
"""The part of the capital that bets from the first item on; the rest waits for a later moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Audited items so far, in blocks of the order in which they came."""

    limit: float
    """The share of accepted items that may be wrong; in (0, 1)."""
    delta: float
    """The most that the chance of a false withdrawal may be; in (0, 1)."""
    block: int = 50
    """How many audited items one block holds."""
    wrong: tuple[int, ...] = ()
    """Wrong items of each block; the last one may be unfinished."""
    audited: int = 0
    """Items audited so far."""
    peak: float = 0.0
    """The logarithm of the largest capital so far: a promise once broken stays broken."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not (0.0 < self.limit < 1.0 and 0.0 < self.delta < 1.0):
            raise ValueError("limit and delta must lie between 0 and 1")
        if self.block < 1 or len(self.wrong) != -(-self.audited // self.block):
            raise ValueError("each block of audited items needs its count of wrong ones")

    @property
    def withdrawn(self) -> bool:
        """Whether the promise is withdrawn."""
        return self.peak >= -log(self.delta)

    @property
    def since(self) -> int:
        """After how many audited items the share most likely began to be too large (0: from the beginning)."""
        stakes = _stakes(self)
        return self.block * max(range(len(stakes)), key=stakes.__getitem__) if stakes else 0

    def seen(self, *, wrong: bool) -> "Audit":
        """Return the audit with one more item, `wrong` or as the reference answers."""
        fresh = self.audited % self.block == 0
        counts = (*self.wrong, int(wrong)) if fresh else (*self.wrong[:-1], self.wrong[-1] + wrong)
        after = replace(self, wrong=counts, audited=self.audited + 1)
        return replace(after, peak=max(self.peak, _log_capital(after)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What an audit of one certificate came to."""

    audited: int
    wrong: int
    withdrawn: bool
    """Whether so many are wrong that the promise cannot be believed any more."""
    since: int
    """After how many audited items it most likely began; 0 is from the beginning."""


def audited(limit: float | None, delta: float, wrong: Sequence[bool]) -> Audited:
    """Audit items in the order in which they came; with a limit of None any number may be wrong."""
    if limit is None:
        return Audited(audited=len(wrong), wrong=sum(wrong), withdrawn=False, since=0)
    watch = Audit(limit=limit, delta=delta)
    for one in wrong:
        watch = watch.seen(wrong=one)
    return Audited(audited=len(wrong), wrong=sum(wrong), withdrawn=watch.withdrawn, since=watch.since)


def wrong_allowed(*, budget: int, accepted: int) -> float | None:
    """Return the share of accepted items that may be wrong when `budget` of them may; None when all may."""
    return None if accepted <= budget else budget / accepted


def _part(number: int) -> float:
    """Return the part of the capital that starts with a block: 1/2, then 1/2 · 1/(k(k + 1)), which adds up to 1."""
    return _FROM_THE_BEGINNING if number == 0 else (1.0 - _FROM_THE_BEGINNING) / (number * (number + 1))


def _mixed(limit: float, wrong: int, right: int) -> float:
    shares = [min(limit * times, (1.0 + limit) / 2) for times in _EXCESS]
    logs = [wrong * log(share / limit) + right * (log1p(-share) - log1p(-limit)) for share in shares]
    largest = max(logs)
    return largest + log(sum(exp(one - largest) for one in logs) / len(logs))


def _log_capital(audit: Audit) -> float:
    stakes = _stakes(audit)
    parts = [_part(number) for number in range(len(stakes))]
    waiting = 1.0 - sum(parts)
    largest = max((0.0, *stakes))
    total = waiting * exp(-largest)
    total += sum(part * exp(stake - largest) for part, stake in zip(parts, stakes, strict=True))
    return largest + log(total)


def _stakes(audit: Audit) -> list[float]:
    """Return the logarithm of what each start, at the beginning of a block, has made of its part."""
    stakes: list[float] = []
    wrong = 0
    for number in reversed(range(len(audit.wrong))):
        wrong += audit.wrong[number]
        stakes.append(_mixed(audit.limit, wrong, audit.audited - number * audit.block - wrong))
    return stakes[::-1]
