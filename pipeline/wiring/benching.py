"""Timing a tier's engine on a job's own items: `headrace bench engine`. Needs no servers."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.cpu import granted_cpus
from pipeline.asking import laid_out
from pipeline.domain.errors import ConfigError
from pipeline.domain.fusing import LEAST_ANSWERS, FuseDecision, FuseEvidence, Trial, decide_fusing
from pipeline.domain.job import Job
from pipeline.flow.bench import Bench, Timed, fuse_trials, step_accuracy
from pipeline.flow.samples import gold_by_key
from pipeline.ports.clock import Clock
from pipeline.ports.source import SourceOptions
from pipeline.settings import Settings
from pipeline.wiring.engines import llama_engine, model_for, too_many_threads
from pipeline.wiring.formats import Say, Show
from pipeline.wiring.fusing import keep_evidence, kept_decision
from pipeline.wiring.samples import items_of, read_gold


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched:
    """All that was measured."""

    tier: str
    model: str
    apart: Timed
    accuracy: dict[str, float | None]
    """By step, asked apart; None without gold."""
    trials: tuple[tuple[Trial, Timed], ...]
    """Steps in one reading; empty where the tier has one step."""
    decision: FuseDecision | None
    """What `fuse = "auto"` comes to, by this or by what was measured before; None where the tier has one step."""
    evidence: Path | None
    """Where it was kept; None: too few items to be evidence."""

    def as_json(self) -> dict[str, Any]:
        """Return the script contract."""
        return {
            "tier": self.tier,
            "model": self.model,
            "apart": {**self.apart.as_json(), "accuracy": self.accuracy},
            "one_reading": [
                {
                    **timed.as_json(),
                    "steps": [{**one.model_dump(mode="json"), "holds": one.holds} for one in trial.steps],
                }
                for trial, timed in self.trials
            ],
            "auto": None
            if self.decision is None
            else {
                "steps": list(self.decision.steps),
                "reason": self.decision.reason,
                "kept": self.evidence is not None,
            },
        }


def tier_to_bench(job: Job, name: str | None) -> int:
    """Return the number of the named tier, or of the first with a llama engine; raises ConfigError."""
    for number, tier in enumerate(job.tiers):
        if tier.name == name or (name is None and tier.engine == "llama"):
            if tier.engine != "llama":
                raise ConfigError(
                    f"tier {tier.name} has the engine {tier.engine}: only models that run on this machine (llama) "
                    "are measured; name another tier with --tier"
                )
            return number
    if name is None:
        raise ConfigError(f"job {job.name} has no llama tier: there is nothing to measure on this machine")
    raise ConfigError(f"job {job.name} has no tier {name!r}; it has: {', '.join(tier.name for tier in job.tiers)}")


def bench_engine(
    job: Job,
    tier_no: int,
    inputs: Sequence[str],
    options: SourceOptions,
    settings: Settings,
    *,
    most_items: int,
    gold: Path | None,
    clock: Clock,
    say: Say,
    show: Show,
) -> Benched:
    """Measure a tier's engine on the first items of the inputs, steps apart and in one reading, and keep the evidence.

    Raises ConfigError for inputs, gold answers or a model that cannot be used.
    """
    right = None if gold is None else gold_by_key(read_gold(gold, job))
    items = items_of(job, inputs, options, settings, most_items=most_items)
    if right is not None and not any(item.key in right for item in items):
        raise ConfigError("no item's key stands in the gold answers: see the job's `key` and the gold file")
    tier = job.tiers[tier_no]
    model = model_for(tier, settings)
    if too_many := too_many_threads(tier, granted_cpus()):
        say(f"tier {tier.name}: {too_many}")
    say(f"loading {tier.model} for tier {tier.name}, {len(items)} items")
    with closing(llama_engine(tier, model)) as engine:
        bench = Bench(
            engine=engine,
            job=job,
            tier_no=tier_no,
            items=items,
            clock=clock,
            show=lambda what, done, of: show(what, done, of, ""),
        )
        bench.warm_up()
        apart = bench.timed((), "steps apart")
        trials = fuse_trials(bench, apart, right)
        name = engine.model
    evidence = decision = None
    if trials:
        found = FuseEvidence(
            model=name,
            items=len(items),
            measured_at=clock.now().isoformat(timespec="seconds"),
            trials=tuple(trial for trial, _ in trials),
        )
        if len(items) >= LEAST_ANSWERS:
            evidence = keep_evidence(job, tier_no, model.sha256, found, settings)
            decision = decide_fusing(found)
        else:  # a quick look takes nothing away from a measurement that was made before
            decision = kept_decision(job, tier_no, model.sha256, settings)
    return Benched(
        tier=tier.name,
        model=name,
        apart=apart,
        accuracy={
            job.steps[number].name: step_accuracy(bench, number, apart.answers[number], right)
            for number in laid_out(job, tier_no, ())
        },
        trials=tuple(trials),
        decision=decision,
        evidence=evidence,
    )
