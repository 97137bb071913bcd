"""Evidence for `fuse = "auto"`: where it lies, what it is evidence of, and what it decides for a job."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.adapters.models.records import keep, kept
from pipeline.asking import laid_out
from pipeline.domain.errors import ModelError
from pipeline.domain.fusing import NOT_USABLE, FuseDecision, FuseEvidence, decide_fusing
from pipeline.domain.job import Job
from pipeline.settings import Settings
from pipeline.telemetry import logger
from pipeline.wiring.engines import best_file

FOLDER = "fused"


def evidence_file(job: Job, tier_no: int, model_sha256: str, settings: Settings) -> Path:
    """Return where the evidence for a tier's steps on a model file lies: another word of them is another file."""
    every = laid_out(job, tier_no, range(len(job.steps)))
    seen = [model_sha256, job.tiers[tier_no].chat_template, *(asking.digest for asking in every.values())]
    digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
    return settings.models_folder / FOLDER / f"{digest}.json"


def keep_evidence(job: Job, tier_no: int, model_sha256: str, evidence: FuseEvidence, settings: Settings) -> Path:
    """Write evidence where runs look for it; raises ModelError."""
    path = evidence_file(job, tier_no, model_sha256, settings)
    keep(path, evidence)
    return path


def kept_decision(job: Job, tier_no: int, model_sha256: str, settings: Settings) -> FuseDecision:
    """Return what follows from what was measured of a tier's steps on a model file, if anything was."""
    path = evidence_file(job, tier_no, model_sha256, settings)
    if not path.exists():
        return decide_fusing(None)
    evidence = kept(path, FuseEvidence)
    steps = [job.steps[number].name for number in laid_out(job, tier_no, ())]
    if evidence is None or not evidence.fits(steps, model_sha256):
        return FuseDecision(steps=(), reason=NOT_USABLE)
    return decide_fusing(evidence)


def fuse_decisions(job: Job, settings: Settings) -> dict[int, FuseDecision]:
    """Return what `auto` comes to in each tier that leaves it to evidence and has two steps or more."""
    wanted = [
        number for number, tier in enumerate(job.tiers) if tier.fuses_by_evidence and len(laid_out(job, number, ())) > 1
    ]
    return {number: _decision(job, number, settings) for number in wanted}


def _decision(job: Job, tier_no: int, settings: Settings) -> FuseDecision:
    # Without any measurement no model has to be found and hashed: commands that only submit may have none.
    if not (settings.models_folder / FOLDER).is_dir():
        return decide_fusing(None)
    try:
        model = best_file(job.tiers[tier_no], settings)
    except ModelError:
        return decide_fusing(None)
    return kept_decision(job, tier_no, model.sha256, settings)


def fused_numbers(job: Job, decisions: Mapping[int, FuseDecision]) -> dict[int, frozenset[int]]:
    """Return decisions as a run is made with them: tier number → numbers of the steps that share a reading."""
    return {
        tier_no: frozenset(number for number, step in enumerate(job.steps) if step.name in decision.steps)
        for tier_no, decision in decisions.items()
    }


def fused_by_evidence(job: Job, settings: Settings) -> dict[int, frozenset[int]]:
    """Decide for a job, log what and why, and return it as a run is made with it."""
    decisions = fuse_decisions(job, settings)
    for tier_no, decision in decisions.items():
        tell_decision(job.tiers[tier_no].name, decision)
    return fused_numbers(job, decisions)


def tell_decision(tier: str, decision: FuseDecision) -> None:
    """Log which steps of a tier share a reading by evidence, and why."""
    logger().info("fuse_auto", tier=tier, steps=list(decision.steps), reason=decision.reason)
