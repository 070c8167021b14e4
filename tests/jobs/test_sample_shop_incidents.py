"""A shop in which things go wrong, and the truth of them; without incidents all is as before."""

from typing import Any

import polars as pl
import pytest

from jobs.sample_shop import Shop, ShopConfig, generate_shop

SMALL: dict[str, Any] = {
    "num_items": 100,
    "num_users": 400,
    "num_reviews": 2200,
    "num_events": 18000,
    "days": 200,
}
KINDS: dict[str, Any] = {"bad_batches": 4, "drifts": 2, "review_bombings": 3}


@pytest.fixture(scope="module")
def plain() -> Shop:
    return generate_shop(ShopConfig(**SMALL))


@pytest.fixture(scope="module")
def troubled() -> Shop:
    return generate_shop(ShopConfig(**SMALL, **KINDS))


def test_without_incidents_there_is_no_table_of_them(plain: Shop) -> None:
    assert plain.truth.incidents.is_empty()
    assert "incidents" not in plain.truth.frames()


def test_incidents_are_those_that_were_asked_for(troubled: Shop) -> None:
    incidents = troubled.truth.incidents
    kinds = dict(incidents["kind"].value_counts().iter_rows())
    assert kinds == {"bad_batch": 4, "drift": 2, "review_bombing": 3}
    assert incidents["item_id"].is_unique().all()
    assert (incidents["start"] < incidents["end"]).all()


def test_what_is_sold_of_a_bad_batch_is_bad_and_nothing_else_changes(
    plain: Shop, troubled: Shop
) -> None:
    batches = troubled.truth.incidents.filter(kind="bad_batch")
    both = (
        troubled.truth.purchases.join(
            troubled.events.select("event_id", "event_time"), on="event_id"
        )
        .join(batches, on="item_id", how="left")
        .with_columns(
            hit=(pl.col("event_time") >= pl.col("start")) & (pl.col("event_time") < pl.col("end"))
        )
    )
    hit = both.filter("hit")
    assert len(hit) > 20
    bad, usual = hit["satisfaction"].to_numpy(), both["satisfaction"].to_numpy()
    assert bad.mean() < 0.35 < usual.mean()
    # Who buys what, and when, is the same world.
    sold = ["user_id", "item_id", "event_time"]
    purchases = [
        shop.events.filter(event_type="purchase").select(sold).sort(sold)
        for shop in (plain, troubled)
    ]
    assert purchases[0].equals(purchases[1])


def test_bombs_come_of_new_accounts_that_never_bought(troubled: Shop) -> None:
    bombs = troubled.reviews.filter(pl.col("user_id").str.starts_with("x"))
    users = troubled.users.select("user_id", "signup_at")
    aged = bombs.join(users, on="user_id")
    age = aged["event_time"] - aged["signup_at"]
    assert (age.dt.total_seconds() > 0).all()
    assert (age.dt.total_days() <= 3).all()
    assert bombs.join(troubled.events, on="user_id", how="semi").is_empty()
    assert not bombs["verified"].any()
    told = troubled.truth.incidents.filter(kind="review_bombing")
    assert told["num_reviews"].sum() == len(bombs)
    assert troubled.reviews["seq"].to_list() == list(range(len(troubled.reviews)))
    assert troubled.reviews["event_time"].is_sorted()


def test_the_same_config_gives_the_same_incidents(troubled: Shop) -> None:
    again = generate_shop(ShopConfig(**SMALL, **KINDS))
    assert again.reviews.equals(troubled.reviews)
    assert again.truth.incidents.equals(troubled.truth.incidents)


def test_too_many_incidents_are_refused() -> None:
    with pytest.raises(ValueError, match="34 incidents, wanted at most 33"):
        generate_shop(ShopConfig(**SMALL, bad_batches=34))
    with pytest.raises(ValueError, match="drifts is -1"):
        ShopConfig(drifts=-1)
