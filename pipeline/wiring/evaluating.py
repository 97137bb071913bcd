"""eval: every tier of a job asked the same labelled texts, and what is kept of it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.adapters.entry_points import load_entry_points
from pipeline.adapters.models.records import keep, kept
from pipeline.adapters.pages import evaluation_page
from pipeline.asking import Asking, askings
from pipeline.domain.calibration import uncalibrated
from pipeline.domain.checks import EntryPoint
from pipeline.domain.errors import ConfigError, EngineUnavailable
from pipeline.domain.items import Item, fingerprint
from pipeline.domain.job import Job
from pipeline.domain.ledger import Call, enter
from pipeline.domain.outcomes import Given, Held, Verdict
from pipeline.domain.policy import PolicyVersion, believe, decide
from pipeline.domain.pricing import Price, PriceBook
from pipeline.domain.tiers import OnLong
from pipeline.flow.evaluate import StepAnswers, TierAnswers
from pipeline.flow.evaluation import Evaluation, evaluate_step
from pipeline.flow.redacting import shielded
from pipeline.flow.samples import is_right, plain
from pipeline.flow.scoring import UNGROUPED, GoldLine, same
from pipeline.flow.second_look import looked_again
from pipeline.ports.clock import Clock
from pipeline.ports.engine import Ask, Engine
from pipeline.settings import Settings
from pipeline.wiring.engines import engine_for
from pipeline.wiring.formats import Say, Show

FOLDER = "evaluations"
HARD = "hard"
_SLICE = 64


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One step's labelled texts."""

    items: Sequence[Item]
    gold: Sequence[Any]
    groups: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What a tier said to a step's texts."""

    given: Sequence[Given]
    seconds: float
    usd: Decimal | None


