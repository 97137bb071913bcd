"""People's labels: what is handed out to be labelled, and what they said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pipeline.adapters.postgres import records, tables
from pipeline.adapters.postgres.database import Database
from pipeline.domain.answers import Plain, from_json
from pipeline.domain.budget import BROKE
from pipeline.domain.outcomes import AUDITED, DRAWN
from pipeline.domain.runs import PAUSED_BY_HAND
from pipeline.ports.labels import KeptLabels, NewLabel, ToLabel, Which
from pipeline.ports.store import LabelledAnswer, Window

_PAGE = 1000
_PLACES: Mapping[Which, str] = {
    "drawn": "SELECT unnest(item_nos) AS item_no, step_no FROM drawings WHERE run_id = :run AND version IS NULL",
    "unresolved": "SELECT item_no, step_no FROM verdicts WHERE run_id = :run AND state = 'unresolved'",
    "audited": f"SELECT item_no, step_no FROM attempts WHERE run_id = :run AND reason = '{AUDITED}'",  # noqa: S608
}
_TO_LABEL = """
SELECT i.item_no, i.key, i.text, array_agg(DISTINCT p.step_no ORDER BY p.step_no) AS steps
  FROM ({places}) AS p JOIN items i ON i.run_id = :run AND i.item_no = p.item_no
 WHERE i.item_no > :after
   AND i.text <> ''
   AND NOT EXISTS (SELECT FROM labels l WHERE (l.run_id, l.item_no, l.step_no) = (i.run_id, p.item_no, p.step_no))
 GROUP BY i.item_no, i.key, i.text ORDER BY i.item_no LIMIT :page
"""
_NUMBERS = sa.text("""
SELECT DISTINCT ON (key) key, coalesce(copy_of, item_no) AS item_no FROM items
 WHERE run_id = :run AND key = ANY(:keys) AND forgotten_at IS NULL ORDER BY key, item_no
""")
_GO_ON = sa.text("""
UPDATE runs SET state = 'running', reason = NULL WHERE id = :run AND state = 'held'
   AND NOT starts_with(coalesce(reason, ''), :by_hand) AND NOT starts_with(coalesce(reason, ''), :broke)
   AND EXISTS (SELECT FROM drawings WHERE run_id = :run AND version IS NULL)
""")
_SAID = sa.text("SELECT item_no, step_no, said FROM labels WHERE run_id = :run AND item_no = ANY(:items)")
_LABELLED = sa.text(f"""
SELECT DISTINCT ON (d.item_no) d.item_no, c.tier_no, c.confidence, c.answer, r.answer AS top, l.said
  FROM unnest(CAST(:items AS bigint[])) AS d (item_no)
  LEFT JOIN attempts c ON c.run_id = :run AND c.item_no = d.item_no AND c.step_no = :step AND c.reason = '{DRAWN}'
  LEFT JOIN verdicts v ON v.run_id = :run AND v.item_no = d.item_no AND v.step_no = :step AND v.state = 'verdict'
  LEFT JOIN attempts r ON (r.run_id, r.item_no, r.step_no, r.tier_no, r.purpose, r.generation)
                        = (v.run_id, v.item_no, v.step_no, v.tier_no, v.purpose, v.generation)
  LEFT JOIN labels l ON l.run_id = :run AND l.item_no = d.item_no AND l.step_no = :step
 ORDER BY d.item_no
""")  # noqa: S608 — built from a word of ours


def to_label(database: Database, run_id: int, which: Which) -> Iterator[ToLabel]:
    """Yield items that are not labelled yet, page by page."""
    query, after = sa.text(_TO_LABEL.format(places=_PLACES[which])), -1
    while True:
        with database.begin() as connection:
            page = connection.execute(query, {"run": run_id, "after": after, "page": _PAGE}).all()
        for row in page:
            yield ToLabel(key=row.key, text=row.text, steps=tuple(row.steps))
        if len(page) < _PAGE:
            return
        after = page[-1].item_no


def keep_labels(database: Database, run_id: int, labels: Sequence[NewLabel]) -> KeptLabels:
    """Keep labels, in place of earlier ones; a run that waited for some goes on."""
    with database.begin() as connection:
        records.fetch_run(connection, run_id, lock=True)
        keys = sorted({one.key for one in labels})
        numbers = {row.key: row.item_no for row in connection.execute(_NUMBERS, {"run": run_id, "keys": keys})}
        rows = {
            (numbers[one.key], one.step_no): {
                "run_id": run_id,
                "item_no": numbers[one.key],
                "step_no": one.step_no,
                "said": {"value": one.value},
            }
            for one in labels
            if one.key in numbers
        }
        if rows:
            new = insert(tables.labels)
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["run_id", "item_no", "step_no"],
                    set_={"said": new.excluded.said, "at": sa.func.now()},
                ),
                list(rows.values()),
            )
            connection.execute(_GO_ON, {"run": run_id, "by_hand": PAUSED_BY_HAND, "broke": BROKE})
        kept = sum(one.key in numbers for one in labels)
        return KeptLabels(kept=kept, unknown_keys=tuple(dict.fromkeys(k.key for k in labels if k.key not in numbers)))


def labelled_answers(database: Database, run_id: int, window: Window) -> Sequence[LabelledAnswer]:
    """Return what tiers and people say of a window's drawn items."""
    values = {"run": run_id, "step": window.step_no, "items": list(window.drawn)}
    with database.begin() as connection:
        return [_labelled(row) for row in connection.execute(_LABELLED, values)]


def _labelled(row: "sa.Row[Any]") -> LabelledAnswer:
    return LabelledAnswer(
        item_no=row.item_no,
        tier_no=row.tier_no,
        confidence=row.confidence,
        answer=None if row.answer is None else from_json(row.answer),
        top=None if row.top is None else from_json(row.top),
        labelled=row.said is not None,
        label=None if row.said is None else _plain(row.said["value"]),
    )


def labels_of(connection: sa.Connection, run_id: int, item_nos: Sequence[int]) -> dict[tuple[int, int], Plain]:
    """Return (item_no, step_no) → what people say, of these items."""
    rows = connection.execute(_SAID, {"run": run_id, "items": list(item_nos)})
    return {(row.item_no, row.step_no): _plain(row.said["value"]) for row in rows}


def _plain(value: Any) -> Plain:  # noqa: ANN401 — JSON in, checked when it was kept
    found: Plain = value
    if isinstance(value, list):
        found = tuple(value)
    elif isinstance(value, dict):
        found = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
    return found
