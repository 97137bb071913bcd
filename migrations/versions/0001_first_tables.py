"""The first tables: runs, items, rejected rows, chunks, attempts, verdicts, ledger, escalations, pauses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_APPEND_ONLY = """
CREATE FUNCTION headrace_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION headrace_append_only();
"""


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("job_name", sa.Text(), nullable=False),
        sa.Column("job_digest", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.Text(), nullable=False),
        sa.Column("job", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("price_book", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("prompt_digests", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rows_read", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ingested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("items", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state <> 'done' OR (ingested AND finished_at IS NOT NULL)", name=op.f("ck_runs_done_is_complete")
        ),
        sa.CheckConstraint(
            "state IN ('ingesting', 'running', 'held', 'done', 'cancelled', 'failed')", name=op.f("ck_runs_state")
        ),
        sa.CheckConstraint("duplicates <= items", name=op.f("ck_runs_duplicates_are_items")),
        sa.CheckConstraint("items + rejected = rows_read", name=op.f("ck_runs_every_row_counted")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint(
            "job_name", "job_digest", "source_digest", name=op.f("uq_runs_job_name_job_digest_source_digest")
        ),
        sa.UniqueConstraint("name", name=op.f("uq_runs_name")),
    )
    op.create_table(
        "chunks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("generation", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("item_nos", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("step_masks", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("fence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'claimed') = (lease_until IS NOT NULL)", name=op.f("ck_chunks_claimed_has_lease")),
        sa.CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name=op.f("ck_chunks_done_has_time")),
        sa.CheckConstraint(
            "state IN ('pending', 'claimed', 'done', 'dead', 'cancelled')", name=op.f("ck_chunks_state")
        ),
        sa.CheckConstraint(
            "cardinality(item_nos) > 0 AND cardinality(item_nos) = cardinality(step_masks)",
            name=op.f("ck_chunks_one_mask_an_item"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_chunks_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunks")),
    )
    op.create_index(
        "ix_chunks_dead", "chunks", ["run_id"], unique=False, postgresql_where=sa.text("state IN ('dead', 'cancelled')")
    )
    op.create_index(
        "ix_chunks_open",
        "chunks",
        ["run_id", "tier_no"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'claimed')"),
    )
    op.create_table(
        "items",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("item_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("key_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("copy_of", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(text IS NULL) = (copy_of IS NOT NULL)", name=op.f("ck_items_text_once")),
        sa.CheckConstraint("copy_of < item_no", name=op.f("ck_items_copies_an_earlier")),
        sa.CheckConstraint(
            "octet_length(fingerprint) = 16 AND octet_length(key_fingerprint) = 16", name=op.f("ck_items_fingerprints")
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "copy_of"], ["items.run_id", "items.item_no"], name=op.f("fk_items_run_id_copy_of")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_items_run_id")),
        sa.PrimaryKeyConstraint("run_id", "item_no", name=op.f("pk_items")),
    )
    op.create_index(
        "ix_items_copies", "items", ["run_id", "copy_of"], unique=False, postgresql_where=sa.text("copy_of IS NOT NULL")
    )
    op.create_index("ix_items_key", "items", ["key_fingerprint"], unique=False)
    op.create_index(
        "uq_items_text_once",
        "items",
        ["fingerprint"],
        unique=True,
        postgresql_where=sa.text("copy_of IS NULL"),
    )
    op.create_table(
        "pauses",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_pauses_run_id")),
        sa.PrimaryKeyConstraint("run_id", "tier_no", name=op.f("pk_pauses")),
    )
    op.create_table(
        "policy_versions",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("thresholds", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("certified", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_policy_versions_run_id")),
        sa.PrimaryKeyConstraint("run_id", "version", name=op.f("pk_policy_versions")),
    )
    op.create_table(
        "rejected_rows",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("row_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_rejected_rows_run_id")),
        sa.PrimaryKeyConstraint("run_id", "row_no", name=op.f("pk_rejected_rows")),
    )
    op.create_table(
        "escalations",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("item_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id", "item_no"], ["items.run_id", "items.item_no"], name=op.f("fk_escalations_run_id_item_no")
        ),
        sa.PrimaryKeyConstraint("run_id", "tier_no", "generation", "item_no", "step_no", name=op.f("pk_escalations")),
    )
    op.create_table(
        "ledger",
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("chunk_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=True),
        sa.Column("tokens_cached", sa.BigInteger(), nullable=True),
        sa.Column("tokens_out", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=24, scale=12), nullable=True),
        sa.Column("price_version", sa.Text(), nullable=True),
        sa.Column("refused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("cost_usd >= 0", name=op.f("ck_ledger_cost_not_negative")),
        sa.CheckConstraint("cost_usd IS NULL OR price_version IS NOT NULL", name=op.f("ck_ledger_cost_has_price")),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_ledger_seconds_not_negative")),
        sa.CheckConstraint("tokens_cached <= tokens_in", name=op.f("ck_ledger_cached_are_in")),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name=op.f("fk_ledger_chunk_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_ledger_run_id")),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_ledger")),
    )
    op.create_index("ix_ledger_run", "ledger", ["run_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("item_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("generation", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("chunk_id", sa.BigInteger(), nullable=False),
        sa.Column("call_id", sa.Uuid(), nullable=False),
        sa.Column("policy_version", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("to_tier", sa.SmallInteger(), nullable=True),
        sa.Column("answer", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("defect_detail", sa.Text(), nullable=True),
        sa.Column("raw_score", sa.Double(), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("calibrated", sa.Boolean(), nullable=False),
        sa.Column("field_confidences", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("tokens_in", sa.BigInteger(), nullable=True),
        sa.Column("tokens_cached", sa.BigInteger(), nullable=True),
        sa.Column("tokens_out", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Numeric(precision=24, scale=12), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "(outcome = 'escalation') = (to_tier IS NOT NULL)", name=op.f("ck_attempts_escalation_has_tier")
        ),
        sa.CheckConstraint(
            "(outcome = 'verdict') = (reason IS NULL)", name=op.f("ck_attempts_no_escalation_without_reason")
        ),
        sa.CheckConstraint("outcome <> 'verdict' OR answer IS NOT NULL", name=op.f("ck_attempts_verdict_has_answer")),
        sa.CheckConstraint("outcome IN ('verdict', 'escalation', 'unresolved')", name=op.f("ck_attempts_outcome")),
        sa.CheckConstraint("purpose IN ('answer', 'pilot', 'audit', 'learn')", name=op.f("ck_attempts_purpose")),
        sa.CheckConstraint("cost_usd >= 0", name=op.f("ck_attempts_cost_not_negative")),
        sa.CheckConstraint(
            "raw_score BETWEEN 0 AND 1 AND confidence BETWEEN 0 AND 1",
            name=op.f("ck_attempts_scores_are_probabilities"),
        ),
        sa.CheckConstraint("to_tier > tier_no", name=op.f("ck_attempts_only_upward")),
        sa.ForeignKeyConstraint(["call_id"], ["ledger.call_id"], name=op.f("fk_attempts_call_id")),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunks.id"], name=op.f("fk_attempts_chunk_id")),
        sa.ForeignKeyConstraint(
            ["run_id", "item_no"], ["items.run_id", "items.item_no"], name=op.f("fk_attempts_run_id_item_no")
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "policy_version"],
            ["policy_versions.run_id", "policy_versions.version"],
            name=op.f("fk_attempts_run_id_policy_version"),
        ),
        sa.PrimaryKeyConstraint(
            "run_id", "item_no", "step_no", "tier_no", "purpose", "generation", name=op.f("pk_attempts")
        ),
    )
    op.create_table(
        "verdicts",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("item_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tier_no", sa.SmallInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), server_default="answer", nullable=False),
        sa.Column("generation", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("purpose = 'answer'", name=op.f("ck_verdicts_answers_only")),
        sa.CheckConstraint("state IN ('verdict', 'unresolved')", name=op.f("ck_verdicts_state")),
        sa.ForeignKeyConstraint(
            ["run_id", "item_no", "step_no", "tier_no", "purpose", "generation"],
            [
                "attempts.run_id",
                "attempts.item_no",
                "attempts.step_no",
                "attempts.tier_no",
                "attempts.purpose",
                "attempts.generation",
            ],
            name=op.f("fk_verdicts_run_id_item_no_step_no_tier_no_purpose_generation"),
        ),
        sa.PrimaryKeyConstraint("run_id", "item_no", "step_no", name=op.f("pk_verdicts")),
    )
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    op.drop_table("pauses")
    op.drop_table("escalations")
    op.drop_table("verdicts")
    op.drop_table("attempts")
    op.drop_table("ledger")
    op.drop_table("policy_versions")
    op.drop_table("chunks")
    op.drop_table("rejected_rows")
    op.drop_table("items")
    op.drop_table("runs")
    op.execute("DROP FUNCTION headrace_append_only")
