"""The RetailRocket event log: views, additions to the cart and transactions."""

import polars as pl

from features.readers.batches import ROW_AS_SEQ, SOURCE_LINE, Format, TableRows
from features.readers.columns import canonical_time, pick
from features.readers.ids import stable_ids

EVENT_TYPE_OF = {"view": "view", "addtocart": "cart", "transaction": "purchase"}


def _tables(records: pl.DataFrame) -> dict[str, TableRows]:
    fields = [
        canonical_time(pl.col("timestamp")),
        *(pl.col(name) for name in ("visitorid", "event", "itemid")),
        pick(records, "transactionid"),
    ]
    events = records.select(
        SOURCE_LINE,
        ROW_AS_SEQ,
        event_id=stable_ids(records, "retailrocket", fields),
        user_id=pl.col("visitorid"),
        item_id=pl.col("itemid"),
        event_type=pl.col("event").replace(EVENT_TYPE_OF),
        event_time=pl.col("timestamp"),
    )
    stubs = TableRows(frame=events.select(SOURCE_LINE, "item_id"), is_stub=True)
    return {"events": TableRows(frame=events), "items": stubs}


EVENTS = Format(
    name="retailrocket",
    title="RetailRocket events: view, addtocart, transaction",
    wanted=(("timestamp",), ("visitorid",), ("event",), ("itemid",)),
    also_read=("transactionid",),
    to_tables=_tables,
)
