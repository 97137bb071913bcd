"""migrate: the tables, and the roles that may use them."""

import sys

import click

from pipeline.cli.main import commands
from pipeline.cli.terminal import examples, out
from pipeline.settings import load_settings
from pipeline.wiring.servers import Role, make_roles, roles_script, servers


@commands.command()
@click.option("--roles", is_flag=True, help="Make the database's roles as well, or make them again what they are.")
@click.option("--print-roles", is_flag=True, help="Only print the SQL that makes the roles.")
@examples(
    "HEADRACE_DATABASE_URL=postgresql://… HEADRACE_REDIS_URL=redis://… headrace migrate",
    "HEADRACE_DATABASE_URL=postgresql://… HEADRACE_REDIS_URL=redis://… headrace migrate --roles",
    "headrace migrate --print-roles | psql headrace",
)
def migrate(roles: bool, print_roles: bool) -> None:  # noqa: FBT001
    """Bring the tables of your own Postgres up to this release, before workers of your own start.

    `run` and `up` do it by themselves, and embedded tables are always brought up to date.

    With --roles there are three roles that nobody can log in as, to be given to those who can, as in
    GRANT headrace_worker TO alice: headrace_producer (`submit`, Producer: puts rows in, reads no text and no answer),
    headrace_worker (`worker`, `sweep`) and headrace_reader (all that only reads). All else is for the tables' owner,
    who must be allowed to create roles here. Do it again after an upgrade, for new tables.
    """
    if print_roles:
        sys.stdout.write(roles_script())
        return
    with servers(load_settings(), Role.REPORT, migrated=True) as found:
        out.print("tables are up to date")
        if roles:
            make_roles(found)
            out.print("roles headrace_producer, headrace_worker and headrace_reader are there", soft_wrap=True)
