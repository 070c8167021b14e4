"""What is like an item, goes with it and is said of it; what rises. On a shop with real models."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from live_shop import live_shop
from published_shop import AS_OF, Published, app_of
from pydantic import BaseModel
from starlette.testclient import TestClient

from features.erasure import erase_user
from features.store import Store
from recsys.bundle import write_bundle
from recsys.bundle_versions import promote
from recsys.recommender import Recommender
from recsys.rerank_section import RerankSection
from recsys.similar_items import WEIGHTS
from recsys.sources import BrowseSource, NeighbourSource
from sentiment.needs import NEED_KINDS
from serving.schema_insight import InsightResponse, NeedKind
from serving.schema_items import SimilarResponse, TogetherResponse, TrendingResponse, Voice
from serving.schema_types import ID_SCHEMA
from serving.side_tables import OPTIONAL
from serving.state import ServingState

NEW_TABLES = ("item_profiles", "item_aspects", "item_satisfaction", "item_needs", "complaints")


def client_of(published: Published, **given: Any) -> TestClient:
    state = ServingState(published.store, **given)
    state.load()
    return TestClient(app_of(state))


@pytest.fixture(scope="module")
def client(published_once: Published) -> Iterator[TestClient]:
    with client_of(published_once) as client:
        yield client


def got(client: TestClient, path: str, **query: str | int) -> dict[str, Any]:
    answered = client.get(path, params=query, headers={"X-Request-ID": "r1"})
    assert answered.status_code == 200, answered.text
    body = answered.json()
    assert (body["request_id"], body["model_version"][0]) == ("r1", "v")
    return body


def similar(client: TestClient, item_id: str, **query: str | int) -> SimilarResponse:
    found = got(client, f"/v1/items/{item_id}/similar", **query)
    return SimilarResponse.model_validate(found)


def together(client: TestClient, item_id: str, **query: str | int) -> TogetherResponse:
    found = got(client, f"/v1/items/{item_id}/bought-together", **query)
    return TogetherResponse.model_validate(found)


def insight(client: TestClient, item_id: str) -> InsightResponse:
    return InsightResponse.model_validate(got(client, f"/v1/items/{item_id}/insight"))


def trending(client: TestClient, **query: str | int) -> TrendingResponse:
    return TrendingResponse.model_validate(got(client, "/v1/trending", **query))


def ids(answered: Any) -> list[str]:
    assert [item.rank for item in answered.items] == list(range(1, len(answered.items) + 1))
    return [item.item_id for item in answered.items]


def item_ids(published: Published) -> list[str]:
    return published.shop.items["item_id"].to_list()


def sold_out(published: Published) -> set[str]:
    return set(published.shop.items.filter(~pl.col("in_stock"))["item_id"])


def of_category(published: Published, category: str) -> set[str]:
    members = published.shop.items.filter(pl.col("categories").list.contains(category))
    return set(members["item_id"])


def test_what_is_like_an_item_is_of_its_kind_and_never_itself(
    client: TestClient, published_once: Published
) -> None:
    shelves = pl.col("categories").list.last()
    shelf_of = dict(published_once.shop.items.select("item_id", shelves).rows())
    left = set(item_ids(published_once)) - sold_out(published_once)
    same = []
    for item_id in item_ids(published_once):
        found = ids(similar(client, item_id, k=3))
        assert len(found) == 3
        assert item_id not in found
        if any(shelf_of[other] == shelf_of[item_id] for other in left - {item_id}):
            same.append(shelf_of[found[0]] == shelf_of[item_id])
    # By chance it would be one in twenty; what items are called is not among the texts here.
    assert len(same) > 50
    assert np.mean(same) > 0.4


def test_similar_items_show_themselves_and_what_speaks_for_them(
    client: TestClient, published_once: Published
) -> None:
    rows = {row["item_id"]: row for row in published_once.shop.items.iter_rows(named=True)}
    found = similar(client, "i00003", k=10)
    assert (found.item_id, found.degraded) == ("i00003", None)
    for item in found.items:
        row = rows[item.item_id]
        assert (item.title, item.brand) == (row["title"], row["brand"])
        assert item.price_cents == row["price_cents"]
        assert item.like_in
    scores = [item.score for item in found.items]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1


def test_twenty_items_without_a_k(client: TestClient) -> None:
    assert len(ids(similar(client, "i00003"))) == 20
    assert len(ids(trending(client))) == 20


def test_what_is_out_of_stock_or_taken_out_by_rules_is_in_no_list(
    client: TestClient, published_once: Published
) -> None:
    assert sold_out(published_once)
    banned = [*ids(similar(client, "i00003", k=2)), *ids(trending(client, k=2))]
    section = RerankSection.model_validate({"rules": [{"factor": 0, "item_ids": banned}]})
    ruled = client_of(published_once, rerank=section)
    unwanted = sold_out(published_once) | set(banned)
    for item_id in item_ids(published_once):
        for found in (similar(ruled, item_id, k=500), together(ruled, item_id, k=500)):
            assert not set(ids(found)) & unwanted
    assert not set(ids(trending(ruled, k=500))) & unwanted
    # Whoever looks at such an item still sees what is like it, and what is said of it.
    assert ids(similar(ruled, banned[0], k=5))
    assert insight(ruled, banned[0]).item_id == banned[0]


def test_an_item_that_nobody_touched_has_similar_ones_and_honest_gaps(
    published: Published,
) -> None:
    client = with_untouched_item(published, "i00003")
    found = similar(client, "i00003", k=5)
    assert len(ids(found)) == 5
    voices = {voice for item in found.items for voice in item.like_in}
    assert "attributes" in voices
    assert voices <= {"attributes", "taste"}
    alone = together(client, "i00003")
    assert (alone.items, alone.degraded) == ([], "nothing_known")
    told = insight(client, "i00003")
    assert told.satisfaction is None
    assert told.aspects == told.needs.voiced == told.quotes.praise == told.quotes.complaints == []
    assert told.needs.num_needs == 0
    assert told.title


def with_untouched_item(published: Published, item_id: str) -> TestClient:
    """Answer from a bundle and tables in which nobody ever touched or wrote of an item."""
    recommender = published.fitted.recommender
    assert recommender is not None
    folder = published.bundles / "v2"
    write_bundle(
        folder,
        without(recommender, item_ids(published).index(item_id)),
        created_at="2026-01-01T00:00:00+00:00",
        metrics=published.fitted.metrics,
        data={},
        code={"version": "test"},
    )
    promote(published.bundles, "v2")
    for name, frame in published.tables.items():
        if name not in ("items", "item_profiles") and "item_id" in frame.columns:
            published.store.overwrite(name, frame.filter(pl.col("item_id") != item_id))
    return client_of(published)


def without(recommender: Recommender, item: int) -> Recommender:
    keep = sp.diags_array((np.arange(len(recommender.items)) != item).astype(np.float32))
    sources = [
        replace(source, table=sp.csr_matrix(keep @ source.table @ keep))
        if isinstance(source, NeighbourSource | BrowseSource)
        else source
        for source in recommender.sources
    ]
    text = recommender.text.copy()
    text[item] = 0.0
    return replace(recommender, sources=sources, text=text)


def test_what_is_bought_together_tells_figures_that_purchases_bear_out(
    client: TestClient, published_once: Published
) -> None:
    purchases = published_once.tables["purchase_history"]
    buyers = dict(
        purchases.group_by("item_id").agg("user_id").rows()  # one row a user and item
    )
    everybody = purchases["user_id"].n_unique()
    num_found = 0
    for item_id in item_ids(published_once):
        own = set(buyers.get(item_id, ()))
        found = together(client, item_id, k=10)
        assert found.degraded == (None if found.items else "nothing_known")
        for item in found.items:
            theirs = set(buyers[item.item_id])
            assert item.num_buyers == len(own & theirs) >= 2
            assert item.share == pytest.approx(len(own & theirs) / len(own))
            assert item.lift == pytest.approx(item.share * everybody / len(theirs))
            assert item.lift > 1
            assert 0 < item.strength <= 1
            num_found += 1
        assert item_id not in ids(found)
        strengths = [item.strength for item in found.items]
        assert strengths == sorted(strengths, reverse=True)
    assert num_found > 200


def test_insight_tells_what_the_tables_say(client: TestClient, published_once: Published) -> None:
    tables = published_once.tables
    rows = {
        name: {row["item_id"]: row for row in tables[name].iter_rows(named=True)}
        for name in ("items", "item_profiles", "item_satisfaction")
    }
    for item_id in item_ids(published_once):
        told = insight(client, item_id)
        item, profile = rows["items"][item_id], rows["item_profiles"][item_id]
        assert told.categories == item["categories"]
        assert (told.title, told.in_stock) == (item["title"], item["in_stock"])
        assert told.as_of == "2026-01-01T00:00:00+00:00"
        assert told.popularity.num_purchases == profile["num_purchases"]
        assert told.opinion.num_reviews == profile["num_reviews"]
        assert told.opinion.stars is not None
        assert told.opinion.stars.value == pytest.approx(profile["stars_smoothed"])
        assert told.opinion.stars.low == pytest.approx(profile["stars_smoothed_low"])
        assert told.opinion.polarity_drift == pytest.approx(profile["polarity_drift"])
        satisfaction = rows["item_satisfaction"].get(item_id)
        if satisfaction is None:
            assert told.satisfaction is None
        else:
            assert told.satisfaction is not None
            assert told.satisfaction.index == pytest.approx(satisfaction["satisfaction"])
            assert told.satisfaction.low <= told.satisfaction.index <= told.satisfaction.high
            assert told.satisfaction.num_opinions == satisfaction["num_opinions"]


def test_aspects_are_those_of_the_item_the_most_mentioned_first(
    client: TestClient, published_once: Published
) -> None:
    table = published_once.tables["item_aspects"]
    num_told = 0
    for item_id in item_ids(published_once):
        own = {row["aspect"]: row for row in table.filter(item_id=item_id).iter_rows(named=True)}
        told = insight(client, item_id).aspects
        assert [aspect.aspect for aspect in told] == sorted(
            own, key=lambda name: (-own[name]["num_mentions"], name)
        )
        for aspect in told:
            row, level = own[aspect.aspect], aspect.polarity
            assert aspect.num_mentions == row["num_mentions"]
            assert level.value == pytest.approx(row["polarity"])
            assert (level.low, level.high) == (row["polarity_low"], row["polarity_high"])
        num_told += len(told)
    assert num_told == len(table) > 200


def test_quotes_are_verbatim_and_their_reviews_bear_them_out(
    client: TestClient, published_once: Published
) -> None:
    reviews = {row["review_id"]: row for row in published_once.shop.reviews.iter_rows(named=True)}
    num_praise = num_complaints = 0
    for item_id in item_ids(published_once):
        quotes = insight(client, item_id).quotes
        for quote in (*quotes.praise, *quotes.complaints):
            assert quote.text in reviews[quote.review_id]["text"]
            assert reviews[quote.review_id]["item_id"] == item_id
            assert quote.aspect
        assert all(quote.polarity > 0 for quote in quotes.praise)
        assert all(quote.polarity <= -0.5 for quote in quotes.complaints)
        num_praise += len(quotes.praise)
        num_complaints += len(quotes.complaints)
    assert num_praise > 50
    assert num_complaints > 50


def test_needs_in_the_same_words_are_counted_by_author(published: Published) -> None:
    rows = [
        ("r1", "u1", "I wish it had a light", "missing_feature"),
        ("r2", "u2", "a longer cable", "improvement"),
        ("r3", "u3", "i wish it had a Light", "missing_feature"),
        ("r4", "u3", "I wish it had a light", "missing_feature"),
    ]
    table = pl.DataFrame(rows, ["review_id", "user_id", "need", "kind"], orient="row")
    published.store.overwrite("item_needs", table.with_columns(item_id=pl.lit("i00003")))
    told = insight(client_of(published), "i00003").needs
    assert told.num_needs == 4
    assert told.by_kind == {"missing_feature": 3, "improvement": 1}
    first, second = told.voiced
    assert (first.text, first.count, first.review_id) == ("I wish it had a light", 2, "r1")
    assert (second.text, second.kind, second.count) == ("a longer cable", "improvement", 1)


def test_the_sample_shop_voices_needs(client: TestClient, published_once: Published) -> None:
    texts = dict(published_once.tables["item_needs"].select("review_id", "need").rows())
    voiced = [
        need
        for item_id in item_ids(published_once)
        for need in insight(client, item_id).needs.voiced
    ]
    assert len(voiced) > 50
    assert all(need.review_id in texts for need in voiced)


def test_words_of_an_erased_author_vanish_at_once(
    published_once: Published, tmp_path: Path
) -> None:
    complaints = published_once.tables["complaints"]
    author, item_id = complaints.select("user_id", "item_id").row(0)
    own = {
        name: set(published_once.tables[name].filter(user_id=author)["review_id"])
        for name in ("quotes", "complaints", "item_needs")
    }
    words = set().union(*own.values())

    def shown(client: TestClient) -> set[str]:
        return {
            told.review_id
            for item in item_ids(published_once)
            for answer in [insight(client, item)]
            for told in (*answer.quotes.praise, *answer.quotes.complaints, *answer.needs.voiced)
        }

    with live_shop(published_once.store, tmp_path) as shop:
        before = len(insight(shop.client, item_id).quotes.complaints)
        assert words & shown(shop.client)
        assert shop.client.delete(f"/v1/users/{author}").status_code == 202
        assert not words & shown(shop.client)
        assert len(insight(shop.client, item_id).quotes.complaints) < before


def test_an_erased_author_is_in_no_table_either(published: Published) -> None:
    complaints = published.tables["complaints"]
    author = complaints["user_id"].mode().sort()[0]
    report = erase_user(published.store, author, now=AS_OF)
    assert report.rows["complaints"] == len(complaints.filter(user_id=author))
    assert report.after == []
    for name in ("complaints", "item_needs", "quotes"):
        assert author not in published.store.scan(name).collect()["user_id"]


def test_what_rises_comes_first_and_what_is_popular_last(
    client: TestClient, published_once: Published
) -> None:
    found = trending(client, k=500, surface="home")
    assert (found.surface, found.category, found.degraded) == ("home", None, None)
    rising = [item for item in found.items if item.is_rising]
    assert rising
    assert [item.is_rising for item in found.items] == sorted(
        (item.is_rising for item in found.items), reverse=True
    )
    lows = [item.rise_low for item in rising]
    assert lows == sorted(lows, reverse=True)
    assert lows[-1] > 1
    purchases = published_once.tables["purchase_history"]
    last = max(purchases["event_time"].to_list())
    assert found.as_of == last.isoformat()
    age = (last - pl.col("event_time")).dt.total_microseconds() / 86_400e6
    counts = dict(purchases.filter(age < found.recent_days).group_by("item_id").len().iter_rows())
    for item in found.items:
        assert item.num_recent == counts.get(item.item_id, 0)
        assert item.rise_low <= item.rise


def test_an_item_that_suddenly_sells_leads_the_list(published: Published) -> None:
    purchases = published.tables["purchase_history"]
    calm = purchases.group_by("item_id").len().sort("len")["item_id"].to_list()
    item_id = next(name for name in calm if name not in sold_out(published))
    buyers = purchases["user_id"].unique(maintain_order=True).head(30)
    rush = purchases.head(30).with_columns(
        user_id=buyers, item_id=pl.lit(item_id), event_time=purchases["event_time"].max()
    )
    published.store.append("purchase_history", rush)
    first = trending(client_of(published), k=1).items[0]
    assert (first.item_id, first.is_rising) == (item_id, True)
    assert first.num_recent >= 25
    assert first.num_recent > 5 * first.num_expected


def test_trending_within_a_category_keeps_the_order(
    client: TestClient, published_once: Published
) -> None:
    everything = ids(trending(client, k=500))
    for category in ("Musical Instruments", "Electric Guitars"):
        found = ids(trending(client, k=500, category=category))
        members = of_category(published_once, category)
        assert found == [item_id for item_id in everything if item_id in members]
        assert found


def test_a_category_that_no_item_has_is_an_empty_list_and_told(client: TestClient) -> None:
    found = trending(client, category="Submarines")
    assert (found.items, found.degraded, found.category) == ([], "unknown_category", "Submarines")


def test_without_anything_that_rises_the_popular_are_declared(published: Published) -> None:
    purchases = published.tables["purchase_history"]
    once = purchases.with_columns(event_time=purchases["event_time"].max())
    published.store.overwrite("purchase_history", once)
    found = trending(client_of(published), k=5)
    assert found.degraded == "nothing_rises"
    assert len(found.items) == 5
    sold = [item.num_recent for item in found.items]
    assert sold == sorted(sold, reverse=True)


def test_an_old_store_without_the_new_tables_still_answers(published: Published) -> None:
    for name in NEW_TABLES:
        assert name in OPTIONAL
        (published.root / "tables" / name).rename(published.root / f"{name}-gone")
    client = client_of(published)
    told = insight(client, "i00003")
    # From the bundle's own profiles.
    assert told.opinion.stars is not None
    assert told.popularity.num_purchases
    assert told.satisfaction is None
    assert told.aspects == []
    assert len(similar(client, "i00003").items) == 20
    assert trending(client).items


def test_tables_of_an_older_version_lack_columns_and_are_read(published: Published) -> None:
    aspects = published.tables["item_aspects"].drop("polarity_low", "polarity_high")
    published.store.overwrite("item_aspects", aspects)
    profiles = published.tables["item_profiles"].drop("polarity_drift", "stars_smoothed")
    published.store.overwrite("item_profiles", profiles)
    told = insight(client_of(published), aspects["item_id"][0])
    assert told.aspects[0].polarity.low is None
    assert told.opinion.polarity_drift is None
    assert told.opinion.stars is None


def test_new_words_are_told_after_the_next_poll(published: Published) -> None:
    state = ServingState(published.store)
    state.load()
    client = TestClient(app_of(state))
    item_id = published.tables["complaints"]["item_id"][0]
    assert insight(client, item_id).quotes.complaints
    published.store.overwrite("complaints", published.tables["complaints"].clear())
    assert state.refresh()
    assert insight(client, item_id).quotes.complaints == []


PATHS = ["/v1/items/i00003/similar", "/v1/items/i00003/bought-together", "/v1/trending"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"k": "0"}, ["k"]),
        ({"k": "501"}, ["k"]),
        ({"k": "-1"}, ["k"]),
        ({"k": "abc"}, ["k"]),
        ({"k": ""}, ["k"]),
        ({"k": "1.0"}, ["k"]),
        ({"k": "1e2"}, ["k"]),
        ({"k": "+5"}, ["k"]),
        ({"k": " 5"}, ["k"]),
        ({"k": "1_0"}, ["k"]),
        ({"k": "５"}, ["k"]),
        ({"k": "9" * 400}, ["k"]),
        ({"k": ["3", "3"]}, ["k"]),
        ({"limit": "3"}, ["limit"]),
        ({"K": "3"}, ["K"]),
        ({"k": "0", "limit": "3"}, ["k", "limit"]),
    ],
)
def test_a_query_that_breaks_the_contract_is_a_422_that_names_the_parameters(
    client: TestClient, path: str, query: dict[str, Any], fields: list[str]
) -> None:
    answered = client.get(path, params=query)
    assert answered.status_code == 422, answered.text
    assert answered.headers["content-type"] == "application/problem+json"
    problem = answered.json()
    assert problem["type"] == "urn:sentirec:problem:invalid-request"
    assert sorted(error["field"] for error in problem["errors"]) == fields
    assert len(answered.content) < 2000


@pytest.mark.parametrize("query", [{"k": "3"}, {"aspect": "sound"}])
def test_insight_takes_no_parameters(client: TestClient, query: dict[str, str]) -> None:
    answered = client.get("/v1/items/i00003/insight", params=query)
    assert answered.status_code == 422
    assert [error["field"] for error in answered.json()["errors"]] == list(query)


@pytest.mark.parametrize(
    "query", [{"category": ""}, {"surface": "a\u0000"}, {"category": "c" * 300}]
)
def test_texts_of_a_query_are_held_to_the_rules_of_ids(
    client: TestClient, query: dict[str, str]
) -> None:
    answered = client.get("/v1/trending", params=query)
    assert answered.status_code == 422
    assert [error["field"] for error in answered.json()["errors"]] == list(query)


@pytest.mark.parametrize("k", ["1", "007", "500"])
def test_the_ends_of_the_range_are_within_it(client: TestClient, k: str) -> None:
    assert len(trending(client, k=k).items) <= int(k)


@pytest.mark.parametrize("what", ["similar", "bought-together", "insight"])
def test_an_unknown_item_is_a_404_and_an_impossible_id_a_422(client: TestClient, what: str) -> None:
    unknown = client.get(f"/v1/items/nothing%20like%20it/{what}")
    assert unknown.status_code == 404
    assert unknown.json()["type"] == "urn:sentirec:problem:unknown-item"
    for item_id in ("a%00b", "%09", "i" * 257, "", "%C2%85"):
        impossible = client.get(f"/v1/items/{item_id}/{what}")
        assert impossible.status_code == 422, item_id
        assert [error["field"] for error in impossible.json()["errors"]] == ["item_id"]


def test_an_id_with_a_slash_is_an_id_like_any_other(published: Published) -> None:
    client = client_of(published)
    assert client.get("/v1/items/a%2Fb/similar").json()["type"].endswith("unknown-item")


def test_before_anything_is_loaded_it_is_a_503(tmp_path: Path) -> None:
    client = TestClient(app_of(ServingState(Store(tmp_path))))
    for path in (*PATHS, "/v1/items/i00003/insight"):
        answered = client.get(path)
        assert answered.status_code == 503
        assert answered.headers["retry-after"] == "1"


def test_the_page_of_the_interface_tells_parameters_with_their_ranges(client: TestClient) -> None:
    page = client.get("/openapi.json").json()
    for path, wanted in (
        ("/v1/items/{item_id}/similar", ["item_id", "k"]),
        ("/v1/items/{item_id}/bought-together", ["item_id", "k"]),
        ("/v1/items/{item_id}/insight", ["item_id"]),
        ("/v1/trending", ["k", "category", "surface"]),
    ):
        route = page["paths"][path]["get"]
        told = {parameter["name"]: parameter for parameter in route["parameters"]}
        assert list(told) == wanted
        in_query = [parameter for parameter in told.values() if parameter["in"] == "query"]
        assert all(parameter["description"] for parameter in in_query)
        if "k" in told:
            schema = {"type": "integer", "minimum": 1, "maximum": 500, "default": 20}
            assert told["k"]["schema"] == schema
        if "category" in told:
            assert told["category"]["schema"] == ID_SCHEMA
        answers = route["responses"]
        assert {"200", "401", "403", "422", "429", "503"} <= set(answers)
        assert "$ref" in answers["200"]["content"]["application/json"]["schema"]
        assert list(answers["422"]["content"]) == ["application/problem+json"]


def test_names_on_the_wire_are_those_of_the_models() -> None:
    assert set(get_args(Voice)) == set(WEIGHTS)
    assert set(get_args(NeedKind)) == set(NEED_KINDS)


@pytest.mark.parametrize("model", [InsightResponse])
def test_examples_are_answers(model: type[BaseModel]) -> None:
    examples = model.model_json_schema()["examples"]
    assert [model.model_validate(example).model_dump() for example in examples] == examples
