"""Parity: a user's question with fresh events is the one that the batch would put together."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from live_shop import LiveShop, live_shop
from published_shop import AS_OF, Published

from features.behaviour import USER_BEHAVIOUR
from features.kept_state import rebuild
from features.opinion import USER_OPINION
from features.visibility import everything
from recsys.interactions import Histories
from recsys.query import USER_COLUMNS, Query
from recsys.world import ShopTables, build_world

LATER = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("view", "view", "click", "cart", "wishlist", "purchase", "return", "search")
# How a user compares with the crowd needs the crowd.
OF_THE_CROWD = ("stars_above_crowd",)


async def told_polarity(text: str) -> Mapping[str, Any]:
    """Read the polarity that stands in the text."""
    return {"polarity": float(text), "model_version": "v"}


def drawn_events(user_id: str, items: list[str], rng: random.Random) -> list[dict[str, Any]]:
    found = []
    for number in range(rng.randint(1, 25)):
        kind = rng.choice(KINDS)
        moment = AS_OF + timedelta(minutes=rng.randint(1, 60 * 24 * 30))
        found.append(
            {
                "event_id": f"{user_id}-{number}",
                "user_id": user_id,
                "event_type": kind,
                "item_id": None if kind == "search" else rng.choice(items),
                "query": "guitar" if kind == "search" else None,
                "event_time": moment,
            }
        )
    return found


def drawn_reviews(user_id: str, items: list[str], rng: random.Random) -> list[dict[str, Any]]:
    moments = sorted(rng.randint(1, 40_000) for _ in range(rng.randint(0, 6)))
    return [
        {
            "review_id": f"{user_id}-{number}",
            "user_id": user_id,
            "item_id": rng.choice(items),
            "rating": float(rng.randint(1, 5)),
            "text": f"{rng.uniform(-1, 1):.3f}",
            "event_time": AS_OF + timedelta(minutes=moment),
        }
        for number, moment in enumerate(moments)
    ]


def batch_tables(
    published: Published, events: list[dict[str, Any]], reviews: list[dict[str, Any]]
) -> ShopTables:
    """Return the tables after the batch has taken everything in."""
    shop, signals = published.shop, published.signals

    def added(frame: pl.DataFrame, rows: list[dict[str, Any]]) -> pl.DataFrame:
        if not rows:
            return frame
        last = frame["seq"].max()
        assert isinstance(last, int)
        known = [{k: v for k, v in row.items() if k in frame.columns} for row in rows]
        whole = [row | {"seq": last + 1 + n} for n, row in enumerate(known)]
        return pl.concat([frame, pl.DataFrame(whole, schema=frame.schema)])

    scored = pl.concat(
        [
            signals,
            *(
                signals.head(1).with_columns(
                    review_id=pl.lit(review["review_id"]),
                    polarity=pl.lit(float(review["text"])).cast(signals.schema["polarity"]),
                )
                for review in reviews
            ),
        ]
    )
    reviews = [row | {"source": "review"} for row in reviews]
    return ShopTables(
        items=shop.items,
        events=added(shop.events, events),
        reviews=added(shop.reviews, reviews),
        signals=scored,
    )


def tell(shop: LiveShop, events: list[dict[str, Any]], reviews: list[dict[str, Any]]) -> None:
    def sent(row: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in row.items() if value is not None}
        return given | {"event_time": row["event_time"].isoformat()}

    shop.tell(*map(sent, events))
    for review in reviews:
        shop.review(**sent(review))


def rows_of(histories: Histories) -> list[tuple[int, int, float]]:
    felt = np.nan_to_num(histories.sentiment, nan=-9.0).round(5).tolist()
    rows = zip(histories.item_idx.tolist(), histories.event_time.tolist(), felt, strict=True)
    # Rows of one moment may stand in any order.
    return sorted(rows, key=lambda row: (row[1], row[0]))


def columns_of(query: Query) -> dict[str, float]:
    told = dict(zip(USER_COLUMNS, query.user[0].tolist(), strict=True))
    return {name: value for name, value in told.items() if name not in OF_THE_CROWD}


@pytest.mark.parametrize("seed", range(6))
def test_an_overlay_is_what_the_batch_would_say(
    published_once: Published, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    items = rng.sample(published_once.shop.items["item_id"].to_list(), 12)
    known = published_once.tables["user_profiles"]["user_id"].to_list()
    users = [*rng.sample(known, 12), "new-1", "new-2"]
    events = {user: drawn_events(user, items, rng) for user in users}
    reviews = {user: drawn_reviews(user, items, rng) for user in users}

    with live_shop(published_once.store, tmp_path, score_review=told_polarity, now=LATER) as shop:
        for user in users:
            tell(shop, events[user], reviews[user])
        shop.ask()
        snapshot = shop.state.snapshot
        assert snapshot is not None
        found = {user: snapshot.query(user) for user in users}

    tables = batch_tables(
        published_once,
        [row for user in users for row in events[user]],
        [row for user in users for row in reviews[user]],
    )
    world = build_world(tables, everything(tables.events, tables.reviews, as_of=LATER))
    for user in users:
        query = found[user]
        assert query is not None
        wanted = world.population.query(world.population.users.index([user]))
        assert rows_of(query.bought) == rows_of(wanted.bought), user
        assert rows_of(query.browsed) == rows_of(wanted.browsed), user
        assert columns_of(query) == pytest.approx(columns_of(wanted), abs=1e-5, nan_ok=True), user


@pytest.mark.parametrize("seed", range(3))
def test_a_profile_as_of_now_is_what_the_batch_would_say(
    published: Published, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(100 + seed)
    store, shop = published.store, published.shop
    for name, frame in (("events", shop.events), ("reviews", shop.reviews)):
        store.overwrite(name, frame)
    store.overwrite("review_signals", published.signals)
    rebuild(store, version=published.signals["model_version"][0], as_of=AS_OF)
    read = published.signals.select("emotions", n=pl.col("needs").list.len()).row(0, named=True)

    async def told(text: str) -> Mapping[str, Any]:
        signals = await told_polarity(text)
        return {**signals, "emotions": read["emotions"], "num_needs": read["n"]}

    items = rng.sample(shop.items["item_id"].to_list(), 12)
    known = published.tables["user_profiles"]["user_id"].to_list()
    users = rng.sample(known, 8)
    events = {user: drawn_events(user, items, rng) for user in users[1:]}
    reviews = {user: drawn_reviews(user, items, rng) for user in users[2:]}
    with live_shop(store, tmp_path, score_review=told, now=LATER) as live:
        for user in events:
            tell(live, events[user], reviews.get(user, []))
        answers = [live.client.get(f"/v1/users/{user}/profile").json() for user in users]
        unknown = live.tell(
            {"event_id": "e", "user_id": "new", "event_type": "view", "item_id": items[0]}
        )
        assert unknown["added"] == 1
        stranger = live.client.get("/v1/users/new/profile").json()
    assert (stranger["as_of"], stranger["live_as_of"]) == (None, None)

    tables = batch_tables(
        published,
        [row for user in events for row in events[user]],
        [row for user in reviews for row in reviews[user]],
    )
    world = build_world(tables, everything(tables.events, tables.reviews, as_of=LATER))
    for user, answered in zip(users, answers, strict=True):
        assert answered["live_as_of"] == LATER.isoformat()
        wanted = world.user_profiles.filter(pl.col("user_id") == user).row(0, named=True)
        for feature in (*USER_BEHAVIOUR, *USER_OPINION):
            if feature.levels:
                continue  # Of the last build's prior: tests/features/test_live.py.
            found = answered["profile"][feature.name]
            expected = wanted[feature.name]
            assert found == pytest.approx(expected, abs=1e-6, nan_ok=True), (user, feature.name)


def test_a_profile_without_its_state_is_that_of_the_last_build(
    published: Published, tmp_path: Path
) -> None:
    store, shop = published.store, published.shop
    for name, frame in (("events", shop.events), ("reviews", shop.reviews)):
        store.overwrite(name, frame)
    store.overwrite("review_signals", published.signals)
    # Of another moment than the profiles.
    version = published.signals["model_version"][0]
    rebuild(store, version=version, as_of=AS_OF - timedelta(days=1))
    user = published.tables["user_profiles"].filter(pl.col("num_purchases") > 0)["user_id"][0]
    with live_shop(store, tmp_path, now=LATER) as live:
        before = live.client.get(f"/v1/users/{user}/profile").json()
        event = {"event_id": "e", "user_id": user, "event_type": "view", "item_id": "i00001"}
        live.tell(event)
        after = live.client.get(f"/v1/users/{user}/profile").json()
    assert after["live_as_of"] is None
    assert after["profile"] == before["profile"]
