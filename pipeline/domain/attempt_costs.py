"""What each attempt of a chunk cost: its part of the call that it was answered in."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from pipeline.domain.ledger import LedgerEntry, apportion
from pipeline.domain.outcomes import Attempt


def attempt_costs(attempts: Sequence[Attempt], entries: Sequence[LedgerEntry]) -> list[Decimal | None]:
    """Return each attempt's part of its call's cost, by tokens; the parts of a call sum to its cost exactly."""
    cost = {entry.call.id: entry.cost_usd for entry in entries}
    members: dict[UUID, list[int]] = defaultdict(list)
    for index, attempt in enumerate(attempts):
        members[attempt.call_id].append(index)
    parts: list[Decimal | None] = [None] * len(attempts)
    for call_id, indexes in members.items():
        whole = cost[call_id]
        if whole is None:
            continue
        weights = [
            (attempts[index].given.usage.tokens_in or 0) + (attempts[index].given.usage.tokens_out or 0)
            for index in indexes
        ]
        for index, part in zip(indexes, apportion(whole, weights), strict=True):
            parts[index] = part
    return parts
