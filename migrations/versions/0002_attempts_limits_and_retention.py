"""attempts, limits, retries, resuming and retention."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

USUAL = {"wall_seconds": 3600, "output_bytes": 2_000_000_000, "files": 10_000, "log_bytes": 10_000_000}

NEW_COLUMNS = {
    "backend": [
        sa.Column("limits", sa.JSON(), nullable=False, server_default=json.dumps(USUAL)),
        sa.Column("ceilings", sa.JSON(), nullable=False, server_default="{}"),
    ],
    "task_revision": [
        sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("retries", sa.JSON(), nullable=False, server_default="{}"),
    ],
    "job": [sa.Column("keep_days", sa.Integer())],
    "submission": [
        sa.Column("delete_asked", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("resumed_from", sa.String(length=36)),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("removed", sa.DateTime(timezone=True)),
    ],
    "run": [
        sa.Column("retried", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("taken_from", sa.String(length=36)),
    ],
}
INDEXED = (
    ("submission", "delete_asked"),
    ("submission", "expires"),
    ("submission", "resumed_from"),
    ("upload", "key"),
    ("message", "run_id"),
)
NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'",
    "postgresql": "clock_timestamp()",
}
TRIES = """
INSERT INTO attempt (run_id, number, worker, started, ended, sentence, exit_status, usage)
SELECT id, attempt, worker, started, CASE WHEN state = 'RUNNING' THEN NULL ELSE COALESCE(ended, {now}) END,
    reason, exit_status, usage FROM run
WHERE attempt > 0 AND started IS NOT NULL
"""
LIMITED = ("backend", "task_revision")


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.add_column(table, column.copy())
    for table, column in INDEXED:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("exit_status", sa.Integer()),
        sa.Column("usage", sa.JSON()),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_attempt_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("run_id", "number", name=op.f("uq_attempt_run_id_number")),
    )
    op.execute(TRIES.format(now=NOW[op.get_bind().dialect.name]))
    _keep_time_limits()


def _keep_time_limits() -> None:
    """The one limit that there was becomes one of several. Batch mode would lose the triggers, hence without it."""
    connection = op.get_bind()
    for name, others in (("backend", USUAL), ("task_revision", {})):
        table = sa.table(name, sa.column("id"), sa.column("wall_seconds"), sa.column("limits", sa.JSON()))
        said = sa.select(table.c.id, table.c.wall_seconds).where(table.c.wall_seconds.is_not(None))
        for each in connection.execute(said).all():
            limits = {**others, "wall_seconds": each.wall_seconds}
            connection.execute(table.update().where(table.c.id == each.id).values(limits=limits))
        op.drop_column(name, "wall_seconds")


def downgrade() -> None:
    op.add_column("backend", sa.Column("wall_seconds", sa.Integer(), nullable=False, server_default="3600"))
    op.add_column("task_revision", sa.Column("wall_seconds", sa.Integer()))
    connection = op.get_bind()
    for name in LIMITED:
        table = sa.table(name, sa.column("id"), sa.column("wall_seconds"), sa.column("limits", sa.JSON()))
        for each in connection.execute(sa.select(table.c.id, table.c.limits)).all():
            if seconds := each.limits.get("wall_seconds"):
                connection.execute(table.update().where(table.c.id == each.id).values(wall_seconds=seconds))
    op.drop_table("attempt")
    for table_name, column in INDEXED:
        op.drop_index(op.f(f"ix_{table_name}_{column}"), table_name)
    for table_name, columns in NEW_COLUMNS.items():
        for column in columns:
            op.drop_column(table_name, column.name)
