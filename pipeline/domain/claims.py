"""One place of a text says one thing: where several fields claim it, the surest keeps it and the others are null. Pure.

Fields are read one by one, so that none waits for another; a small model then gives several of them the same words.
Worked: a name with .6 and an account with .2 both claim "Ann": the name keeps it, and the account is null with
.6 / (.6 + .2) = .75, the odds of the two claims.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.domain.answers import Span


@dataclass(frozen=True, slots=True)
class Claim:
    """A field's value, by where it stands and how sure it is."""

    place: Span
    score: float


def lost_claims(claims: Mapping[str, Claim]) -> dict[str, float]:
    """Return the fields that must give way → how sure that is; equals go to the field that comes first.

    Places that overlap are the same place. A field that gave way keeps nobody else from anything.
    """
    kept: list[Claim] = []
    lost: dict[str, float] = {}
    for name, claim in sorted(claims.items(), key=lambda one: -one[1].score):
        start, end = claim.place
        rivals = [other.score for other in kept if start < other.place[1] and other.place[0] < end]
        if rivals:
            strongest = max(rivals)
            lost[name] = strongest / (strongest + claim.score) if strongest else 0.5
        else:
            kept.append(claim)
    return lost
