"""What users do and write is on the disk when it is acknowledged, and counts in the next answer."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from live_shop import NOW, LiveShop, live_shop, scoring
from published_shop import Published, app_of
from starlette.testclient import TestClient

from features.event_log.coverage import write_coverage
from features.pseudonyms import PSEUDONYM_KEY, Pseudonyms
from sentiment.scorer import ReviewScorer, ScorerConfig
from serving.state import ServingState


@pytest.fixture
def shop(published_once: Published, tmp_path: Path) -> Iterator[LiveShop]:
    with live_shop(published_once.store, tmp_path) as shop:
        yield shop


@pytest.fixture(scope="module")
def buyer(published_once: Published) -> str:
    return published_once.buyer


def event(
    event_id: str, user_id: str, kind: str, item_id: str, **more: object
) -> dict[str, object]:
    told = {"event_id": event_id, "user_id": user_id, "event_type": kind, "item_id": item_id}
    return {**told, **more}


def kept(shop: LiveShop) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.kind, orjson.loads(entry.content)) for entry in shop.log.read(0, 100)]


@pytest.mark.parametrize("kind", ["purchase", "dismiss"])
def test_what_was_bought_or_dismissed_is_not_in_the_next_answer(
    shop: LiveShop, buyer: str, kind: str
) -> None:
    first = shop.items_for(buyer)[0]

    told = shop.tell(event("e1", buyer, kind, first))

    assert (told["added"], told["known"], told["erased"]) == (1, 0, 0)
    assert first not in shop.items_for(buyer)
    assert first in shop.items_for("somebody else")


def test_another_replica_sees_it_at_once(
    published_once: Published, shop: LiveShop, buyer: str, tmp_path: Path
) -> None:
    first = shop.items_for(buyer)[0]
    with live_shop(published_once.store, tmp_path) as other:
        assert first in other.items_for(buyer)
        shop.tell(event("e1", buyer, "purchase", first))
        assert first not in other.items_for(buyer)


def test_an_event_counts_once_however_often_it_is_sent(shop: LiveShop, buyer: str) -> None:
    view = event("e1", buyer, "view", "i00001")
    assert shop.tell(view, view)["added"] == 1
    told = shop.tell(view, event("e2", buyer, "view", "i00002"))
    assert (told["added"], told["known"]) == (1, 1)
    assert [said["event_id"] for _, said in kept(shop)] == ["e1", "e2"]


def test_nobody_takes_or_finds_the_ids_of_another(shop: LiveShop, buyer: str) -> None:
    first = shop.items_for(buyer)[0]
    assert shop.tell(event("e1", "eve", "view", "i00001"))["added"] == 1
    assert shop.tell(event("e1", buyer, "purchase", first))["added"] == 1
    assert first not in shop.items_for(buyer)
    assert shop.review(review_id="r1", user_id="eve", rating=1)["outcome"] == "added"
    assert shop.review(review_id="r1", user_id=buyer, rating=5)["outcome"] == "added"
    assert shop.review(review_id="r1", user_id=buyer, rating=5)["outcome"] == "known"
    # Two ids that read the same when put one behind the other.
    assert (
        shop.tell(event("2", "user1", "view", "i1"), event("12", "user", "view", "i1"))["added"]
        == 2
    )


def test_a_visitor_nobody_knows_is_known_by_the_first_click(shop: LiveShop) -> None:
    assert shop.ask(user_id="new here").degraded == "unknown_user"
    shop.tell(event("e1", "new here", "view", "i00001"))
    answered = shop.ask(user_id="new here")
    assert answered.degraded is None
    assert "browsed" in {item.reason.source for item in answered.items if item.reason}


def test_a_reason_that_was_wrong_is_not_given_again(shop: LiveShop, buyer: str) -> None:
    def causes() -> set[str | None]:
        items = shop.ask(user_id=buyer, k=100).items
        return {item.reason.because_item_id for item in items if item.reason is not None}

    wrong = next(cause for cause in causes() if cause is not None)
    shop.tell(event("f1", buyer, "reason_feedback", "i00001", because_item_id=wrong))
    assert wrong not in causes()
    assert wrong not in shop.items_for(buyer), "it was bought, after all"


def test_a_quote_that_was_wrong_is_not_shown_to_that_user_again(shop: LiveShop, buyer: str) -> None:
    def quotes(user_id: str) -> set[str]:
        reasons = [item.reason for item in shop.ask(user_id=user_id, k=100).items]
        return {r.quote.review_id for r in reasons if r is not None and r.quote is not None}

    wrong = min(quotes(buyer) & quotes("somebody else"))
    shop.tell(event("f1", buyer, "reason_feedback", "i00001", quoted_review_id=wrong))
    assert wrong not in quotes(buyer)
    assert wrong in quotes("somebody else")


def test_all_of_a_batch_is_kept_or_nothing(shop: LiveShop, buyer: str) -> None:
    whole, broken = event("e1", buyer, "view", "i00001"), event("e2", buyer, "view", "i00002")
    del broken["item_id"]
    answered = shop.client.post("/v1/events", json={"events": [whole, broken]})
    assert answered.status_code == 422
    assert answered.json()["errors"][0]["field"] == "events.1"
    assert "a view has an item_id" in answered.json()["detail"]
    assert shop.log.read(0, 10) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_type": "levitate"}, "event_type"),
        ({"event_time": "yesterday"}, "such as 2026-01-31T12:00:00Z"),
        ({"event_time": "2026-01-01T00:00:00"}, "has no zone"),
        ({"event_time": "9999-12-31T23:59:59-12:00"}, "within 1990..2099"),
        ({"event_time": "1970-01-01T00:00:00Z"}, "within 1990..2099"),
        ({"event_time": 1767225600}, "such as 2026-01-31T12:00:00Z"),
        ({"quantity": 0}, "quantity"),
        ({"propensity": 0.0}, "propensity"),
        ({"event_type": "search"}, "a search has a query"),
        ({"event_type": "reason_feedback"}, "because_item_id or a quoted_review_id"),
        ({"event_id": "e\x07"}, "control characters"),
        ({"colour": "red"}, "unknown field"),
    ],
)
def test_a_wrong_event_is_refused_and_named(
    shop: LiveShop, buyer: str, change: dict[str, object], message: str
) -> None:
    wrong = {**event("e1", buyer, "view", "i00001"), **change}
    answered = shop.client.post("/v1/events", json={"events": [wrong]})
    assert answered.status_code == 422
    assert message in answered.json()["detail"]
    assert shop.log.read(0, 10) == []


def test_times_are_kept_as_they_were_told_else_as_they_came(shop: LiveShop, buyer: str) -> None:
    shop.tell(
        event("e1", buyer, "view", "i00001", event_time="2025-12-31T23:00:00-01:00"),
        event("e2", buyer, "view", "i00001"),
    )
    times = [orjson.loads(entry.content)["event_time"] for entry in shop.log.read(0, 10)]
    told = datetime(2026, 1, 1, tzinfo=UTC)
    assert times == [round(told.timestamp() * 1e6), round(NOW.timestamp() * 1e6)]


def test_what_is_told_of_the_future_is_refused_unless_a_clock_is_fast(
    shop: LiveShop, buyer: str
) -> None:
    def at(seconds: int) -> str:
        return (NOW + timedelta(seconds=seconds)).isoformat()

    late = [event(f"e{n}", buyer, "view", "i00001", event_time=at(n)) for n in (0, 301, 999)]
    refused = shop.client.post("/v1/events", json={"events": late})
    review = {"review_id": "r1", "user_id": buyer, "rating": 4.0}
    refused_too = shop.client.post("/v1/reviews", json=review | {"event_time": at(301)})

    assert (refused.status_code, refused_too.status_code) == (422, 422)
    fields = [problem["field"] for problem in refused.json()["errors"]]
    assert fields == ["events.1.event_time", "events.2.event_time"]
    assert (
        "more than 5 minutes ahead of the server's clock, 2026-01-02T12:00:00+00:00"
        in (refused.json()["detail"])
    )
    assert refused_too.json()["errors"][0]["field"] == "event_time"
    assert shop.log.read(0, 10) == []

    shop.tell(event("e1", buyer, "view", "i00001", event_time=at(300)))
    shop.review(**review, event_time=at(300))
    assert {said["event_time"] for _, said in kept(shop)} == {round(NOW.timestamp() * 1e6)}


def test_nothing_is_acknowledged_that_could_not_be_written(
    shop: LiveShop, buyer: str, tmp_path: Path
) -> None:
    blocker = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    blocker.execute(
        "CREATE TRIGGER full BEFORE INSERT ON entries"
        " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    )
    answered = shop.client.post(
        "/v1/events", json={"events": [event("e1", buyer, "view", "i00001")]}
    )
    assert answered.status_code == 503
    assert answered.headers["retry-after"] == "1"
    assert answered.json()["type"] == "urn:sentirec:problem:not-written"
    assert "disk" not in answered.text, "details belong into the server's log"
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    assert shop.tell(event("e1", buyer, "view", "i00001"))["added"] == 1


def test_a_server_that_takes_nothing_in_says_so(published_once: Published) -> None:
    state = ServingState(published_once.store)
    state.load()
    answered = TestClient(app_of(state)).post(
        "/v1/events", json={"events": [event("e", "u", "view", "i00001")]}
    )
    assert answered.status_code == 503
    assert answered.json()["type"] == "urn:sentirec:problem:not-taking"


@pytest.fixture(scope="module")
def scorer() -> ReviewScorer:
    return ReviewScorer.load(ScorerConfig(max_tokens=64))


def test_a_bad_review_counts_in_the_next_answer(
    published_once: Published, scorer: ReviewScorer, tmp_path: Path
) -> None:
    user, bad = "reviewer", "i00001"
    brand = published_once.shop.items.filter(item_id=bad)["brand"].item()
    with live_shop(published_once.store, tmp_path, score_review=scoring(scorer)) as shop:
        shop.tell(event("e1", user, "purchase", bad))
        before = {item.item_id: item for item in shop.ask(user_id=user, k=99).items}

        told = shop.review(
            review_id="r-new",
            user_id=user,
            item_id=bad,
            rating=1,
            text="Terrible. It broke after one day and I hate it.",
        )
        assert told["outcome"] == "added"
        assert told["polarity"] < -0.5
        assert told["degraded"] is None

        after = {item.item_id: item for item in shop.ask(user_id=user, k=99).items}
    same_brand = [item_id for item_id, item in before.items() if item.brand == brand]
    assert same_brand
    # A bad experience takes relevance from what else the brand makes, and is no reason any more.
    assert all(after[item_id].score < before[item_id].score for item_id in same_brand)
    causes = {item.reason.because_item_id for item in after.values() if item.reason is not None}
    assert bad not in causes


def test_a_review_that_cannot_be_scored_is_kept_and_says_so(
    published_once: Published, tmp_path: Path
) -> None:
    async def fails(text: str) -> Any:
        raise RuntimeError("no model here")

    with live_shop(published_once.store, tmp_path, score_review=fails) as shop:
        told = shop.review(review_id="r1", user_id="u", item_id="i00001", text="Good.")
        assert (told["outcome"], told["polarity"]) == ("added", None)
        assert told["degraded"] == "not_scored"
        rated = shop.review(review_id="r2", user_id="u", item_id="i00001", rating=4)
        assert (rated["polarity"], rated["degraded"]) == (None, None)
        assert [(kind, said["review_id"]) for kind, said in kept(shop)] == [
            ("review", "r1"),
            ("review", "r2"),
        ]
        answered = shop.client.post("/v1/reviews", json={"review_id": "r3", "user_id": "u"})
        assert answered.status_code == 422
        assert "a rating, a title or a text" in answered.json()["detail"]


class Told:
    """Reads the polarity that stands in the text, unless it is out of order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.is_broken = False

    async def __call__(self, text: str) -> dict[str, Any]:
        self.texts.append(text)
        if self.is_broken:
            raise RuntimeError("no model here")
        return {"polarity": float(text), "model_version": "v"}


