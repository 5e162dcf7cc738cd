"""groups and shares, secrets, the audit trail, letters to accounts, levels of confinement."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NEW_COLUMNS = {
    "account": [
        sa.Column("must_change", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("subject", sa.String(length=400)),
        sa.Column("reset_hash", sa.String(length=64)),
        sa.Column("reset_until", sa.DateTime(timezone=True)),
    ],
    "task": [sa.Column("public", sa.Boolean(), nullable=False, server_default=sa.true())],
    "job": [sa.Column("open_links", sa.Boolean(), nullable=False, server_default=sa.true())],
    "submission": [sa.Column("open_link", sa.Boolean(), nullable=False, server_default=sa.true())],
    "variable": [sa.Column("secret", sa.String(length=120), nullable=False, server_default="")],
    "backend": [
        sa.Column("network", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("minimum_level", sa.Integer()),
    ],
    "worker": [
        sa.Column("level", sa.Integer()),
        sa.Column("probes", sa.JSON(), nullable=False, server_default="{}"),
    ],
    "run": [sa.Column("minimum_level", sa.Integer(), nullable=False, server_default="0")],
    "attempt": [sa.Column("level", sa.Integer())],
}
UNIQUE = ("subject", "reset_hash")
SHARED = ("task", "job", "submission")
SQLITE_GUARD = """
CREATE TRIGGER audit_{word} BEFORE {word} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END
"""
POSTGRESQL_GUARD = """
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit trail is only added to'; END $$;
CREATE TRIGGER audit_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to()
"""


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.add_column(table, column.copy())
    with op.batch_alter_table("account") as account:
        for name in UNIQUE:
            account.create_unique_constraint(op.f(f"uq_account_{name}"), [name])
    with op.batch_alter_table("letter") as letter:
        letter.alter_column("batch_id", existing_type=sa.Integer(), nullable=True)
        letter.add_column(sa.Column("account_id", sa.Integer()))
        letter.create_foreign_key(op.f("fk_letter_account_id"), "account", ["account_id"], ["id"], ondelete="CASCADE")
    op.create_index(op.f("ix_letter_sent"), "letter", ["sent"])
    _groups()
    _shares()
    _secrets()
    _audit()


def _groups() -> None:
    op.create_table(
        "account_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_group")),
        sa.UniqueConstraint("name", name=op.f("uq_account_group_name")),
    )
    op.create_table(
        "membership",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["account_group.id"], name=op.f("fk_membership_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_membership_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "account_id", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_account_id"), "membership", ["account_id"])


def _shares() -> None:
    op.create_table(
        "share",
        sa.Column("id", sa.Integer(), nullable=False),
        *(sa.Column(f"{name}_id", sa.Integer()) for name in (*SHARED, "group", "account")),
        *(
            sa.ForeignKeyConstraint(
                [f"{name}_id"],
                [f"{'account_group' if name == 'group' else name}.id"],
                name=op.f(f"fk_share_{name}_id"),
                ondelete="CASCADE",
            )
            for name in (*SHARED, "group", "account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share")),
    )
    for name in (*SHARED, "group", "account"):
        op.create_index(op.f(f"ix_share_{name}_id"), "share", [f"{name}_id"])


def _secrets() -> None:
    op.create_table(
        "secret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("owner_id", sa.Integer()),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["account.id"], name=op.f("fk_secret_owner_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secret")),
        sa.UniqueConstraint("name", name=op.f("uq_secret_name")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("account_id", sa.Integer()),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_index(op.f("ix_audit_actor"), "audit", ["actor"])
    if op.get_bind().dialect.name == "sqlite":
        for word in ("UPDATE", "DELETE"):
            op.execute(SQLITE_GUARD.format(word=word))
    else:
        op.execute(POSTGRESQL_GUARD)


def downgrade() -> None:
    for table in ("audit", "secret", "share", "membership", "account_group"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_is_only_added_to()")
    op.drop_index(op.f("ix_letter_sent"), "letter")
    op.execute("DELETE FROM letter WHERE batch_id IS NULL")
    with op.batch_alter_table("letter") as letter:
        letter.drop_constraint(op.f("fk_letter_account_id"), type_="foreignkey")
        letter.drop_column("account_id")
        letter.alter_column("batch_id", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("account") as account:
        for name in UNIQUE:
            account.drop_constraint(op.f(f"uq_account_{name}"), type_="unique")
    for table, columns in NEW_COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
