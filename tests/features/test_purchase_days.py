import polars as pl
from rows import day, events

from features.purchase_days import purchase_days


def test_a_day_is_one_purchase_and_repeats_have_their_mean() -> None:
    table = events(
        {"user_id": "u", "item_id": "a", "day": 1.1, "price_cents": 999},
        {"user_id": "u", "item_id": "b", "day": 1.9, "price_cents": 1},
        {"user_id": "u", "item_id": "a", "day": 3.0, "price_cents": 100, "quantity": 2},
        {"user_id": "u", "item_id": "b", "day": 3.5},
        {"user_id": "u", "item_id": "a", "day": 8.0, "price_cents": 500},
        {"user_id": "u", "item_id": "c", "day": 9.0},
        {"user_id": "u", "item_id": "a", "day": 10.5, "price_cents": 7},
        {"user_id": "v", "item_id": "a", "day": 10.0, "price_cents": 7},
        {"user_id": "w", "item_id": "a", "day": 2.0, "event_type": "view"},
    )
    priced = table.lazy().with_columns(
        list_price_cents=pl.when(pl.col("item_id") == "b").then(pl.lit(50, dtype=pl.Int64))
    )
    assert purchase_days(priced, as_of=day(10.5)).rows() == [
        # Days 1, 3, 8 and 9; on the last no price is known.
        ("u", 3, 8, 9, (250 + 500) / 2),
        ("v", 0, 0, 0, None),
    ]
    assert purchase_days(priced, as_of=day(0)).is_empty()
