"""Evidence for `fuse = "auto"`: where it lies, what it is evidence of, and what it decides for a job."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.adapters.machine import processor_name
from pipeline.adapters.models.records import keep, kept
from pipeline.asking import laid_out
from pipeline.domain.errors import ModelError
from pipeline.domain.fusing import FuseDecision, FuseEvidence, decide_fusing
from pipeline.domain.job import Job
from pipeline.settings import Settings
from pipeline.telemetry import logger
from pipeline.wiring.engines import model_store

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


def kept_evidence(job: Job, tier_no: int, model_sha256: str, settings: Settings) -> FuseEvidence | None:
    """Return what was measured of a tier's steps on a model file; None: nothing."""
    return kept(evidence_file(job, tier_no, model_sha256, settings), FuseEvidence)


def fuse_decisions(job: Job, settings: Settings) -> dict[int, FuseDecision]:
    """Return what `auto` comes to in each tier that leaves it to evidence and has two steps or more."""
    wanted = [
        number for number, tier in enumerate(job.tiers) if tier.fuses_by_evidence and len(laid_out(job, number, ())) > 1
    ]
    return {number: decide_fusing(_evidence(job, number, settings)) for number in wanted}


def _evidence(job: Job, tier_no: int, settings: Settings) -> FuseEvidence | None:
    # Without any measurement no model has to be found and hashed: commands that only submit may have none.
    if not (settings.models_folder / FOLDER).is_dir():
        return None
    try:
        model = model_store(settings).best(job.tiers[tier_no].model, machine=processor_name())
    except ModelError:
        return None
    return kept_evidence(job, tier_no, model.sha256, settings)


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
