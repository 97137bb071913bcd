"""What people read of a run: counts, costs, rejected rows."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.adapters.postgres.money import spending_of, unsettled_of
from pipeline.domain.errors import ConfigError, RunNotFound
from pipeline.domain.items import RejectedRow, RejectReason
from pipeline.domain.ledger import StepUsage, baseline_usd
from pipeline.domain.runs import CostRow, Costs, RunProgress, RunState, StepCounts, shown_state
from pipeline.ports.store import RunRecord

_PAGE = 2000
_VERDICTS = sa.text("""
SELECT step_no, tier_no, state, sum(n) AS n FROM (
    SELECT step_no, tier_no, state, count(*) AS n FROM verdicts WHERE run_id = :run GROUP BY 1, 2, 3
    UNION ALL
    SELECT v.step_no, v.tier_no, v.state, count(*)
      FROM items i JOIN verdicts v ON v.run_id = i.run_id AND v.item_no = i.copy_of
     WHERE i.run_id = :run AND i.copy_of IS NOT NULL GROUP BY 1, 2, 3
) AS counted GROUP BY 1, 2, 3
""")
_MONEY = sa.text("""
SELECT count(*) AS calls, count(*) FILTER (WHERE cost_usd IS NULL) AS unknown, coalesce(sum(cost_usd), 0) AS known
  FROM ledger WHERE run_id = :run
""")
_PAUSES = sa.text("SELECT tier_no, pool, reason FROM pauses WHERE run_id = :run OR pool = ANY(:pools) ORDER BY since")
_USAGE = sa.text("""
SELECT step_no,
       sum(tokens_in) FILTER (WHERE is_read) AS tokens_in,
       sum(tokens_out) FILTER (WHERE is_read) AS tokens_out,
       count(*) FILTER (WHERE is_read AND (tokens_in IS NULL OR tokens_out IS NULL)) AS unknown,
       count(*) FILTER (WHERE is_read) AS read,
       count(*) FILTER (WHERE is_first) AS asked,
       sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0)) FILTER (WHERE tier_no = :top) AS top_tokens,
       sum(cost_usd) FILTER (WHERE tier_no = :top) AS top_cost,
       count(*) FILTER (WHERE tier_no = :top AND cost_usd IS NULL) AS top_unknown
  FROM (
    SELECT *, generation = 0 AND tier_no = (CAST(:first AS smallint[]))[step_no + 1] AS is_first,
           generation = 0 AND tier_no = (CAST(:readers AS smallint[]))[step_no + 1] AS is_read
      FROM attempts WHERE run_id = :run
  ) AS a GROUP BY step_no
