"""Prices have their place among those of their category and currency."""

import pytest
from rows import day, items

from features.prices import price_positions

AS_OF = day(200)


def test_prices_have_their_place_in_the_category() -> None:
    shop = items(
        *({"item_id": f"i{n}", "categories": ["x"], "price_cents": 100 * n} for n in range(5)),
        {"item_id": "same", "categories": ["x"], "price_cents": 400},
        {"item_id": "unpriced", "categories": ["x"]},
        {"item_id": "unplaced", "price_cents": 5},
        {"item_id": "later", "categories": ["x"], "price_cents": 1, "created_at": AS_OF},
        {"item_id": "yen", "categories": ["x"], "price_cents": 9000, "currency": "JPY"},
    )
    found = price_positions(shop.lazy(), AS_OF).collect()
    places = dict(zip(found["item_id"], found["price_position"], strict=True))
    bands = dict(zip(found["item_id"], found["price_band"], strict=True))
    assert places["i0"] == pytest.approx(0.5 / 6)
    assert places["i4"] == places["same"] == pytest.approx(5 / 6)
    assert (bands["i0"], bands["i2"], bands["same"]) == ("lowest", "middle", "highest")
    assert (
        places["unpriced"] is bands["unpriced"] is places["unplaced"] is bands["unplaced"] is None
    )
