"""customers and their invoices"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "a1"
down_revision = None


def upgrade():
    op.create_table(
        "client",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(40), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("credit", sa.Integer(), nullable=False),
        sa.Column("phone", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
    )
    op.create_table(
        "invoice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(20), nullable=False),
        sa.Column("issued", sa.Date(), nullable=False),
        sa.Column("paid", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("token", postgresql.UUID(as_uuid=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["client.id"],
            name="fk_invoice_customer_id_customer",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_invoice"),
    )
    op.create_index("ix_invoice_customer_id", "invoice", ["customer_id"])
    op.bulk_insert(
        sa.table(
            "client",
            sa.column("name", sa.String),
            sa.column("credit", sa.Integer),
            sa.column("email", sa.Text),
        ),
        [
            {"name": "Ann", "credit": 5, "email": "ann@example.org"},
            {"name": "Bob", "credit": 0, "email": None},
        ],
    )


def downgrade():
    op.drop_index("ix_invoice_customer_id", table_name="invoice")
    op.drop_table("invoice")
    op.drop_table("client")
