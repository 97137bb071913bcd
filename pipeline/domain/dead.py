"""Dead letters: items that break whoever answers them, found by halving the chunk that did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

TRIES_OF_A_HALF: Final = 2
"""A chunk that was tried too often is halved, and each half tried so often before it is halved, or dead, itself."""
FEW_OPEN: Final = 16
"""Where nothing of a tier was ever done, more chunks open than these are not halved: what breaks them is no item."""
LOST_WORKER: Final = "its worker was lost: killed, out of memory, or cut off"
_LONGEST_WAIT_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadItem:
    """An item whose chunk broke its workers too often. Nothing of it is lost: `requeue` asks again."""

    run: str
    item_no: int
    key: str
    source: str
    line: int
    steps: Sequence[str]
    """What is not answered of it."""
    tier: str
    chunk: int
    with_others: int
    """Items in the same chunk: it was not halved down to this one, or they went over their cap together."""
    claims: int
    """How often its chunk was tried last."""
    reason: str
    text: str

    def as_json(self, *, with_text: bool = False) -> dict[str, Any]:
        """Return the script contract; the text only where it is asked for."""
        told = {
            "run": self.run,
            "key": self.key,
            "source": self.source,
            "line": self.line,
            "steps": list(self.steps),
            "tier": self.tier,
            "chunk": self.chunk,
            "with_others": self.with_others,
            "claims": self.claims,
            "reason": self.reason,
        }
        return {**told, "text": self.text} if with_text else told


def dead_reason(run_name: str, items: int, *, over_cap: int = 0) -> str:
    """Return why a run with dead letters has failed, and what to do; `over_cap` of them are so for want of money."""
    broken = items - over_cap
    told = []
    if broken:
        told.append(f"{broken:,} {'item breaks' if broken == 1 else 'items break'} the workers")
    if over_cap:
        told.append(f"{over_cap:,} {'item is' if over_cap == 1 else 'items are'} over per_item_usd")
    more = f"; ask again with: headrace budget {run_name} --per-item-usd MORE, headrace dead requeue {run_name}"
    end = f", all others are done; see: headrace dead list {run_name}"
    return " and ".join(told) + end + (more if over_cap else "")


def try_again_after_s(claims: int) -> float:
    """Return how long a chunk waits that broke off, so that a fault of the machine can pass: 0.5, 1, 2, 4, 4 … s."""
    return min(0.5 * 2.0 ** min(claims - 1, 10), _LONGEST_WAIT_S)
