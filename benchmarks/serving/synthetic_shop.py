"""A published store of any size: a bundle over a synthetic catalogue, and its side tables."""

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.serving.synthetic_catalogue import AS_OF, KIND_SIZE, Catalogue, synthetic_catalogue
from benchmarks.serving.synthetic_models import NUM_TREES, synthetic_recommender
from features.store import Store
from recsys.bundle import load_bundle, write_bundle
from recsys.bundle_versions import BUNDLES, current_bundle, promote
from recsys.interactions import IdMap
from recsys.query import Population
from recsys.recommender import Recommender

NUM_USERS = 100_000
_MEAN_ROWS = 10
_KINDS_OF_USER = 3
_REVIEWED_SHARE = 0.3
_QUOTED_EVERY = 5
_DAY_US = 86_400_000_000
_VERSION = "v1"


def user_name(number: int) -> str:
    """Return a user's id; the load script names users alike."""
    return f"u{number:06}"


def publish_synthetic_shop(
    root: Path,
    num_items: int,
    *,
    num_users: int = NUM_USERS,
    num_trees: int = NUM_TREES,
    seed: int = 0,
) -> None:
    """Write and promote a bundle, and write the side tables."""
    rng = np.random.default_rng(seed)
    catalogue = synthetic_catalogue(num_items, rng)
    tables = _side_tables(catalogue, num_users, rng)
    store = Store(root)
    for name, frame in tables.items():
        store.overwrite(name, frame)
    population = population_of(store, catalogue.items)
    recommender = synthetic_recommender(catalogue, population, rng, num_trees=num_trees)
    store.path(BUNDLES).mkdir()
    _write(store, _VERSION, recommender)
    promote(store.path(BUNDLES), _VERSION)


def add_bundle(root: Path, version: str) -> Path:
    """Write the live models once more under another version, without promoting it."""
    recommender, _ = loaded(root)
    return _write(Store(root), version, recommender)


def _write(store: Store, version: str, recommender: Recommender) -> Path:
    folder = store.path(BUNDLES, version)
    write_bundle(
        folder,
        recommender,
        created_at=AS_OF.isoformat(),
        metrics={"ranker": {"ndcg@10": 0.0}},
        data={"num_items": len(recommender.items)},
        code={"version": "synthetic"},
    )
    return folder


def loaded(root: Path) -> tuple[Recommender, Population]:
    """Return the live models and the users of a store, as read back from it."""
    store = Store(root)
    bundle = current_bundle(store.path(BUNDLES))
    assert bundle is not None, f"nothing was published in {root}"
    recommender, _ = load_bundle(bundle)
    return recommender, population_of(store, recommender.items)


def population_of(store: Store, items: IdMap) -> Population:
    """Return the users of a store."""
    profiles = store.scan("user_profiles").collect()
    return Population.from_frames(
        store.scan("purchase_history").collect(),
        store.scan("browse_history").collect(),
        profiles,
        users=IdMap.of(profiles["user_id"]),
        items=items,
    )


def _side_tables(
    catalogue: Catalogue, num_users: int, rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    kinds = rng.integers(0, catalogue.num_kinds, (num_users, _KINDS_OF_USER))
    purchases = _rows(catalogue, kinds, rng)
    num = len(purchases)
    felt = np.clip(rng.normal(0.3, 0.5, num), -1, 1)
    felt[rng.random(num) > _REVIEWED_SHARE] = np.nan
    purchases = purchases.with_columns(
        polarity=pl.Series(felt, dtype=pl.Float32).fill_nan(None),
        stars=pl.Series(np.round(3 + 2 * felt), dtype=pl.Float32).fill_nan(None),
    )
    browsing = _rows(catalogue, kinds, rng)
    browsing = browsing.with_columns(strength=pl.Series(rng.integers(1, 6, len(browsing)) * 1.0))
    return {
        "items": _items(catalogue),
        "purchase_history": purchases,
        "browse_history": browsing,
        "user_profiles": _user_profiles(purchases, browsing, num_users, rng),
        "quotes": _quotes(catalogue, num_users),
    }


def _rows(catalogue: Catalogue, kinds: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Draw what each user took, of their kinds of items, once an item, oldest first."""
    num_users = len(kinds)
    lengths = 1 + rng.geometric(1 / _MEAN_ROWS, num_users).clip(max=100)
    user = np.repeat(np.arange(num_users), lengths)
    kind = kinds[user, rng.integers(0, _KINDS_OF_USER, len(user))]
    # Few items of a kind are taken often.
    place = (KIND_SIZE * rng.random(len(user)) ** 2).astype(np.int64)
    item = np.minimum(kind * KIND_SIZE + place, len(catalogue.items) - 1)
    end_us = int(AS_OF.timestamp() * 1e6)
    frame = pl.DataFrame(
        {
            "user": user,
            "item": item,
            "time": end_us - rng.integers(_DAY_US, 700 * _DAY_US, len(user)),
        }
    )
    return (
        frame.unique(["user", "item"], keep="first", maintain_order=True)
        .sort("user", "time")
        .select(
            user_id=pl.format("u{}", pl.col("user").cast(pl.String).str.zfill(6)),
            item_id=pl.format("i{}", pl.col("item").cast(pl.String).str.zfill(7)),
            event_time=pl.col("time").cast(pl.Datetime("us", "UTC")),
            seq=pl.int_range(pl.len()),
        )
    )


def _user_profiles(
    purchases: pl.DataFrame, browsing: pl.DataFrame, num_users: int, rng: np.random.Generator
) -> pl.DataFrame:
    stars = rng.normal(4.0, 0.6, num_users).clip(1, 5)
    stars[rng.random(num_users) > 0.7] = np.nan
    unknown = pl.Series(stars).fill_nan(None)
    users = pl.DataFrame({"user_id": [user_name(number) for number in range(num_users)]})
    return (
        users.join(purchases.group_by("user_id").len("num_purchases"), on="user_id", how="left")
        .join(browsing.group_by("user_id").len("num_views"), on="user_id", how="left")
        .with_columns(
            as_of=pl.lit(AS_OF),
            num_returns=pl.Series(rng.integers(0, 3, num_users)),
            num_reviews=pl.Series(rng.integers(0, 9, num_users)),
            stars_mean=unknown,
            polarity_mean=(unknown - 3) / 2,
            negative_share=1 - unknown / 5,
            stars_above_crowd=unknown - 4,
        )
        .sort("user_id")
    )


def _items(catalogue: Catalogue) -> pl.DataFrame:
    return catalogue.profiles.select(
        "item_id",
        "title",
        "categories",
        "brand",
        "price_cents",
        description=pl.lit(None, dtype=pl.String),
        currency=pl.lit("EUR"),
        in_stock=pl.int_range(pl.len()) % 50 != 0,
        created_at=pl.lit(AS_OF),
    )


def _quotes(catalogue: Catalogue, num_users: int) -> pl.DataFrame:
    """Return one quote of every fifth item."""
    ids = catalogue.items.ids[::_QUOTED_EVERY].tolist()
    return pl.DataFrame(
        {
            "item_id": ids,
            "review_id": [f"r{item_id}" for item_id in ids],
            "user_id": [user_name(number % num_users) for number in range(len(ids))],
            "quote": ["It does what it says, and it has done so every day since."] * len(ids),
            "aspect": ["quality"] * len(ids),
            "polarity": [0.9] * len(ids),
            "language": ["en"] * len(ids),
        }
    )
