"""certificates: what was promised of a run, and on what grounds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.reports import opened_store
from pipeline.cli.terminal import examples, json_option, out, print_json, run_argument
from pipeline.domain.audit import Audited
from pipeline.domain.certify import Certificate
from pipeline.domain.decisions import NEVER, decision_json, describe, describe_withdrawal
from pipeline.domain.job import Job
from pipeline.domain.runs import RunState
from pipeline.domain.targets import PEOPLE, TOP
from pipeline.flow.certify import promise_of, watch
from pipeline.ports.store import Concluded, RunRecord, Window


@commands.command()
@run_argument
@json_option
@examples("headrace certificates last", "headrace certificates support-tickets-3fa9 --json")
def certificates(run: str, as_json: bool) -> None:  # noqa: FBT001 — click passes options by name
    """Show what is promised of a run's answers, or why it cannot be.

    A job with a [target] holds the answers of cheap tiers back until they are certified: once the source is read and
    all else is answered, some are drawn at random and asked of the reference, the last tier of the step's ladder.
    `lost` are the drawn answers that differ from it. With reference = "labels" they are asked of people instead
    (`headrace labels`), and the run waits for them. A refused promise holds the run (`on_refused = "hold"`); `retry`
    then lets all held answers go up. Copies of a text count once. With `audit` in the target, some of the answers that
    stand are asked of the reference all the same; where too many differ, the certificate is withdrawn.

    RUN is a name, its beginning (then the latest such run) or `last`, which is the default.
    """
    with opened_store() as store:
        record = store.find_run(run)
        if record.state is RunState.DONE:
            watch(store, record)  # a worker that died just then has left it to us
        decided, coming = store.concluded(record.id), store.windows(record.id)
    if as_json:
        print_json({"run": record.name, "windows": [_decided(record.job, one) for one in decided]})
        return
    _show(record, decided)
    for window in coming:
        out.print(_waiting(record.job, window), markup=False, soft_wrap=True)


def _decided(job: Job, one: Concluded) -> dict[str, Any]:
    kept = decision_json(one.decision)
    kept.pop("step", None)  # a place on the path that was walked, which nobody can look up
    kept["labels"] = [{name: value for name, value in one.items() if name != "step"} for one in kept["labels"]]
    tiers = [job.tiers[number].name for number in job.ladder(one.window.step_no)[:-1]]
    if isinstance(one.decision, Certificate):
        kept["thresholds"] = dict(zip(tiers, kept["thresholds"], strict=True))
    return {
        "step": job.steps[one.window.step_no].name,
        "window": one.window.number,
        "policy_version": one.version,
        "reference": PEOPLE if _by_people(job) else job.tiers[job.ladder(one.window.step_no)[-1]].name,
        **kept,
        "audit": None if one.audit is None else asdict(one.audit),
    }


def _show(record: RunRecord, decided: Sequence[Concluded]) -> None:
    job = record.job
    if job.target is None:
        out.print(f"{record.name} promises nothing: its job has no [target]", markup=False)
        return
    for one in decided:
        step = job.steps[one.window.step_no].name
        reference = PEOPLE if _by_people(job) else TOP
        out.print(describe(one.decision, step=step, reference=reference), markup=False, soft_wrap=True)
        if one.audit is not None:
            out.print(_audited(one.audit, step), markup=False, soft_wrap=True)
    certified = [one for one in decided if isinstance(one.decision, Certificate)]
    if certified:
        table = Table("policy", "step", "tier", "least confidence accepted")
        for one in certified:
            step_no = one.window.step_no
            thresholds = decision_json(one.decision)["thresholds"]
            for tier_no, threshold in zip(job.ladder(step_no)[:-1], thresholds, strict=True):
                shown = "none" if threshold >= NEVER else f"{threshold:.4f}"
                table.add_row(str(one.version), job.steps[step_no].name, job.tiers[tier_no].name, shown)
        out.print(table)
    if not decided:
        wanted = ", ".join(
            f"{job.steps[number].name} {promise_of(job, number).target:.1%}" for number in job.certified_steps
        )
        out.print(f"nothing is decided yet; the targets are: {wanted}", markup=False, soft_wrap=True)


def _by_people(job: Job) -> bool:
    return job.target is not None and job.target.reference == PEOPLE


def _audited(audit: Audited, step: str) -> str:
    if audit.withdrawn:
        return describe_withdrawal(audit, step=step)
    return f"{step}: of {audit.audited:,} audited answers {audit.wrong:,} differ: the certificate holds"


def _waiting(job: Job, window: Window) -> str:
    step = job.steps[window.step_no].name
    if window.drawing is None:
        return f"{step}: {window.items:,} texts wait to be drawn from"
    where = "with people, to be labelled" if _by_people(job) else "with the reference"
    return f"{step}: {window.drawing.drawn:,} drawn answers are {where}"
