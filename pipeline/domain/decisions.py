"""Certificates, refusals and drawings as JSON and back: the form in which they are stored and shown."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate, Drawing, Promise, Refusal
from pipeline.domain.label_promises import LabelKept
from pipeline.domain.targets import PEOPLE, TOP

Decision: TypeAlias = Certificate | Refusal
ON_HOLD = "a promise cannot be kept: see `headrace certificates`; `headrace retry` lets the held answers go up"
"""Why a run waits for a person."""
_FOR_LABELS = "drawn texts wait for labels"
NEVER = 1.01
"""A threshold that nothing reaches: JSON knows no infinity."""


def on_labels(missing: int, run: str) -> str:
    """Say that a run waits for people's labels, and how to give them."""
    return (
        f"{missing:,} {_FOR_LABELS}: `headrace labels export {run} to-label.csv`, fill it in, and "
        f"`headrace labels import {run} to-label.csv`"
    )


def waits_for_labels(reason: str | None) -> bool:
    """Whether a run is held for `on_labels`."""
    return _FOR_LABELS in (reason or "")


def drawing_json(drawing: Drawing) -> dict[str, Any]:
    """Return a drawing's stored form."""
    return asdict(drawing)


def drawing_from(data: Mapping[str, Any]) -> Drawing:
    """Read it back."""
    return Drawing(**data)


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision's stored form, which is what scripts get, too."""
    kept = asdict(decision)
    if isinstance(decision, Certificate):
        kept["thresholds"] = [min(threshold, NEVER) for threshold in decision.thresholds]
    return {"certified": isinstance(decision, Certificate), **kept}


def decision_from(data: Mapping[str, Any]) -> Decision:
    """Read it back."""
    kept = {name: value for name, value in data.items() if name != "certified"}
    kept["promise"] = Promise(**kept["promise"])
    kept["labels"] = tuple(LabelKept(**one) for one in kept.get("labels", ()))
    if not data["certified"]:
        return Refusal(**kept)
    return Certificate(**{**kept, "thresholds": tuple(kept["thresholds"])})


def describe_withdrawal(found: Audited, *, step: str) -> str:
    """Say in one line that a certificate does not hold any more."""
    return (
        f"{step}: the certificate is withdrawn: of {found.audited:,} audited answers {found.wrong:,} differ from the "
        f"reference, most likely since about the {found.since + 1:,}. of them; look at what stands (headrace results), "
        "teach the tiers again, and run it again"
    )


def describe(decision: Decision, *, step: str, reference: str = TOP) -> str:
    """Say in one line what was decided of a step."""
    promise = decision.promise
    sure = f"{1 - promise.delta:.4g}"
    whose = "people's labels" if reference == PEOPLE else "the reference"
    least = 0 if reference == PEOPLE else 1
    labels = "".join(f"; {_of_label(one, least)}" for one in decision.labels)
    if isinstance(decision, Certificate):
        where = "the last tier" if reference == PEOPLE else "the reference"
        return (
            f"{step}: at least {promise.target:.1%} of {decision.items:,} answers agree with {whose}, with "
            f"probability {sure}; {decision.drawn:,} drawn, {decision.lost:,} of them differed; "
            f"{decision.goes_up:.1%} go to {where}{labels}"
        )
    what = f"{step}: {promise.target:.1%} agreement cannot be promised with probability {sure}"
    if any(one.step < least for one in decision.labels):
        what = f"{step}: what is asked of its labels cannot be promised"
    if reference == PEOPLE:
        return (
            f"{what}: of {decision.drawn:,} labelled texts {decision.lost:,} differ from the last tier's answers alone,"
            f" of which {decision.best_target:.1%} could be promised; take a better last tier, teach it, or promise "
            f"less{labels}"
        )
    return (
        f"{what}: of {decision.drawn:,} drawn answers {decision.lost:,} differ from the reference; "
        f"{decision.best_target:.1%} could be promised with all answers kept, and for the target at least "
        f"{decision.must_go_up:.1%} must go up{labels}"
    )


def _of_label(one: LabelKept, least: int) -> str:
    shown = f"{one.what} of {one.label} at least {one.target:.1%}: {one.lost:,} of {one.seen:,} drawn were lost"
    return shown if one.step >= least else f"{shown}, too many or too few drawn to tell"
