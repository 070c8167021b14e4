"""What is known of a user, and how to be forgotten."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import polars as pl
import pytest
from live_shop import NOW, LiveShop, live_shop
from published_shop import Published

from features.erasure import erase_name
from serving.schema_users import Erasure, UserProfile


@pytest.fixture
def shop(published_once: Published, tmp_path: Path) -> Iterator[LiveShop]:
    with live_shop(published_once.store, tmp_path) as shop:
        yield shop


@pytest.fixture(scope="module")
def author(published_once: Published) -> str:
    """Somebody who is quoted."""
    return published_once.tables["quotes"]["user_id"][0]


def profile_of(shop: LiveShop, user_id: str) -> UserProfile:
    answered = shop.client.get(f"/v1/users/{user_id}/profile")
    assert answered.status_code == 200, answered.text
    return UserProfile.model_validate_json(answered.content)


def event(event_id: str, user_id: str, kind: str, item_id: str) -> dict[str, object]:
    return {"event_id": event_id, "user_id": user_id, "event_type": kind, "item_id": item_id}


def test_a_profile_tells_the_past_with_what_happened_just_now(
    shop: LiveShop, published_once: Published, author: str
) -> None:
    before = profile_of(shop, author)
    history = published_once.tables["purchase_history"].filter(pl.col("user_id") == author)
    assert {item.item_id for item in before.bought} == set(history["item_id"])
    assert any(item.polarity is not None for item in before.bought)
    times = [item.event_time for item in before.bought]
    assert times == sorted(times, reverse=True)
    rows = published_once.tables["user_profiles"].filter(pl.col("user_id") == author)
    assert before.profile["num_purchases"] == rows["num_purchases"].item()
    assert before.as_of is not None

    fresh = shop.items_for(author)[:2]
    shop.tell(event("e1", author, "purchase", fresh[0]), event("e2", author, "dismiss", fresh[1]))

    after = profile_of(shop, author)
    assert {item.item_id for item in after.bought} - {i.item_id for i in before.bought} == {
        fresh[0]
    }
    assert after.bought[0].item_id == fresh[0]
    assert after.dismissed_item_ids == [fresh[1]]


def test_nothing_is_known_of_a_stranger(shop: LiveShop) -> None:
    answered = shop.client.get("/v1/users/nobody/profile")
    assert answered.status_code == 404
    assert answered.json()["type"] == "urn:sentirec:problem:unknown-user"


@pytest.mark.parametrize("user_id", ["u%00", "u%0A", "u" * 257])
def test_a_wrong_id_in_a_path_is_refused(shop: LiveShop, user_id: str) -> None:
    for answered in (
        shop.client.get(f"/v1/users/{user_id}/profile"),
        shop.client.delete(f"/v1/users/{user_id}"),
    ):
        assert answered.status_code == 422
        assert answered.json()["errors"][0]["field"] == "user_id"


def quoted_reviews(shop: LiveShop) -> set[str]:
    reasons = [item.reason for item in shop.ask(k=100).items]
    return {r.quote.review_id for r in reasons if r is not None and r.quote is not None}


def test_who_wants_to_be_forgotten_is_forgotten_at_once(
    published_once: Published, shop: LiveShop, author: str, tmp_path: Path
) -> None:
    quotes = published_once.tables["quotes"]
    own = set(quotes.filter(pl.col("user_id") == author)["review_id"])
    shop.tell(event("e1", author, "view", "i00001"), event("e2", "other", "view", "i00001"))
    assert own & quoted_reviews(shop)
    with live_shop(published_once.store, tmp_path) as replica:
        replica.ask(user_id=author)
        answered = shop.client.delete(f"/v1/users/{author}")
        assert answered.status_code == 202
        erasure = Erasure.model_validate_json(answered.content)
        assert (erasure.state, erasure.erased_entries) == ("accepted", 1)
        for one in (shop, replica):
            assert one.ask(user_id=author).degraded == "unknown_user"
            assert one.client.get(f"/v1/users/{author}/profile").status_code == 404
            assert not own & quoted_reviews(one)
    assert shop.tell(event("e9", author, "view", "i00001"))["erased"] == 1
    told = shop.review(review_id="r-late", user_id=author, rating=1)
    assert told["outcome"] == "erased"
    assert shop.ask(user_id=author).degraded == "unknown_user"
    left = [e.content for e in shop.log.read(0, 99) if e.kind != "erasure"]
    assert [orjson.loads(content)["event_id"] for content in left] == ["e2"]


def test_who_is_erased_by_the_command_is_forgotten_by_running_servers(
    published: Published, author: str, tmp_path: Path
) -> None:
    quotes = published.tables["quotes"]
    own = set(quotes.filter(pl.col("user_id") == author)["review_id"])
    with (
        live_shop(published.store, tmp_path) as shop,
        live_shop(published.store, tmp_path) as replica,
    ):
        shop.tell(event("e1", author, "view", "i00001"), event("e2", "new", "view", "i00001"))
        assert replica.ask(user_id=author).degraded is None
        assert own & quoted_reviews(replica)
        for name in (author, "new"):
            assert erase_name(published.store, name, now=NOW, log=shop.log)

        for one in (replica, shop):
            for name in (author, "new"):
                assert one.ask(user_id=name).degraded == "unknown_user"
                assert one.client.get(f"/v1/users/{name}/profile").status_code == 404
            assert not own & quoted_reviews(one)
            live = one.state.snapshot and one.state.snapshot.live
            assert live is not None
            assert author in live.erased
            assert "u00001" not in live.erased
            assert live.of("new") is None