def num_scored(shop: LiveShop) -> float:
    lines = shop.client.get("/metrics").text.splitlines()
    return next(
        float(x.split()[1]) for x in lines if x.startswith("sentirec_review_polarity_count")
    )


def test_a_review_that_is_sent_again_is_read_once(
    published_once: Published, tmp_path: Path
) -> None:
    told = Told()
    review = {"review_id": "r1", "user_id": "u", "item_id": "i00001", "text": "0.5"}
    with live_shop(published_once.store, tmp_path, score_review=told) as shop:
        first, again = shop.review(**review), shop.review(**review)
        other = shop.review(**review | {"text": "-0.9"})
        stranger = shop.review(**review | {"user_id": "v", "text": "-0.2"})
        signals = [said["polarity"] for kind, said in kept(shop) if kind == "signals"]
        assert num_scored(shop) == 2

    assert (first["outcome"], first["polarity"]) == ("added", 0.5)
    assert (again["outcome"], again["polarity"], again["degraded"]) == ("known", 0.5, None)
    assert (other["outcome"], other["polarity"], other["degraded"]) == ("known", None, None)
    assert (stranger["outcome"], stranger["polarity"]) == ("added", -0.2)
    assert signals == [0.5, -0.2]
    assert told.texts == ["0.5", "-0.2"]


