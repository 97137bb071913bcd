"""Exact bounds on how many items of a finite set are bad, from how many of those drawn are. Standard library only.

All counts are of items. `size` items hold `bad` bad ones; `drawn` of them are drawn uniformly without replacement, and
`found` of these are bad. A drawn item is mended (the reference answers it), so what counts is what is *left*: the bad
ones that were not drawn.

Worked series: 2,000 items of which 100 may be left bad, 250 drawn, delta .1. Would 101 be left with 9 found, there
would be 110, and 9 or fewer of such are drawn with probability .099; 10 of 111 with .159. So up to 9 may be found.

Sums run over probabilities from logarithms of factorials: good to about 1e-7 relative at a million items.
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p

_NEGLIGIBLE = 1e-17


def hypergeometric_tail(found: int, *, drawn: int, bad: int, size: int) -> float:
    """Return the probability that at most `found` of the `drawn` are bad; ValueError for impossible counts."""
    if not (0 <= drawn <= size and 0 <= bad <= size):
        raise ValueError("drawn and bad must lie between 0 and size")
    least, most = max(0, drawn + bad - size), min(drawn, bad)
    if found < least:
        return 0.0
    if found >= most:
        return 1.0
    good = size - bad

    def chance(count: int) -> float:
        return exp(_ways(bad, count) + _ways(good, drawn - count) - _ways(size, drawn))

    def fall(count: int) -> float:  # the chance of one fewer, as a share of this one's
        return count * (good - drawn + count) / ((bad - count + 1) * (drawn - count + 1))

    def rise(count: int) -> float:
        return (bad - count) * (drawn - count) / ((count + 1) * (good - drawn + count + 1))

    middle = (drawn + 1) * (bad + 1) // (size + 2)
    if found <= middle:
        return min(1.0, _summed(chance(found), found, least, fall))
    return max(0.0, 1.0 - _summed(chance(found + 1), found + 1, most, rise))


def binomial_tail(found: int, *, drawn: int, rate: float) -> float:
    """Return the probability that at most `found` of `drawn` independent trials are bad, each with chance `rate`."""
    if drawn < 0 or not 0.0 <= rate <= 1.0:
        raise ValueError("drawn must not be negative and rate must lie in [0, 1]")
    if found < 0:
        return 0.0
    if found >= drawn or rate == 0.0:
        return 1.0
    if rate == 1.0:
        return 0.0
    odds = rate / (1.0 - rate)

    def chance(count: int) -> float:
        return exp(_ways(drawn, count) + count * log(rate) + (drawn - count) * log1p(-rate))

    if found <= drawn * rate:
        return min(1.0, _summed(chance(found), found, 0, lambda count: count / ((drawn - count + 1) * odds)))
    above = _summed(chance(found + 1), found + 1, drawn, lambda count: (drawn - count) * odds / (count + 1))
    return max(0.0, 1.0 - above)


def miss_chance(found: int, *, drawn: int, left: int, size: int) -> float:
    """Return the most that the chance of finding at most `found` can be while more than `left` bad ones stay undrawn.

    Found and left together are bad, so the worst case holds left + 1 + found bad ones: with fewer, fewer than `found`
    may be found, and adding a bad item makes both one more at most; with more, it is the tail of a larger number.
    """
    bad = left + 1 + found
    if bad > size:  # then at most size - left - 1 may be found among size bad ones, and all drawn are bad
        return 1.0 if drawn <= size - left - 1 else 0.0
    return hypergeometric_tail(found, drawn=drawn, bad=bad, size=size)


def allowed_found(*, drawn: int, left: int, size: int, delta: float) -> int | None:
    """Return the most bad ones that may be found for "at most `left` are left" to be believed at delta; None if none.

    The larger the number, the larger its miss_chance: found by bisection.
    """
    if size - drawn <= left:
        return drawn
    if miss_chance(0, drawn=drawn, left=left, size=size) > delta:
        return None
    return _last(lambda found: miss_chance(found, drawn=drawn, left=left, size=size) <= delta, 0, drawn)


def fewest_drawn(*, found: int, left: int, size: int, delta: float) -> int | None:
    """Return how many must be drawn for `found` bad ones among them to be allowed; None if all are too few."""
    if size <= left:
        return 0
    too_few = _last(lambda drawn: miss_chance(found, drawn=drawn, left=left, size=size) > delta, 0, size)
    return None if too_few == size else too_few + 1


def most_left(*, found: int, drawn: int, size: int, delta: float) -> int:
    """Return an upper bound, wrong with probability delta at most, on the bad ones that are left undrawn.

    The largest number that `found` does not refute (Clopper and Pearson 1934, for draws without replacement).
    """
    _checked(found, drawn, size)
    most = size - drawn
    return _last(
        lambda left: left == 0 or hypergeometric_tail(found, drawn=drawn, bad=left + found, size=size) > delta, 0, most
    )


def fewest_bad(*, found: int, drawn: int, size: int, delta: float) -> int:
    """Return a lower bound, wrong with probability delta at most, on all bad ones, the found ones among them."""
    _checked(found, drawn, size)
    if found == 0:
        return 0
    refuted = _last(
        lambda bad: bad < found or 1.0 - hypergeometric_tail(found - 1, drawn=drawn, bad=bad, size=size) <= delta,
        0,
        size - drawn + found,
    )
    return min(refuted + 1, size - drawn + found)


def _checked(found: int, drawn: int, size: int) -> None:
    if not 0 <= found <= drawn <= size:
        raise ValueError("found, drawn and size must ascend from 0")


def _ways(size: int, taken: int) -> float:
    return lgamma(size + 1) - lgamma(taken + 1) - lgamma(size - taken + 1)


def _summed(first: float, start: int, stop: int, ratio: Callable[[int], float]) -> float:
    """Add up chances from `start` to `stop`, each got from its neighbour, until they no longer matter."""
    total = term = first
    step = 1 if stop > start else -1
    for count in range(start, stop, step):
        term *= ratio(count)
        total += term
        if term <= total * _NEGLIGIBLE:
            break
    return total


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the last of low … high for which `holds`, which is true at `low` and, once false, false from there on."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
