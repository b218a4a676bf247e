"""names, credits and what is due"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "b2"
down_revision = "a1"


def upgrade():
    op.rename_table("client", "customer")
    op.execute("ALTER SEQUENCE client_id_seq RENAME TO customer_id_seq")
    op.alter_column(
        "customer",
        "name",
        existing_type=sa.String(40),
        type_=sa.String(80),
        nullable=False,
        comment="as on the invoice",
    )
    op.alter_column(
        "customer",
        "credit",
        existing_type=sa.Integer(),
        type_=sa.Numeric(12, 2),
        existing_nullable=False,
        server_default="0",
        postgresql_using="credit::numeric / 100",
    )
    op.add_column(
        "customer",
        sa.Column(
            "since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
    )
    op.add_column("customer", sa.Column("settings", postgresql.JSONB(), nullable=True))
    op.add_column(
        "customer",
        sa.Column(
            "referrer_id",
            sa.BigInteger(),
            sa.ForeignKey(
                "customer.id", name="fk_customer_referrer_id_customer", ondelete="SET NULL"
            ),
            nullable=True,
        ),
    )
    op.create_unique_constraint("uq_customer_email", "customer", ["email"])
    op.create_check_constraint(op.f("ck_customer_credit"), "customer", "credit >= 0")
    op.create_index("ix_customer_lower_name", "customer", [sa.text("lower(name)")])
    op.create_index("ix_invoice_open", "invoice", ["issued"], postgresql_where=sa.text("NOT paid"))
    op.drop_column("customer", "phone")
    op.execute(
        "UPDATE customer SET settings = jsonb_build_object('name', name), referrer_id = 1 "
        "WHERE id > 1"
    )
    op.execute(
        "INSERT INTO invoice (customer_id, number, issued) "
        "SELECT id, 'A-' || id, DATE '2024-02-29' FROM customer"
    )


def downgrade():
    op.execute("DELETE FROM invoice")
    op.add_column("customer", sa.Column("phone", sa.Text()))
    op.drop_index("ix_invoice_open", table_name="invoice")
    op.drop_index("ix_customer_lower_name", table_name="customer")
    op.drop_constraint(op.f("ck_customer_credit"), "customer", type_="check")
    op.drop_constraint("uq_customer_email", "customer", type_="unique")
    op.drop_constraint("fk_customer_referrer_id_customer", "customer", type_="foreignkey")
    op.drop_column("customer", "referrer_id")
    op.drop_column("customer", "settings")
    op.drop_column("customer", "since")
    op.alter_column(
        "customer",
        "credit",
        existing_type=sa.Numeric(12, 2),
        type_=sa.Integer(),
        server_default=None,
        postgresql_using="(credit * 100)::integer",
    )
    op.alter_column(
        "customer",
        "name",
        existing_type=sa.String(80),
        type_=sa.String(40),
        nullable=True,
        comment=None,
    )
    op.execute("ALTER SEQUENCE customer_id_seq RENAME TO client_id_seq")
    op.rename_table("customer", "client")
