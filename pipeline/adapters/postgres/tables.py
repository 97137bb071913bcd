"""The tables, but for those of log events. Constraints make a wrong row impossible where SQL can say what is wrong."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from pipeline.adapters.postgres import log_tables
from pipeline.adapters.postgres.schema import USD, metadata, moment

__all__ = ["log_tables", "metadata"]

_OPEN = "state IN ('pending', 'claimed')"
_DUE = "state = 'pending' AND published_at IS NULL"
_ANNOUNCED = "state = 'pending' AND published_at IS NOT NULL"


runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("job_name", sa.Text, nullable=False),
    sa.Column("job_digest", sa.Text, nullable=False),
    sa.Column("source_digest", sa.Text, nullable=False),
    # JSON, not JSONB: the order of steps, labels and fields is part of what is asked.
    sa.Column("job", JSON, nullable=False),
    sa.Column("price_book", JSON, nullable=False),
    sa.Column("prompt_digests", JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("rows_read", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("ingested", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.Column("items", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("duplicates", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("rejected", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("forgotten", sa.BigInteger, nullable=False, server_default="0"),
    moment("created_at", now=True),
    moment("finished_at"),
    # Of what had ended by then: a run that is taken up again and ends has texts again.
    moment("texts_erased_at"),
    sa.UniqueConstraint("job_name", "job_digest", "source_digest"),
    sa.CheckConstraint("state IN ('ingesting', 'running', 'held', 'done', 'cancelled', 'failed')", name="state"),
    sa.CheckConstraint("items + rejected + forgotten = rows_read", name="every_row_counted"),
    sa.CheckConstraint("duplicates <= items", name="duplicates_are_items"),
    sa.CheckConstraint("state <> 'done' OR (ingested AND finished_at IS NOT NULL)", name="done_is_complete"),
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
    # The row's place in its source: the same row can't be stored twice.
    sa.Column("item_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    # Salted by the run: looked up alone, by an index of its own, whatever the planner believes about a growing run.
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("key_fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("copy_of", sa.BigInteger),
    # A row that was forgotten keeps its place, for what its calls have cost, and nothing else.
    moment("forgotten_at"),
    sa.ForeignKeyConstraint(["run_id", "copy_of"], ["items.run_id", "items.item_no"]),
    sa.CheckConstraint("octet_length(fingerprint) = 16 AND octet_length(key_fingerprint) = 16", name="fingerprints"),
    sa.CheckConstraint("copy_of < item_no", name="copies_an_earlier"),
    # A text that was erased is empty: no item's text is.
    sa.CheckConstraint("(text IS NULL) = (copy_of IS NOT NULL)", name="text_once"),
    sa.CheckConstraint(
        "forgotten_at IS NULL OR (key = '' AND source = '' AND line = 0 AND text = '' AND copy_of IS NULL)",
        name="forgotten_is_empty",
    ),
    sa.Index("uq_items_text_once", "fingerprint", unique=True, postgresql_where=sa.text("copy_of IS NULL")),
    sa.Index("ix_items_copies", "run_id", "copy_of", postgresql_where=sa.text("copy_of IS NOT NULL")),
    sa.Index("ix_items_key", "key_fingerprint"),
)

rejected_rows = sa.Table(
    "rejected_rows",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("row_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

chunks = sa.Table(
    "chunks",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("tier_no", sa.SmallInteger, nullable=False),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("generation", sa.SmallInteger, nullable=False, server_default="0"),
    # Arrays, not a table: a chunk is written once and read whole; what came of it is in attempts, with all its keys.
    sa.Column("item_nos", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("step_masks", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claimed_by", sa.Text),
    # Why it was given up last, without a word of its items.
    sa.Column("failure", sa.Text),
    moment("lease_until"),
    moment("created_at", now=True),
    moment("published_at"),
    # Broken off: its next try waits a little, since what broke it may pass.
    moment("not_before"),
    moment("done_at"),
    sa.CheckConstraint("state IN ('pending', 'claimed', 'done', 'dead', 'cancelled')", name="state"),
    sa.CheckConstraint("(state = 'claimed') = (lease_until IS NOT NULL)", name="claimed_has_lease"),
    sa.CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name="done_has_time"),
    sa.CheckConstraint(
        "cardinality(item_nos) > 0 AND cardinality(item_nos) = cardinality(step_masks)", name="one_mask_an_item"
    ),
    sa.Index("ix_chunks_open", "run_id", "tier_no", postgresql_where=sa.text(_OPEN)),
    sa.Index("ix_chunks_dead", "run_id", postgresql_where=sa.text("state IN ('dead', 'cancelled')")),
    sa.Index("ix_chunks_due", "run_id", "tier_no", "id", postgresql_where=sa.text(_DUE)),
    sa.Index("ix_chunks_announced", "pool", "run_id", "tier_no", postgresql_where=sa.text(_ANNOUNCED)),
    sa.Index("ix_chunks_claimed", "pool", postgresql_where=sa.text("state = 'claimed'")),
)

policy_versions = sa.Table(
    "policy_versions",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("version", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("thresholds", JSON, nullable=False),
    sa.Column("certified", sa.Boolean, nullable=False, server_default=sa.text("false")),
    moment("created_at", now=True),
)

# Which items of a window are shown to the reference, fixed before any of its answers is seen, and what came of it.
drawings = sa.Table(
    "drawings",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("step_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("first_item", sa.BigInteger, nullable=False),
    sa.Column("until_item", sa.BigInteger, nullable=False),
    sa.Column("items", sa.BigInteger, nullable=False),
    sa.Column("plan", JSON, nullable=False),
    sa.Column("item_nos", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("decision", JSON),
    sa.Column("version", sa.SmallInteger),
    sa.Column("audit", JSON),
    moment("created_at", now=True),
    moment("decided_at"),
    sa.ForeignKeyConstraint(["run_id", "version"], ["policy_versions.run_id", "policy_versions.version"]),
    sa.CheckConstraint("first_item <= until_item AND items >= 0", name="window"),
    sa.CheckConstraint(
        "(decision IS NULL) = (version IS NULL) AND (decision IS NULL) = (decided_at IS NULL)", name="decided_whole"
    ),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("call_id", sa.Uuid, primary_key=True),
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("chunk_id", sa.BigInteger, sa.ForeignKey("chunks.id"), nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("tier_no", sa.SmallInteger, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.BigInteger),
    sa.Column("tokens_cached", sa.BigInteger),
    sa.Column("tokens_out", sa.BigInteger),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("cost_usd", USD),
    sa.Column("price_version", sa.Text),
    sa.Column("refused", sa.Boolean, nullable=False, server_default=sa.text("false")),
    moment("at", now=True),
    sa.CheckConstraint("cost_usd >= 0", name="cost_not_negative"),
    sa.CheckConstraint("seconds >= 0", name="seconds_not_negative"),
    sa.CheckConstraint("cost_usd IS NULL OR price_version IS NOT NULL", name="cost_has_price"),
    sa.CheckConstraint("tokens_cached <= tokens_in", name="cached_are_in"),
    sa.Index("ix_ledger_run", "run_id"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True),
    sa.Column("item_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("tier_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("generation", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("chunk_id", sa.BigInteger, sa.ForeignKey("chunks.id"), nullable=False),
    sa.Column("call_id", sa.Uuid, sa.ForeignKey("ledger.call_id"), nullable=False),
    sa.Column("policy_version", sa.SmallInteger, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("to_tier", sa.SmallInteger),
    sa.Column("answer", JSON),
    sa.Column("defect_detail", sa.Text),
    sa.Column("raw_score", sa.Double),
    sa.Column("confidence", sa.Double),
    sa.Column("calibrated", sa.Boolean, nullable=False),
    sa.Column("field_confidences", JSON),
    sa.Column("tokens_in", sa.BigInteger),
    sa.Column("tokens_cached", sa.BigInteger),
    sa.Column("tokens_out", sa.BigInteger),
    sa.Column("cost_usd", USD),
    sa.Column("truncated", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["run_id", "item_no"], ["items.run_id", "items.item_no"]),
    sa.ForeignKeyConstraint(["run_id", "policy_version"], ["policy_versions.run_id", "policy_versions.version"]),
    sa.CheckConstraint("purpose IN ('answer', 'pilot', 'audit', 'learn')", name="purpose"),
    sa.CheckConstraint("outcome IN ('verdict', 'held', 'escalation', 'unresolved')", name="outcome"),
    sa.CheckConstraint("(outcome IN ('verdict', 'held')) = (reason IS NULL)", name="no_escalation_without_reason"),
    sa.CheckConstraint("(outcome = 'escalation') = (to_tier IS NOT NULL)", name="escalation_has_tier"),
    sa.CheckConstraint("to_tier > tier_no", name="only_upward"),
    sa.CheckConstraint("outcome NOT IN ('verdict', 'held') OR answer IS NOT NULL", name="verdict_has_answer"),
    sa.CheckConstraint("outcome <> 'held' OR confidence IS NOT NULL", name="held_has_confidence"),
    sa.CheckConstraint("raw_score BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1", name="scores_are_probabilities"),
    sa.CheckConstraint("cost_usd >= 0", name="cost_not_negative"),
    sa.Index("ix_attempts_held", "run_id", "step_no", "item_no", postgresql_where=sa.text("outcome = 'held'")),
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True),
    sa.Column("item_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("tier_no", sa.SmallInteger, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False, server_default="answer"),
    sa.Column("generation", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(
        ["run_id", "item_no", "step_no", "tier_no", "purpose", "generation"],
        [f"attempts.{name}" for name in ("run_id", "item_no", "step_no", "tier_no", "purpose", "generation")],
    ),
    sa.CheckConstraint("state IN ('verdict', 'unresolved', 'uncertified')", name="state"),
    sa.CheckConstraint("purpose = 'answer'", name="answers_only"),
)

# What people say is right. `said` is {"value": …}: that no label fits is said with null.
labels = sa.Table(
    "labels",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True),
    sa.Column("item_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("said", JSON, nullable=False),
    moment("at", now=True),
    sa.ForeignKeyConstraint(["run_id", "item_no"], ["items.run_id", "items.item_no"]),
)

escalations = sa.Table(
    "escalations",
    metadata,
    sa.Column("run_id", sa.BigInteger, primary_key=True),
    sa.Column("tier_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("item_no", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("step_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    moment("since", now=True),
    sa.ForeignKeyConstraint(["run_id", "item_no"], ["items.run_id", "items.item_no"]),
)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("tier_no", sa.SmallInteger, primary_key=True, autoincrement=False),
    # Whose endpoint is down: no run asks it. None: only this run waits, for money.
    sa.Column("pool", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("times", sa.Integer, nullable=False, server_default="1"),
    moment("since", now=True),
    moment("until", nullable=False),
    sa.Index("ix_pauses_pool", "pool"),
)

# What a run may spend, and has: one row a run with a budget, locked by whoever reserves or settles.
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    sa.Column("usd", USD),
    sa.Column("per_item_usd", USD),
    sa.Column("on_exhausted", sa.Text, nullable=False),
    sa.Column("settled_usd", USD, nullable=False, server_default="0"),
    sa.Column("reserved_usd", USD, nullable=False, server_default="0"),
    sa.CheckConstraint("usd > 0 AND settled_usd >= 0 AND reserved_usd >= 0", name="money"),
    sa.CheckConstraint("on_exhausted IN ('hold', 'accept', 'stop')", name="on_exhausted"),
    sa.CheckConstraint("per_item_usd > 0", name="per_item"),
    sa.CheckConstraint("usd IS NOT NULL OR per_item_usd IS NOT NULL", name="says_something"),
)

# Paid calls that were begun and are not settled: what a claim may cost at most.
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("chunk_id", sa.BigInteger, sa.ForeignKey("chunks.id"), primary_key=True, autoincrement=False),
    sa.Column("fence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.BigInteger, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("usd", USD, nullable=False),
    moment("at", now=True),
    sa.Column("item_nos", ARRAY(sa.BigInteger), nullable=False, server_default="{}"),
    sa.Column("item_usd", ARRAY(USD), nullable=False, server_default="{}"),
    sa.CheckConstraint("usd >= 0", name="usd_not_negative"),
    sa.CheckConstraint("cardinality(item_nos) = cardinality(item_usd)", name="one_amount_an_item"),
    sa.Index("ix_reservations_run_id", "run_id"),
)

# From when on an endpoint may be asked again; see domain.pacing.
turns = sa.Table(
    "turns",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    moment("requests_at", now=True),
    moment("tokens_at", now=True),
    moment("turn_at", now=True),
)
