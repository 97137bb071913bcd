"""The command that checks everything a run needs."""

from pathlib import Path

import click

from pipeline.cli.main import commands
from pipeline.cli.terminal import examples, json_option, out, print_json
from pipeline.domain.errors import ConfigError
from pipeline.domain.findings import Finding, Level
from pipeline.settings import load_settings
from pipeline.wiring.checkup import checkup

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}
_NAME_WIDTH = 20
_LEVEL_WIDTH = 9


@commands.command()
@click.argument("job_file", metavar="[JOB]", required=False, type=click.Path(path_type=Path))
@json_option
@examples("headrace doctor", "headrace doctor job.toml", "headrace doctor job.toml --json")
def doctor(job_file: Path | None, as_json: bool) -> None:  # noqa: FBT001 — click passes options by name
    """Check everything a run needs, and say how to mend what is amiss; exit code 2 when a run would fail.

    With JOB, its models, keys, endpoints, prices and thresholds too: models are hashed, endpoints are asked which
    models they have, the functions of `python` checks are imported. No text is sent anywhere and a running `up` is left
    alone. Where none runs, the embedded servers are started for a moment, as any command does: that makes the home if
    it is not there, and brings its tables up to this release.
    """
    findings: list[Finding] = []
    for finding in checkup(load_settings(), job_file):
        findings.append(finding)
        if not as_json:
            _show(finding)
    failed = [finding.name for finding in findings if finding.level is Level.FAILURE]
    if as_json:
        print_json({"ok": not failed, "findings": [finding.as_json() for finding in findings]})
    if failed:
        raise ConfigError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}; see what to do above")


def _show(finding: Finding) -> None:
    """Print one line, and below it the way out."""
    margin = " " * (_LEVEL_WIDTH + _NAME_WIDTH)
    out.print(f"{finding.level.value:<{_LEVEL_WIDTH}}", end="", style=_STYLES[finding.level])
    text = f"{finding.name:<{_NAME_WIDTH}}" + finding.seen.replace("\n", f"\n{margin}")
    out.print(text, markup=False, soft_wrap=True)
    if finding.mend is not None:
        out.print(f"{margin}→ {finding.mend}", markup=False, soft_wrap=True)
