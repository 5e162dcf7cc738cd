"""indexes for millions of rows; a submission knows whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

QUEUED, RUNNING = "state = 'QUEUED'", "state = 'RUNNING'"
UNDER_WAY = "state IN ('WAITING', 'QUEUED', 'RUNNING')"
DROPPED = (
    ("submission", ("batch_id",)),
    ("submission", ("job_id",)),
    ("submission", ("state",)),
    ("submission", ("created",)),
    ("submission", ("delete_asked",)),
    ("submission", ("expires",)),
    ("message", ("submission_id",)),
    ("result", ("submission_id",)),
    ("audit", ("actor",)),
)
MADE = (
    ("submission", ("batch_id", "position")),
    ("submission", ("account_id", "id")),
    ("submission", ("account_id", "state", "id")),
    ("submission", ("account_id", "job_name", "id")),
    ("submission", ("state", "id")),
    ("submission", ("job_name", "id")),
    ("submission", ("job_id", "state", "id")),
    ("message", ("submission_id", "id")),
    ("result", ("submission_id", "size")),
    ("audit", ("actor", "id")),
    ("audit", ("kind", "id")),
)
PARTIAL = (
    ("ix_submission_under_way", "submission", ("account_id", "address", "id"), UNDER_WAY),
    ("ix_submission_guest", "submission", ("address",), "account_id IS NULL"),
    ("ix_submission_delete_asked", "submission", ("delete_asked",), "delete_asked"),
    ("ix_submission_expires", "submission", ("expires",), "removed IS NULL"),
    ("ix_run_due", "run", ("state", "queue", "due"), QUEUED),
    ("ix_run_turn", "run", ("state", sa.text("priority DESC"), "id"), QUEUED),
    ("ix_run_lease", "run", ("state", "lease"), RUNNING),
)
WHOSE = """
UPDATE submission SET
    account_id = (SELECT batch.account_id FROM batch WHERE batch.id = submission.batch_id),
    address = (SELECT batch.address FROM batch WHERE batch.id = submission.batch_id)
"""


def upgrade() -> None:
    for table, columns in DROPPED:
        op.drop_index(_name(table, columns), table)
    for name in ("ix_run_due", "ix_run_lease"):
        op.drop_index(name, "run")
    op.add_column("submission", sa.Column("account_id", sa.Integer()))
    op.add_column("submission", sa.Column("address", sa.String(length=64), nullable=False, server_default=""))
    op.execute(WHOSE)
    for table, columns in MADE:
        op.create_index(_name(table, columns), table, columns)
    for name, table, columns, where in PARTIAL:
        op.create_index(name, table, list(columns), postgresql_where=sa.text(where))


def _name(table: str, columns: tuple[str, ...]) -> str:
    return op.f(f"ix_{table}_{'_'.join(columns)}")


def downgrade() -> None:
    for name, table, _, _ in PARTIAL:
        op.drop_index(name, table)
    for table, columns in MADE:
        op.drop_index(_name(table, columns), table)
    for column in ("account_id", "address"):
        op.drop_column("submission", column)
    for name, last in (("ix_run_due", ["queue", "due"]), ("ix_run_lease", ["lease"])):
        op.create_index(name, "run", ["state", *last])
    for table, columns in DROPPED:
        op.create_index(_name(table, columns), table, columns)
