"""What a store keeps of money before it is spent: budgets, and what calls in flight may cost."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from pipeline.domain.budget import Budget, Funded, Spending
from pipeline.domain.runs import RunState
from pipeline.ports.chunks import ClaimedChunk


class MoneyStore(Protocol):
    """Reserve before the call, settle after it: exact however many workers there are.

    `commit` settles what was reserved for its claim, accepted or refused; `give_back` for an outage releases it. What a
    lost worker had reserved stays reserved, since it may have been charged.
    """

    def set_budget(self, run_id: int, budget: Budget) -> None:
        """Give a run a budget, or another one; a run that waited for money goes on."""
        ...

    def spending(self, run_id: int) -> Spending | None:
        """Return where a run's money stands; None: it has no budget."""
        ...

    def reserve(self, claimed: ClaimedChunk, costs: Sequence[Decimal]) -> Funded:
        """Reserve the most that each item of a claim may cost, for as many of the first as there is money for.

        Without a budget for all, and what was begun is on record all the same. A claim reserves once.

        Items that this could bring above their own cap, with what their attempts in this run have cost and what other
        claims that still stand have reserved for them, are set aside at once: they leave the chunk, which ends with
        the last of them. With `accept` their questions get the best answer so far; what has none, and with `hold` or
        `stop` all of it, becomes a dead letter.
        """
        ...

    def out_of_money(self, claimed: ClaimedChunk) -> RunState:
        """Do what the run's budget says with a claimed chunk that there is no money for; returns the run's state.

        `hold`: the chunk waits, with all of its tier. `accept`: its questions get the best answer so far, marked
        `uncertified`; what has none waits. `stop`: the run is cancelled.
        """
        ...
