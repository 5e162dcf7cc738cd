"""many inputs in one batch: each submission knows its own."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("submission", sa.Column("input", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("upload", sa.Column("number", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_submission_batch_id_state", "submission", ["batch_id", "state"])
    op.create_index("ix_upload_batch_id_number", "upload", ["batch_id", "number"])
    op.drop_index("ix_upload_batch_id", "upload")


def downgrade() -> None:
    op.create_index("ix_upload_batch_id", "upload", ["batch_id"])
    op.drop_index("ix_upload_batch_id_number", "upload")
    op.drop_index("ix_submission_batch_id_state", "submission")
    op.drop_column("upload", "number")
    op.drop_column("submission", "input")