def test_a_review_that_could_not_be_read_is_read_when_the_same_comes_again(
    published: Published, tmp_path: Path
) -> None:
    told = Told()
    told.is_broken = True
    review = {"review_id": "r1", "user_id": "u", "item_id": "i00001", "text": "0.5"}
    with live_shop(published.store, tmp_path, score_review=told) as shop:
        assert shop.review(**review)["degraded"] == "not_scored"
        assert shop.review(**review)["degraded"] == "not_scored"
        told.is_broken = False
        assert shop.review(**review | {"text": "-0.9"})["polarity"] is None
        assert shop.review(**review)["polarity"] == 0.5
        assert [kind for kind, _ in kept(shop)] == ["review", "signals"]

        told.is_broken = True
        shop.review(**review | {"review_id": "r2"})
        told.is_broken = False
        # By now the batch has read it.
        write_coverage(published.store, shop.log.read(0, 10)[-1].position)
        assert shop.state.refresh()
        assert shop.review(**review | {"review_id": "r2"})["polarity"] is None
        assert [kind for kind, _ in kept(shop)] == ["review", "signals", "review"]


def test_what_the_tables_know_by_now_is_not_counted_twice(
    published: Published, tmp_path: Path, buyer: str
) -> None:
    with live_shop(published.store, tmp_path) as shop:
        first, second = shop.items_for(buyer)[:2]
        shop.tell(event("e1", buyer, "purchase", first), event("d1", buyer, "dismiss", second))
        assert not {first, second} & set(shop.items_for(buyer))
        live = shop.state.snapshot
        assert live is not None
        known = live.live_user(buyer)
        assert known is not None
        assert set(known.bought) == {first}

        # The batch has taken everything in, and made the tables anew.
        row = (
            published.tables["purchase_history"]
            .head(1)
            .with_columns(user_id=pl.lit(buyer), item_id=pl.lit(first))
        )
        history = pl.concat([published.tables["purchase_history"], row])
        published.store.overwrite("purchase_history", history)
        write_coverage(published.store, shop.log.read(0, 10)[-1].position)
        assert shop.state.refresh()

        renewed = shop.state.snapshot
        assert renewed is not None
        known = renewed.live_user(buyer)
        assert known is not None
        assert not known.bought
        # No table knows feedback: it stays.
        assert known.dismissed == {second}
        assert not {first, second} & set(shop.items_for(buyer))


