"""A shop small enough to fit in a second, in which likes, words and browsing go together."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from features.schema import Events, Items
from recsys.candidates import CandidateConfig
from recsys.cuts import positional_cuts
from recsys.fitting import Fitted, fit_and_test
from recsys.interactions import Histories, Interactions
from recsys.item_features import DENSE_COLUMNS, ItemFeatures
from recsys.query import USER_COLUMNS, Query, Repeats
from recsys.ranker_config import RankerConfig
from recsys.repurchase import DAY_US
from recsys.retrieval import RecommenderConfig, Retrieval
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TrainingConfig, TwoTowerConfig
from recsys.world import ShopTables, World
from sentiment.schema import EMBEDDING_DIM, Reviews, ReviewSignals

NUM_ITEMS, NUM_USERS, NUM_CATEGORIES = 30, 80, 5
START = datetime(2024, 1, 1, tzinfo=UTC)
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
NOW = 20_000 * DAY_US
CONFIG = RecommenderConfig(
    shrinkage=2.0,
    linear_l2=20.0,
    candidates=CandidateConfig(num_candidates=20, depth=15),
    towers=TwoTowerConfig(dim=8, hidden_dim=16, dropout=0.0),
    training=TrainingConfig(epochs=2, batch_size=64, num_uniform_negatives=16),
    ranker=RankerConfig(num_trees=(5, 10), min_data_in_leaf=10, num_threads=1),
)


@dataclass(frozen=True, kw_only=True)
class FittedShop:
    """What a whole fit of the tiny shop leaves."""

    tables: ShopTables
    world: World
    retrieval: Retrieval
    fitted: Fitted


def tiny_shop(seed: int = 0) -> ShopTables:
    """Each user loves one category and buys three in four things from it."""
    rng = np.random.default_rng(seed)
    category = np.arange(NUM_ITEMS) % NUM_CATEGORIES
    events, reviews, polarity = [], [], []
    for user in range(NUM_USERS):
        loved = user % NUM_CATEGORIES
        chance = np.where(category == loved, 3.0, 0.25)
        picks = rng.choice(NUM_ITEMS, rng.integers(3, 9), replace=False, p=chance / chance.sum())
        for step, item in enumerate(picks.tolist()):
            when = START + timedelta(days=10 * step + int(rng.integers(0, 9)))
            row = {"user_id": f"u{user:02}", "item_id": f"i{item:02}", "seq": len(events)}
            events.append(row | {"event_type": "view", "event_time": when - timedelta(hours=2)})
            events.append(row | {"event_type": "purchase", "event_time": when, "seq": len(events)})
            if rng.random() < 0.7:
                likes = category[item] == loved
                reviews.append(
                    row
                    | {
                        "review_id": f"r{len(reviews):04}",
                        "event_time": when + timedelta(days=1),
                        "rating": 5.0 if likes else 2.0,
                        "text": "words",
                        "source": "review",
                    }
                )
                polarity.append(0.8 if likes else -0.5)
    for place, row in enumerate(events):
        row |= {"event_id": f"e{place:05}", "price_cents": 1000 + 10 * place % 700}
    items = [
        {
            "item_id": f"i{item:02}",
            "title": f"item {item}",
            "categories": ["all", f"c{category[item]}"],
            "brand": f"b{item % 3}" if item % 4 else None,
            "price_cents": 500 + 100 * item,
        }
        for item in range(NUM_ITEMS)
    ]
    embedding = rng.normal(size=(len(reviews), EMBEDDING_DIM)).astype(np.float32) * 0.05
    liked_item = np.array([int(row["item_id"][1:]) for row in reviews])
    embedding[np.arange(len(reviews)), category[liked_item]] += 1.0
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    return ShopTables(
        items=_frame(items, Items.create_empty()),
        events=_frame(events, Events.create_empty()),
        reviews=_frame(reviews, Reviews.create_empty()),
        signals=signals(reviews, polarity, embedding),
    )


def signals(reviews: list[dict], polarity: list[float], embedding: np.ndarray) -> pl.DataFrame:
    rows = [
        {
            "review_id": row["review_id"],
            "model_version": "m",
            "language": "en",
            "p_negative": max(-felt, 0.0),
            "p_neutral": 1.0 - abs(felt),
            "p_positive": max(felt, 0.0),
            "polarity": felt,
            "intensity": abs(felt),
            "stars_expected": 3.0 + 2.0 * felt,
            "mixed": False,
            "aspects": [],
            "needs": [],
            "truncated": False,
        }
        for row, felt in zip(reviews, polarity, strict=True)
    ]
    frame = _frame(rows, ReviewSignals.create_empty())
    return frame.with_columns(pl.Series("embedding", embedding, dtype=frame.schema["embedding"]))


def fit_tiny(tables: ShopTables, config: RecommenderConfig = CONFIG) -> Fitted:
    cuts = positional_cuts(
        tables.events, tables.reviews, num_learned=config.label_positions, as_of=AS_OF
    )
    return fit_and_test(
        tables,
        cuts,
        config,
        fit_each,
    )


def random_interactions(seed: int, num_users: int = 20, num_items: int = 12) -> Interactions:
    """Distinct random items a user, some users without any."""
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((num_users, num_items)) < 0.3)
    user, item = user.astype(np.int32), item.astype(np.int32)
    shuffled = np.lexsort((rng.random(len(user)), user))
    polarity = rng.uniform(-1, 1, len(user)).astype(np.float32)
    polarity[rng.random(len(user)) < 0.4] = np.nan
    return Interactions(
        num_users=num_users,
        num_items=num_items,
        user_idx=user[shuffled],
        item_idx=item[shuffled],
        event_time=np.arange(len(user), dtype=np.int64) * 1_000_000,
        session_start=np.maximum(np.arange(len(user), dtype=np.int64) - seed % 3, 0) * 1_000_000,
        sentiment=polarity,
        stars=np.full(len(user), np.nan, dtype=np.float32),
    )


def random_browsing(seed: int, num_users: int = 20, num_items: int = 12) -> Interactions:
    """Browse events of random strength, items repeating."""
    once = random_interactions(seed, num_users, num_items)
    rng = np.random.default_rng(seed)
    item = rng.integers(0, num_items, len(once)).astype(np.int32)
    strength = rng.choice([1.0, 2.0, 3.0], len(once)).astype(np.float32)
    return replace(once, item_idx=item, sentiment=strength)


def walking_interactions(num_users: int = 60, num_items: int = 12) -> Interactions:
    """Every user takes six items in the order of the catalogue: what comes next can be learned."""
    user = np.repeat(np.arange(num_users), 6)
    step = np.tile(np.arange(6), num_users)
    return Interactions(
        num_users=num_users,
        num_items=num_items,
        user_idx=user.astype(np.int32),
        item_idx=((user + step) % num_items).astype(np.int32),
        event_time=step.astype(np.int64) * 1_000_000,
        session_start=step.astype(np.int64) * 1_000_000,
        sentiment=np.full(len(user), np.nan, dtype=np.float32),
        stars=np.full(len(user), np.nan, dtype=np.float32),
    )


def random_features(seed: int, num_items: int = 12, text_dim: int = 6) -> ItemFeatures:
    """Items with no, one or two categories, and brands."""
    rng = np.random.default_rng(seed)
    num_categories = rng.integers(0, 3, num_items)
    text = rng.normal(size=(num_items, text_dim)).astype(np.float32)
    return ItemFeatures(
        dense=rng.normal(size=(num_items, len(DENSE_COLUMNS))).astype(np.float32),
        text=text / np.linalg.norm(text, axis=1, keepdims=True),
        category_indptr=np.concatenate([[0], np.cumsum(num_categories)]),
        category_idx=rng.integers(0, 4, num_categories.sum()).astype(np.int32),
        num_categories=4,
        brand_idx=rng.integers(0, 3, num_items).astype(np.int32),
        num_brands=3,
    )


def random_query(seed: int, num_users: int = 6, num_items: int = 12) -> Query:
    """Users of `random_interactions`, the last one a stranger."""
    bought = random_interactions(seed, num_users - 1, num_items)
    browsed = random_interactions(seed + 1, num_users - 1, num_items)
    return Query(
        bought=with_stranger(bought.histories(np.arange(num_users - 1))),
        browsed=_strengths(with_stranger(browsed.histories(np.arange(num_users - 1)))),
        user=np.random.default_rng(seed)
        .normal(size=(num_users, len(USER_COLUMNS)))
        .astype(np.float32),
        repeats=Repeats(
            purchases=with_stranger(random_repeats(seed, num_users - 1, num_items)), now=NOW
        ),
    )


def random_repeats(seed: int, num_users: int, num_items: int) -> Histories:
    """All purchases of the users of `random_interactions`: some items again, days apart."""
    bought = random_interactions(seed, num_users, num_items).histories(np.arange(num_users))
    rng = np.random.default_rng(seed)
    times = rng.integers(1, 4, len(bought.item_idx))
    lengths = np.bincount(bought.row, times, minlength=num_users).astype(np.int64)
    return Histories(
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        item_idx=np.repeat(bought.item_idx, times),
        event_time=NOW - rng.integers(1, 90, times.sum()) * DAY_US,
        sentiment=np.full(times.sum(), np.nan, dtype=np.float32),
    )


def with_stranger(histories: Histories) -> Histories:
    return Histories(
        indptr=np.append(histories.indptr, histories.indptr[-1]),
        item_idx=histories.item_idx,
        event_time=histories.event_time,
        sentiment=histories.sentiment,
    )


def rows_of(query: Query, users: np.ndarray) -> Query:
    """The question of some of a query's users, in the order given."""
    return Query(
        bought=_pick(query.bought, users),
        browsed=_pick(query.browsed, users),
        user=query.user[users],
        allowed=query.allowed,
        repeats=query.repeats
        and replace(query.repeats, purchases=_pick(query.repeats.purchases, users)),
    )


def _pick(histories: Histories, users: np.ndarray) -> Histories:
    parts = [np.arange(*histories.indptr[[u, u + 1]].tolist()) for u in users]
    rows = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
    return Histories(
        indptr=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
        item_idx=histories.item_idx[rows],
        event_time=histories.event_time[rows],
        sentiment=histories.sentiment[rows],
    )


def _strengths(histories: Histories) -> Histories:
    return Histories(
        indptr=histories.indptr,
        item_idx=histories.item_idx,
        event_time=histories.event_time,
        sentiment=1.0 + np.abs(np.nan_to_num(histories.sentiment)),
    )


def _frame(rows: list[dict], empty: pl.DataFrame) -> pl.DataFrame:
    known = [{name: row.get(name) for name in empty.columns} for row in rows]
    return pl.DataFrame(known, schema=empty.schema)