""")
# Grouped from the ledger: every call made is there once, with its answers recorded or not.
_LEDGER_GROUPS = {
    "tier": "(r.job -> 'tiers' -> l.tier_no ->> 'name')",
    "model": "l.model",
    "day": "to_char(l.at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "step": "coalesce(r.job -> 'steps' -> a.step_no ->> 'name', '')",
}


def find_run(database: Database, name: str) -> RunRecord:
    """Return the run of this name, the latest whose name begins so, or the latest of all for `last`."""
    runs = tables.runs
    query = sa.select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(1)
    exact = query.where(runs.c.name == name)
    wide = query if name == "last" else query.where(runs.c.name.startswith(name, autoescape=True))
    with database.begin() as connection:
        row = connection.execute(exact).one_or_none() or connection.execute(wide).one_or_none()
        if row is None:
            raise RunNotFound(f"no run named {name!r}: `headrace status` lists them")
        return records.run_record(row, name)


def list_runs(database: Database, *, limit: int) -> Sequence[RunProgress]:
    """Return the latest runs first."""
    runs = tables.runs
    with database.begin() as connection:
        ids = connection.scalars(sa.select(runs.c.id).order_by(runs.c.created_at.desc()).limit(limit)).all()
        return [_progress(connection, run_id) for run_id in ids]


def progress(database: Database, run_id: int) -> RunProgress:
    """Count a run."""
    with database.begin() as connection:
        return _progress(connection, run_id)


def _progress(connection: sa.Connection, run_id: int) -> RunProgress:
    query = sa.select(tables.runs, sa.func.now().label("at")).where(tables.runs.c.id == run_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RunNotFound(f"no run {run_id}: `headrace status` lists them")
    run = records.run_record(row, run_id)
    money = connection.execute(_MONEY, {"run": run_id}).one()
    state, reason = _shown_state(connection, run)
    return RunProgress(
        run=run.name,
        state=state,
        reason=reason,
        items=row._mapping["items"],  # noqa: SLF001 — `items` is also a method of a row's tuple
        rejected=row.rejected,
        forgotten=row.forgotten,
        duplicates=row.duplicates,
        steps=_steps(connection, run),
        known_usd=money.known,
        unknown_calls=money.unknown,
        calls=money.calls,
        baseline_usd=_baseline(connection, run, row.created_at.date()),
        created_at=row.created_at,
        spending=spending_of(connection, run_id),
        unsettled=unsettled_of(connection, run_id),
        seconds=((row.finished_at or row.at) - row.created_at).total_seconds(),
    )


def _shown_state(connection: sa.Connection, run: RunRecord) -> tuple[RunState, str | None]:
    names = {tier.pool: tier.name for tier in run.job.tiers}
    paused = {
        names.get(row.pool) or run.job.tiers[row.tier_no].name: row.reason
        for row in connection.execute(_PAUSES, {"run": run.id, "pools": list(names)})
    }
    return shown_state(run.state, run.reason, paused)


def _steps(connection: sa.Connection, run: RunRecord) -> dict[str, StepCounts]:
    verdicts: dict[int, dict[str, int]] = defaultdict(dict)
    unresolved: dict[int, int] = defaultdict(int)
    for row in connection.execute(_VERDICTS, {"run": run.id}):
        if row.state == "unresolved":
            unresolved[row.step_no] += int(row.n)
        else:
            name = run.job.tiers[row.tier_no].name
            verdicts[row.step_no][name] = verdicts[row.step_no].get(name, 0) + int(row.n)
    return {
        step.name: StepCounts(
            verdicts={tier.name: verdicts[step_no].get(tier.name, 0) for tier in run.job.tiers},
            unresolved=unresolved[step_no],
        )
        for step_no, step in enumerate(run.job.steps)
    }


def _baseline(connection: sa.Connection, run: RunRecord, day: dt.date) -> Decimal | None:
    """Estimate the all-large run; None when a token count that it needs is unknown."""
    top = len(run.job.tiers) - 1
    steps = range(len(run.job.steps))
    first, readers = [run.job.ladder(number)[0] for number in steps], [run.job.reader(number) for number in steps]
    usage: list[StepUsage] = []
    for row in connection.execute(_USAGE, {"run": run.id, "first": first, "readers": readers, "top": top}):
        if row.unknown:
            return None
        usage.append(
            StepUsage(
                tokens_in=int(row.tokens_in or 0),
                tokens_out=int(row.tokens_out or 0),
                read=int(row.read),
                unread=int(row.asked) - int(row.read),
                top_tokens=int(row.top_tokens or 0),
                top_cost_usd=None if row.top_unknown else row.top_cost,
            )
        )
    return baseline_usd(usage, run.price_book.price(run.job.tiers[top].price, day))


def rejected(database: Database, run_id: int) -> Iterator[RejectedRow]:
    """Yield the rejected rows in the source's order, page by page."""
    table = tables.rejected_rows
    after = -1
    while True:
        with database.begin() as connection:
            page = connection.execute(
                sa.select(table)
                .where(table.c.run_id == run_id, table.c.row_no > after)
                .order_by(table.c.row_no)
                .limit(_PAGE)
            ).all()
        for row in page:
            yield RejectedRow(source=row.source, line=row.line, reason=RejectReason(row.reason), detail=row.detail)
        if len(page) < _PAGE:
            return
        after = page[-1].row_no


