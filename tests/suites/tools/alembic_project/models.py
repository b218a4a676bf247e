"""What the three revisions lead to: the metadata that autogenerate compares with the database."""

import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention=NAMES)


class Customer(Base):
    __tablename__ = "customer"
    __table_args__ = (
        sa.CheckConstraint("credit >= 0", name="credit"),
        sa.Index("ix_customer_lower_name", sa.text("lower(name)")),
        {"comment": "who buys"},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80), comment="as on the invoice")
    email: Mapped[str | None] = mapped_column(sa.Text, unique=True)
    credit: Mapped[Decimal] = mapped_column(sa.Numeric(12, 2), server_default="0")
    since: Mapped[datetime.datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    referrer_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("customer.id", ondelete="SET NULL")
    )


class Invoice(Base):
    __tablename__ = "invoice"
    __table_args__ = (
        sa.UniqueConstraint("customer_id", "number"),
        sa.Index("ix_invoice_open", "issued", postgresql_where=sa.text("NOT paid")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(
        sa.ForeignKey("customer.id", ondelete="CASCADE"), index=True
    )
    number: Mapped[str] = mapped_column(sa.String(20))
    issued: Mapped[datetime.date]
    paid: Mapped[bool] = mapped_column(server_default=sa.false())
    token: Mapped[Any] = mapped_column(UUID(as_uuid=True))
    labels: Mapped[list[str] | None] = mapped_column(ARRAY(sa.Text))


class Line(Base):
    __tablename__ = "line"
    __table_args__ = (sa.CheckConstraint("amount > 0", name="amount"),)

    invoice_id: Mapped[int] = mapped_column(sa.ForeignKey("invoice.id"), primary_key=True)
    position: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    what: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(12, 2))


class Rate(Base):
    __tablename__ = "rate"
    __table_args__ = {"schema": "billing"}

    currency: Mapped[str] = mapped_column(sa.String(3), primary_key=True)
    per_euro: Mapped[float] = mapped_column(sa.Double)
