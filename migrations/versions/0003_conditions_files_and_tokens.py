"""steps that need steps, conditions, jobs in jobs, patterns, further files, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NEW_COLUMNS = {
    "step": [
        sa.Column("name", sa.String(length=80), nullable=False, server_default=""),
        sa.Column("needs", sa.JSON()),
        sa.Column("condition", sa.JSON()),
    ],
    "run": [
        sa.Column("step", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("needs", sa.JSON()),
        sa.Column("condition", sa.JSON()),
    ],
    "parameter": [sa.Column("pattern", sa.String(length=300), nullable=False, server_default="")],
    "upload": [
        sa.Column("field", sa.String(length=170), nullable=False, server_default=""),
        sa.Column("ending", sa.String(length=60), nullable=False, server_default=""),
    ],
}


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.add_column(table, column.copy())
    with op.batch_alter_table("step") as step:
        step.add_column(sa.Column("subjob_id", sa.Integer()))
        step.create_foreign_key(op.f("fk_step_subjob_id"), "job", ["subjob_id"], ["id"], ondelete="SET NULL")
    op.create_table(
        "token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("last_used", sa.DateTime(timezone=True)),
        sa.Column("revoked", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_token_account_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_token_secret_hash")),
    )
    op.create_index(op.f("ix_token_account_id"), "token", ["account_id"])


def downgrade() -> None:
    op.drop_table("token")
    with op.batch_alter_table("step") as step:
        step.drop_constraint(op.f("fk_step_subjob_id"), type_="foreignkey")
        step.drop_column("subjob_id")
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