def costs(database: Database, run_id: int | None, *, by: Sequence[str]) -> Costs:
    """Return costs grouped by any of step, tier, model, day; the sums equal the ledger's."""
    unknown = [name for name in by if name not in _LEDGER_GROUPS]
    if unknown or not by:
        raise ConfigError(f"costs --by takes any of {', '.join(sorted(_LEDGER_GROUPS))}")
    query = _by_step(by) if "step" in by else _by_call(by)
    with database.begin() as connection:
        rows = [_cost_row(row, by) for row in connection.execute(sa.text(query), {"run": run_id})]
        total = connection.execute(
            sa.text(
                "SELECT coalesce(sum(cost_usd), 0) AS known, count(*) FILTER (WHERE cost_usd IS NULL) AS unknown"
                " FROM ledger WHERE run_id = :run OR CAST(:run AS bigint) IS NULL"
            ),
            {"run": run_id},
        ).one()
        unsettled = unsettled_of(connection, run_id)
    return Costs(rows=tuple(rows), known_usd=total.known, unknown_calls=total.unknown, unsettled=unsettled)


def _by_call(by: Sequence[str]) -> str:
    groups = ", ".join(f"{_LEDGER_GROUPS[name]} AS by_{name}" for name in by)
    places = ", ".join(str(place + 1) for place in range(len(by)))
    return f"""
SELECT {groups}, count(*) AS calls, count(*) FILTER (WHERE l.cost_usd IS NULL) AS unknown_calls,
       sum(l.tokens_in) AS tokens_in, sum(l.tokens_cached) AS tokens_cached, sum(l.tokens_out) AS tokens_out,
       sum(l.seconds) AS seconds, coalesce(sum(l.cost_usd), 0) AS known_usd
  FROM ledger l JOIN runs r ON r.id = l.run_id
 WHERE l.run_id = :run OR CAST(:run AS bigint) IS NULL GROUP BY {places} ORDER BY {places}
"""  # noqa: S608 — built from the fixed words above only


def _by_step(by: Sequence[str]) -> str:
    """Split calls over their steps; a call without recorded answers (refused) stands under the empty step."""
    groups = ", ".join(f"{_LEDGER_GROUPS[name]} AS by_{name}" for name in by)
    places = ", ".join(str(place + 1) for place in range(len(by)))
    return f"""
SELECT {groups}, count(DISTINCT l.call_id) AS calls,
       count(DISTINCT l.call_id) FILTER (WHERE l.cost_usd IS NULL) AS unknown_calls,
       sum(coalesce(a.tokens_in, CASE WHEN a.call_id IS NULL THEN l.tokens_in END)) AS tokens_in,
       sum(coalesce(a.tokens_cached, CASE WHEN a.call_id IS NULL THEN l.tokens_cached END)) AS tokens_cached,
       sum(coalesce(a.tokens_out, CASE WHEN a.call_id IS NULL THEN l.tokens_out END)) AS tokens_out,
       sum(CASE WHEN a.call_id IS NULL THEN l.seconds ELSE l.seconds * a.share END) AS seconds,
       coalesce(sum(CASE WHEN a.call_id IS NULL THEN l.cost_usd ELSE a.cost_usd END), 0) AS known_usd
  FROM ledger l JOIN runs r ON r.id = l.run_id
  LEFT JOIN (
    SELECT call_id, step_no, sum(tokens_in) AS tokens_in, sum(tokens_cached) AS tokens_cached,
           sum(tokens_out) AS tokens_out, sum(cost_usd) AS cost_usd,
           count(*)::float8 / sum(count(*)) OVER (PARTITION BY call_id) AS share
      FROM attempts WHERE run_id = :run OR CAST(:run AS bigint) IS NULL GROUP BY call_id, step_no
  ) AS a ON a.call_id = l.call_id
 WHERE l.run_id = :run OR CAST(:run AS bigint) IS NULL GROUP BY {places} ORDER BY {places}
"""  # noqa: S608 — built from the fixed words above only


def _cost_row(row: "sa.Row[Any]", by: Sequence[str]) -> CostRow:
    return CostRow(
        group={name: str(getattr(row, f"by_{name}")) for name in by},
        calls=row.calls,
        unknown_calls=row.unknown_calls,
        tokens_in=int(row.tokens_in or 0),
        tokens_cached=int(row.tokens_cached or 0),
        tokens_out=int(row.tokens_out or 0),
        seconds=float(row.seconds or 0.0),
        known_usd=row.known_usd,
    )