def test_no_plain_id_reaches_the_log_of_a_pseudonymised_store(
    published: Published, tmp_path: Path
) -> None:
    names = pseudonymised(published)
    with live_shop(published.store, tmp_path, pseudonyms=names, exposures="all") as shop:
        shop.ask(user_id="u00001", session={"session_id": "s-plain"})
        first = shop.items_for("u00001")[0]
        shop.tell(event("e-plain", "u00001", "dismiss", first, session_id="s-plain"))
        shop.review(review_id="r-plain", user_id="u00001", item_id=first, rating=2)
        assert first not in shop.items_for("u00001")
        # What was shown is written behind the answer; what comes later waits for it.
        shop.log.append([])
        entries = shop.log.read(0, 10)
    whole = b"".join(each.content + f"{each.key} {each.user_id}".encode() for each in entries)
    kinds = [entry.kind for entry in entries]
    assert kinds == ["exposure", "exposure", "feedback", "review", "exposure"]
    shown, told = orjson.loads(entries[0].content), orjson.loads(entries[2].content)
    assert shown["session_id"] == told["session_id"], "or nobody could join them"
    assert not any(plain in whole for plain in (b"u00001", b"e-plain", b"s-plain", b"r-plain"))


@pytest.mark.parametrize("is_plain", [False, True])
def test_a_quote_that_was_wrong_is_known_by_its_id_as_by_its_pseudonym(
    published: Published, tmp_path: Path, buyer: str, is_plain: bool
) -> None:
    plain_ids = published.tables["quotes"]["review_id"].to_list()
    names = pseudonymised(published)
    plain_of = {names.named_values({"review_id": each})["review_id"]: each for each in plain_ids}

    def quotes(shop: LiveShop) -> set[str]:
        reasons = [item.reason for item in shop.ask(user_id=buyer, k=100).items]
        return {r.quote.review_id for r in reasons if r is not None and r.quote is not None}

    with live_shop(published.store, tmp_path, pseudonyms=names) as shop:
        wrong = min(quotes(shop))
        # Neither is known: one looks like a pseudonym.
        unknown = ["r-unknown", "f" * 32]
        told = [plain_of[wrong] if is_plain else wrong, *unknown]
        for number, review_id in enumerate(told):
            fields = {"quoted_review_id": review_id}
            shop.tell(event(f"f{number}", buyer, "reason_feedback", "i00001", **fields))
        assert wrong not in quotes(shop)
        logged = [said["quoted_review_id"] for _, said in kept(shop)]
    named = [names.named_values({"review_id": each})["review_id"] for each in unknown]
    assert logged == [wrong, *named]


def pseudonymised(published: Published) -> Pseudonyms:
    """Rename everybody in a store, as an ingest would have."""
    names = Pseudonyms.of_secret(bytes(range(32)))
    key = pl.DataFrame({"fingerprint": [names.fingerprint]})
    published.store.append(PSEUDONYM_KEY, key)
    for table, frame in published.tables.items():
        published.store.overwrite(table, names.named(frame))
    return names
