"""Read a shop's tables out of its store, as far as the models need them."""

import polars as pl

from features.store import Store
from jobs.errors import BadInputError
from recsys.world import ShopTables


def load_shop(store: Store, version: str) -> ShopTables:
    """Read items, events, reviews and the signals of one model version.

    Args:
        store: Where the tables are.
        version: Model version of the signals.

    Raises:
        StoreError: If a table is missing; the message names the command that makes it.
        BadInputError: If reviews lack signals of this version.
    """
    events = store.scan("events").collect()
    items = store.scan("items").collect()
    reviews = store.scan("reviews").collect() if store.exists("reviews") else _empty("reviews")
    signals = (
        store.scan("review_signals").filter(pl.col("model_version") == version).collect()
        if store.exists("review_signals")
        else _empty("review_signals")
    )
    missing = reviews.join(signals, on="review_id", how="anti")
    if len(missing):
        raise BadInputError(
            f"{len(missing):,} of {len(reviews):,} reviews have no signals of model {version}: "
            "run `sentirec score` first"
        )
    texts = None
    if store.exists("item_texts"):
        # The last embedding of an item counts, should its title have changed.
        texts = (
            store.scan("item_texts")
            .filter(pl.col("model_version") == version)
            .unique("item_id", keep="last")
            .collect()
        )
    return ShopTables(
        items=items, events=events, reviews=reviews, signals=signals, item_texts=texts
    )


def _empty(table: str) -> pl.DataFrame:
    from features.schema import TABLES

    return TABLES[table].create_empty()
