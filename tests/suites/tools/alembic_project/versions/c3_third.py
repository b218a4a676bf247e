"""lines, labels, and a schema for rates"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c3"
down_revision = "b2"


def upgrade():
    op.execute("CREATE SCHEMA billing")
    op.create_table(
        "rate",
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("per_euro", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("currency", name="pk_rate"),
        schema="billing",
    )
    op.create_table(
        "line",
        sa.Column("invoice_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_line_amount")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoice.id"], name="fk_line_invoice_id_invoice"),
        sa.PrimaryKeyConstraint("invoice_id", "position", name="pk_line"),
    )
    op.create_table_comment("customer", "who buys")
    op.add_column("invoice", sa.Column("labels", postgresql.ARRAY(sa.Text()), nullable=True))
    op.execute("UPDATE invoice SET token = gen_random_uuid(), labels = ARRAY['old', number]")
    op.alter_column("invoice", "token", existing_type=postgresql.UUID(), nullable=False)
    op.create_unique_constraint("uq_invoice_customer_id", "invoice", ["customer_id", "number"])
    op.execute("INSERT INTO line SELECT id, 1, 'all of it', 9.50 FROM invoice")


def downgrade():
    op.drop_constraint("uq_invoice_customer_id", "invoice", type_="unique")
    op.alter_column("invoice", "token", existing_type=postgresql.UUID(), nullable=True)
    op.drop_column("invoice", "labels")
    op.drop_table_comment("customer", existing_comment="who buys")
    op.drop_table("line")
    op.drop_table("rate", schema="billing")
    op.execute("DROP SCHEMA billing")
