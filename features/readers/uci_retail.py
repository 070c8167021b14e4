"""The UCI Online Retail invoices: purchases and returns, by line.

A line is a return where its quantity is negative or its invoice starts with C; quantities are
stored without their sign. Local times of the shop are taken as UTC; prices are pounds. Lines
without a customer say nothing about a person and are refused under `no_customer`. Dates may be
ISO 8601, or month/day/year as in the published spreadsheet.
"""

import polars as pl

from features.readers.batches import BROKEN_RULE, ROW_AS_SEQ, SOURCE_LINE, Format, TableRows
from features.readers.columns import canonical_time, pick, to_cents
from features.readers.ids import canonical_number, stable_ids

NO_CUSTOMER = "no_customer"


def _tables(records: pl.DataFrame) -> dict[str, TableRows]:
    invoice = pick(records, "InvoiceNo", "Invoice")
    quantity = pl.col("Quantity").str.strip_chars()
    price = pick(records, "UnitPrice", "Price")
    time = _iso_date(pl.col("InvoiceDate"))
    user = pick(records, "CustomerID", "Customer ID").str.replace(r"\.0$", "")
    fields = [
        invoice,
        pl.col("StockCode"),
        canonical_number(quantity),
        canonical_time(time),
        canonical_number(price),
        user,
    ]
    is_return = quantity.str.starts_with("-") | invoice.str.starts_with("C")
    events = records.select(
        SOURCE_LINE,
        ROW_AS_SEQ,
        pl.when(user.is_null()).then(pl.lit(NO_CUSTOMER)).alias(BROKEN_RULE),
        event_id=stable_ids(records, "uci_retail", fields),
        user_id=user,
        session_id=invoice,
        item_id=pl.col("StockCode"),
        event_type=pl.when(is_return).then(pl.lit("return")).otherwise(pl.lit("purchase")),
        quantity=quantity.str.strip_prefix("-"),
        price_cents=to_cents(price),
        event_time=time,
    )
    sold = records.select(
        SOURCE_LINE, item_id=pl.col("StockCode"), title=pick(records, "Description")
    )
    people = records.select(SOURCE_LINE, user_id=user, country=pick(records, "Country"))
    return {
        "events": TableRows(frame=events),
        "items": TableRows(frame=sold, is_stub=True),
        "users": TableRows(frame=people, is_stub=True),
    }


def _iso_date(date: pl.Expr) -> pl.Expr:
    """Turn `12/1/2010 8:26` into `2010-12-01 08:26`; leave anything else as it is."""
    parts = date.str.extract_groups(r"^(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d{2})$").struct
    month, day, hour = (parts.field(name).str.zfill(2) for name in ("1", "2", "4"))
    iso = pl.format("{}-{}-{} {}:{}", parts.field("3"), month, day, hour, parts.field("5"))
    return pl.coalesce(iso, date)


INVOICES = Format(
    name="uci-retail",
    title="UCI Online Retail invoice lines",
    wanted=(
        ("InvoiceNo", "Invoice"),
        ("StockCode",),
        ("Quantity",),
        ("InvoiceDate",),
        ("UnitPrice", "Price"),
        ("CustomerID", "Customer ID"),
    ),
    also_read=("Description", "Country"),
    to_tables=_tables,
)
