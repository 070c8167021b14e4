"""Where the price of an item lies among its kind."""

from datetime import datetime

import polars as pl

PRICE_BANDS = ("lowest", "low", "middle", "high", "highest")


def price_positions(items: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """Return where the price of each item lies in its narrowest category, among its currency.

    Args:
        items: `features.schema.Items`.
        as_of: Items made later have no price yet; prices themselves are today's.

    Returns:
        `item_id, price_position` (the share of the category's prices that are below it, itself and
        its equals by half, within 0..1) and `price_band`, its fifth, of `PRICE_BANDS`; null without
        a price or a category.
    """
    category = pl.col("categories").list.last()
    is_made = pl.col("created_at").is_null() | (pl.col("created_at") < as_of)
    price, kin = pl.when(is_made).then("price_cents"), [category, pl.col("currency")]
    position = (price.rank("average") - 0.5).over(kin) / price.count().over(kin)
    fifth = (pl.col("price_position") * len(PRICE_BANDS)).floor().cast(pl.Int64)
    bands = dict(enumerate(PRICE_BANDS))
    return items.select(
        "item_id", price_position=pl.when(category.is_not_null()).then(position)
    ).with_columns(price_band=fifth.replace_strict(bands, default=None, return_dtype=pl.String))
