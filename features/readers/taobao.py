"""The Taobao user behaviour log: page views, carts, favourites and purchases."""

import polars as pl

from features.readers.batches import ROW_AS_SEQ, SOURCE_LINE, Format, TableRows
from features.readers.columns import canonical_time, one_category
from features.readers.ids import stable_ids

EVENT_TYPE_OF = {"pv": "view", "cart": "cart", "fav": "wishlist", "buy": "purchase"}


def _tables(records: pl.DataFrame) -> dict[str, TableRows]:
    fields = [
        *(pl.col(name) for name in ("user_id", "item_id", "category_id", "behavior")),
        canonical_time(pl.col("timestamp")),
    ]
    events = records.select(
        SOURCE_LINE,
        ROW_AS_SEQ,
        "user_id",
        "item_id",
        event_id=stable_ids(records, "taobao", fields),
        event_type=pl.col("behavior").replace(EVENT_TYPE_OF),
        event_time=pl.col("timestamp"),
    )
    stubs = records.select(SOURCE_LINE, "item_id", categories=one_category(pl.col("category_id")))
    return {"events": TableRows(frame=events), "items": TableRows(frame=stubs, is_stub=True)}


BEHAVIOUR = Format(
    name="taobao",
    title="Taobao user behaviour: pv, cart, fav, buy; with or without a header",
    wanted=(("user_id",), ("item_id",), ("category_id",), ("behavior",), ("timestamp",)),
    to_tables=_tables,
    recognises_row=lambda row: len(row) == 5 and row[3] in EVENT_TYPE_OF,
    headerless=("user_id", "item_id", "category_id", "behavior", "timestamp"),
)