def labelled_steps(job: Job, items: Sequence[Item], gold: Mapping[str, GoldLine]) -> dict[int, Labelled]:
    """Return, by step number, the items with a right answer to that step; raises ConfigError where there are none."""
    found = {}
    for number, step in enumerate(job.steps):
        known = [item for item in items if item.key in gold and step.name in gold[item.key].answers]
        if known:
            found[number] = Labelled(
                items=known,
                gold=[gold[item.key].answers[step.name] for item in known],
                groups=[gold[item.key].group for item in known],
            )
    if not found:
        raise ConfigError("no item's key stands in the labels: see the job's `key` and the file of --labels")
    return found


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all tiers said."""

    models: Mapping[str, str]
    """Tier → what answered."""
    steps: Mapping[int, StepAnswers]
    """By step number."""


def ask_all(
    job: Job,
    labelled: Mapping[int, Labelled],
    prices: PriceBook,
    settings: Settings,
    *,
    hard: frozenset[str] = frozenset(),
    clock: Clock,
    say: Say,
    show: Show,
) -> Asked:
    """Ask every tier everything that is labelled; `hard` are keys of a slice of their own."""
    said: dict[tuple[int, int], _Said] = {}
    models: dict[str, str] = {}
    for tier_no, tier in enumerate(job.tiers):
        asked = {number: one for number, one in askings(job, tier_no).items() if number in labelled}
        if not asked:
            continue
        say(f"{tier.name}: loading {tier.model}")
        with closing(engine_for(tier, settings)) as engine:
            models[tier.name] = engine.model
            price = prices.price(tier.price, clock.now().date())
            for number, asking in asked.items():
                asker = _Asker(
                    engine=shielded(engine, job, tier_no),
                    asking=asking,
                    on_long=tier.on_long,
                    again=job.looks_again(tier_no),
                    price=price,
                    show=show,
                    title=f"{tier.name} answers {job.steps[number].name}",
                )
                said[number, tier_no] = asker.ask([item.text for item in labelled[number].items])
    checks = load_entry_points(job)
    steps = {
        number: _step(job, number, one, {tier: said[number, tier] for tier in job.ladder(number)}, checks, hard)
        for number, one in labelled.items()
    }
    return Asked(models=models, steps=steps)


def evaluated(
    job: Job, labelled: Mapping[int, Labelled], asked: Asked, settings: Settings, *, clock: Clock
) -> Evaluation:
    """Work out all figures, and keep them."""
    made_at = clock.now().isoformat(timespec="seconds")
    name = f"{job.name}-{hashlib.sha256((made_at + job.digest).encode()).hexdigest()[:8]}"
    found = Evaluation(
        name=name,
        made_at=made_at,
        job=job.name,
        job_digest=job.digest,
        models=asked.models,
        keys={
            job.steps[number].name: [fingerprint(item.text).hex() for item in one.items]
            for number, one in labelled.items()
        },
        steps=tuple(
            evaluate_step(answers, kind=job.steps[number].kind, target=job.certified_steps.get(number))
            for number, answers in asked.steps.items()
        ),
    )
    keep(_folder(settings) / f"{name}.json", found)
    return found


def kept_evaluation(name: str, settings: Settings) -> Evaluation:
    """Return the evaluation of that name, or whose name begins so, or the latest for `last`; raises ConfigError."""
    there = kept_names(settings)
    chosen = [one for one in there if name == "last" or one.startswith(name)]
    found = kept(_folder(settings) / f"{chosen[0]}.json", Evaluation) if chosen else None
    if found is None:
        raise ConfigError(f"no evaluation is called {name}; there are: {', '.join(there[:10]) or 'none yet'}")
    return found


def kept_names(settings: Settings) -> list[str]:
    """Return the names of all kept evaluations, the latest first."""
    files = sorted(_folder(settings).glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path.stem for path in files]


def _folder(settings: Settings) -> Path:
    return settings.home / FOLDER


@dataclass(frozen=True, kw_only=True)
class _Asker:
    """Asks one tier one step."""

    engine: Engine
    asking: Asking
    on_long: OnLong
    again: bool
    """Whether answers that their texts name are asked for again, as a run does."""
    price: Price | None
    show: Show
    title: str

    def ask(self, texts: Sequence[str]) -> _Said:
        given: list[Given] = []
        calls: list[Call] = []
        width = len(self.asking.questions)
        for at in range(0, len(texts), _SLICE):
            part = texts[at : at + _SLICE]
            asks = [
                Ask(question=one, text=text, on_long=self.on_long) for text in part for one in self.asking.questions
            ]
            reply = self.engine.answer(asks)
            reply = looked_again(self.engine, asks, reply) if self.again else reply
            answered = [one for one in reply.given if one is not None]
            if len(answered) < len(part) * width:
                why = reply.outage or "no reason given"
                raise EngineUnavailable(f"{self.engine.model} stopped answering: {why}; try again later")
            given += [self.asking.merge(answered[n : n + width]) for n in range(0, len(answered), width)]
            calls += reply.calls
            self.show(self.title, len(given), len(texts), "")
        costs = [enter(call, self.price).cost_usd for call in calls]
        known = [cost for cost in costs if cost is not None]
        usd = sum(known, Decimal(0)) if len(known) == len(costs) else None
        return _Said(given=given, seconds=sum(call.seconds for call in calls), usd=usd)


def _step(
    job: Job,
    number: int,
    labelled: Labelled,
    said: Mapping[int, _Said],
    checks: Mapping[str, EntryPoint],
    hard: frozenset[str],
) -> StepAnswers:
    top = [plain(one) for one in said[job.ladder(number)[-1]].given]
    slices = {
        name: np.array([group == name for group in labelled.groups])
        for name in dict.fromkeys(labelled.groups)
        if name != UNGROUPED
    }
    if hard:
        slices[HARD] = np.array([item.key in hard for item in labelled.items])
    return StepAnswers(
        step=job.steps[number].name,
        keys=[item.key for item in labelled.items],
        gold=labelled.gold,
        slices=slices,
        tiers=[_tier(job, (number, tier_no), labelled, one, top, checks) for tier_no, one in said.items()],
    )


def _tier(
    job: Job,
    place: tuple[int, int],
    labelled: Labelled,
    said: _Said,
    top: Sequence[Any],
    checks: Mapping[str, EntryPoint],
) -> TierAnswers:
    # Whether an answer could stand at all is asked with a threshold that nothing fails.
    lenient = PolicyVersion(version=0, thresholds={place: None})
    confidences = [believe(one, uncalibrated)[0] for one in said.given]
    outcomes = [
        decide(job, lenient, place, one, confidence, text=item.text, entry_points=checks)
        for one, confidence, item in zip(said.given, confidences, labelled.items, strict=True)
    ]
    values = [plain(one) for one in said.given]
    return TierAnswers(
        tier=job.tiers[place[1]].name,
        values=values,
        usable=np.array([isinstance(one, Verdict | Held) for one in outcomes]),
        chances=np.array([np.nan if one is None else one.value for one in confidences]),
        right=np.array([is_right(one, gold) for one, gold in zip(said.given, labelled.gold, strict=True)]),
        as_top=np.array([same(value, other) for value, other in zip(values, top, strict=True)]),
        threshold=job.threshold(*place),
        seconds=said.seconds,
        usd=said.usd,
    )


def page_of(found: Evaluation) -> str:
    """Return the HTML report of an evaluation."""
    return evaluation_page(found.model_dump(mode="json"))


def hard_keys(path: Path | None) -> frozenset[str]:
    """Read a slice file: one key a line; raises ConfigError."""
    return frozenset() if path is None else frozenset(_lines(path))


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from (line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read as UTF-8 text: write one key a line") from None
