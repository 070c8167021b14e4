import numpy as np
import polars as pl
import pytest

from recsys.interactions import IdMap
from recsys.item_features import DENSE_COLUMNS, ItemFeatures

PROFILES = pl.DataFrame(
    {
        "item_id": ["b", "a"],
        "categories": [["x", "y"], ["y"]],
        "brand": ["Acme", None],
        "num_purchases": [3, 0],
        "num_purchases_90d": [1, 0],
        "num_views": [7, 0],
        "num_reviews": [2, 0],
        "stars_smoothed": [5.0, None],
        "polarity_smoothed": [0.25, -0.5],
        "negative_share": [0.1, 0.2],
        "return_rate": [0.5, 0.0],
        "price_cents": [1000, None],
        "age_days": [9.0, -3.0],
    }
)
ITEMS = IdMap.of(["a", "b", "c"])
TEXT = np.eye(3, 4, dtype=np.float64)


@pytest.fixture(scope="module")
def features() -> ItemFeatures:
    return ItemFeatures.from_profiles(PROFILES, TEXT, ITEMS)


def column(features: ItemFeatures, name: str) -> list[float]:
    return features.dense[:, list(DENSE_COLUMNS).index(name)].tolist()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("num_purchases", [0.0, np.log(4) / 5, 0.0]),
        ("stars_smoothed", [0.0, 1.0, 0.0]),
        ("polarity_smoothed", [-0.5, 0.25, 0.0]),
        ("return_rate", [0.0, 0.5, 0.0]),
        ("price_cents", [0.0, np.log(1001) / 5, 0.0]),
        ("age_days", [0.0, np.log(10) / 5, 0.0]),
    ],
)
def test_dense_columns_by_hand(features: ItemFeatures, name: str, wanted: list[float]) -> None:
    assert column(features, name) == pytest.approx(wanted, abs=1e-6)


def test_categories_and_brands_are_in_item_order(features: ItemFeatures) -> None:
    assert len(features) == 3
    assert features.category_indptr.tolist() == [0, 1, 3, 3]
    assert features.category_idx.tolist() == [1, 0, 1]
    assert features.num_categories == 2
    assert features.brand_idx.tolist() == [0, 1, 0]
    assert features.num_brands == 2
    assert features.text.dtype == features.dense.dtype == np.float32
    np.testing.assert_array_equal(features.text, TEXT)
