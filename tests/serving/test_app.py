from collections.abc import Iterator

import polars as pl
import pytest
from published_shop import Published, app_of
from starlette.testclient import TestClient

from features.store import Store
from recsys.rerank_section import RerankSection
from serving.schema import RecommendationResponse
from serving.state import ServingState

PATH = "/v1/recommendations"


@pytest.fixture(scope="module")
def client(published_once: Published) -> Iterator[TestClient]:
    state = ServingState(published_once.store)
    state.load()
    with TestClient(app_of(state)) as client:
        yield client


def ask(client: TestClient, **request: object) -> RecommendationResponse:
    answered = client.post(PATH, json=request)
    assert answered.status_code == 200, answered.text
    return RecommendationResponse.model_validate_json(answered.content)


def bought(published: Published, user_id: str) -> set[str]:
    purchases = published.tables["purchase_history"]
    return set(purchases.filter(pl.col("user_id") == user_id)["item_id"])


@pytest.fixture(scope="module")
def buyer(published_once: Published) -> str:
    return published_once.buyer


def test_a_known_user_gets_k_items_with_ranks_and_falling_scores(
    client: TestClient, buyer: str
) -> None:
    answered = ask(client, user_id=buyer, k=7)
    assert answered.degraded is None
    assert answered.model_version == "v1"
    assert answered.user_id == buyer
    assert [item.rank for item in answered.items] == [1, 2, 3, 4, 5, 6, 7]
    scores = [item.score for item in answered.items]
    assert scores == sorted(scores, reverse=True)


def test_twenty_items_without_a_k(client: TestClient, buyer: str) -> None:
    assert len(ask(client, user_id=buyer).items) == 20


def test_nothing_bought_is_recommended_to_anybody(
    client: TestClient, published_once: Published
) -> None:
    for user_id in published_once.shop.users["user_id"]:
        answered = ask(client, user_id=user_id, k=500, explain=False)
        recommended = {item.item_id for item in answered.items}
        own = bought(published_once, user_id)
        assert not recommended & own
        assert len(recommended) == len(answered.items) == 100 - len(own)


def test_an_answer_shows_the_item(
    client: TestClient, published_once: Published, buyer: str
) -> None:
    items = {row["item_id"]: row for row in published_once.shop.items.iter_rows(named=True)}
    for item in ask(client, user_id=buyer).items:
        row = items[item.item_id]
        assert (item.title, item.brand) == (row["title"], row["brand"])
        assert item.price_cents == row["price_cents"]


def test_reasons_name_something_bought(
    client: TestClient, published_once: Published, buyer: str
) -> None:
    own = bought(published_once, buyer)
    reasons = [item.reason for item in ask(client, user_id=buyer).items]
    causes = {reason.because_item_id for reason in reasons if reason is not None}
    assert None not in reasons
    assert causes - {None}
    assert causes - {None} <= own


def test_quotes_are_verbatim_and_by_somebody_else(
    client: TestClient, published_once: Published
) -> None:
    reviews = {row["review_id"]: row for row in published_once.shop.reviews.iter_rows(named=True)}
    num_quotes = 0
    for user_id in published_once.shop.users["user_id"].head(60):
        for item in ask(client, user_id=user_id, k=100).items:
            assert item.reason is not None
            if (quote := item.reason.quote) is not None:
                num_quotes += 1
                review = reviews[quote.review_id]
                assert quote.text in review["text"]
                assert review["item_id"] == item.item_id
                assert review["user_id"] != user_id
    assert num_quotes > 100


def test_no_reasons_without_explain(client: TestClient, buyer: str) -> None:
    explained, bare = ask(client, user_id=buyer), ask(client, user_id=buyer, explain=False)
    assert all(item.reason is None for item in bare.items)
    assert [item.item_id for item in bare.items] == [item.item_id for item in explained.items]


@pytest.mark.parametrize(
    ("request_", "degraded"),
    [
        ({"user_id": "nobody"}, "unknown_user"),
        ({}, "no_user_id"),
        ({"user_id": None}, "no_user_id"),
    ],
)
def test_strangers_get_what_is_popular_and_are_told(
    client: TestClient, request_: dict[str, object], degraded: str
) -> None:
    answered = ask(client, **request_)
    assert answered.degraded == degraded
    assert len(answered.items) == 20
    assert answered.items[0].reason is not None
    assert answered.items[0].reason.text.startswith("Popular")


def test_a_user_without_purchases_or_browsing_is_declared(published: Published) -> None:
    name = "user_profiles"
    lonely = published.tables[name].head(1).with_columns(user_id=pl.lit("lonely"))
    published.store.overwrite(name, pl.concat([published.tables[name], lonely]))
    state = ServingState(published.store)
    state.load()
    answered = ask(TestClient(app_of(state)), user_id="lonely")
    assert answered.degraded == "no_history"
    assert len(answered.items) == 20


def test_who_bought_everything_gets_nothing_and_is_told(published: Published) -> None:
    first = published.tables["purchase_history"].head(1)
    everything = published.shop.items.select("item_id").join(
        first.drop("item_id").with_columns(user_id=pl.lit("hoarder")), how="cross"
    )
    columns = published.tables["purchase_history"].columns
    published.store.overwrite("purchase_history", everything.select(columns))
    state = ServingState(published.store)
    state.load()
    answered = ask(TestClient(app_of(state)), user_id="hoarder")
    assert (answered.items, answered.degraded) == ([], "everything_bought")


def test_category_and_brand_take_one_or_many(
    client: TestClient, published_once: Published, buyer: str
) -> None:
    items = published_once.shop.items
    categories = items["categories"].list.last().unique().sort().to_list()[:2]
    brands = items["brand"].drop_nulls().unique().sort().to_list()[:2]
    for name, column, values in (
        ("category", "categories", categories),
        ("brand", "brand", brands),
    ):
        for wanted in (values[0], values):
            names = [wanted] if isinstance(wanted, str) else wanted
            matches = (
                pl.col(column).list.set_intersection(names).list.len() > 0
                if column == "categories"
                else pl.col(column).is_in(names)
            )
            expected = set(items.filter(matches)["item_id"]) - bought(published_once, buyer)
            answered = ask(client, user_id=buyer, k=500, filters={name: wanted})
            assert {item.item_id for item in answered.items} == expected


def test_prices_are_inclusive_and_leave_out_the_priceless(
    client: TestClient, published_once: Published
) -> None:
    price = published_once.shop.items["price_cents"].drop_nulls().sort()
    low, high = int(price[20]), int(price[60])
    expected = published_once.shop.items.filter(pl.col("price_cents").is_between(low, high))
    filters = {"min_price_cents": low, "max_price_cents": high}
    answered = ask(client, k=500, filters=filters)
    assert {item.item_id for item in answered.items} == set(expected["item_id"])


def test_include_and_exclude(client: TestClient) -> None:
    filters = {"include_item_ids": ["i00001", "i00002", "unheard of"]}
    assert {item.item_id for item in ask(client, filters=filters).items} == {"i00001", "i00002"}
    filters["exclude_item_ids"] = ["i00002", "unheard of too"]
    assert {item.item_id for item in ask(client, filters=filters).items} == {"i00001"}


@pytest.mark.parametrize(("in_stock", "expected"), [(True, {"i00002"}), (False, {"i00001"})])
def test_stock_is_read_from_the_store(
    published: Published, in_stock: bool, expected: set[str]
) -> None:
    sold_out = pl.when(item_id="i00001").then(False).otherwise(None)
    published.store.overwrite("items", published.shop.items.with_columns(in_stock=sold_out))
    state = ServingState(published.store)
    state.load()
    filters = {"in_stock": in_stock, "include_item_ids": ["i00001", "i00002"]}
    answered = ask(TestClient(app_of(state)), filters=filters)
    assert {item.item_id for item in answered.items} == expected


@pytest.mark.parametrize(
    "filters", [{"category": "Submarines"}, {"include_item_ids": []}, {"max_price_cents": 0}]
)
def test_filters_that_leave_nothing_are_relaxed_or_not_as_asked(
    client: TestClient, published_once: Published, buyer: str, filters: dict[str, object]
) -> None:
    strict = ask(client, user_id=buyer, filters=filters, strict_filters=True)
    assert (strict.items, strict.degraded) == ([], "no_item_matches_filters")
    assert strict.recommendation_id is None
    unwanted = ask(client, user_id=buyer).items[0].item_id
    relaxed = ask(client, user_id=buyer, filters={**filters, "exclude_item_ids": [unwanted]})
    assert relaxed.degraded == "filters_relaxed"
    shown = {item.item_id for item in relaxed.items}
    assert len(shown) == 20
    assert not shown & (bought(published_once, buyer) | {unwanted})


def test_empty_filters_filter_nothing(client: TestClient, buyer: str) -> None:
    assert ask(client, user_id=buyer, filters={}).items == ask(client, user_id=buyer).items


def test_the_shops_rules_and_the_requests_diversity_rearrange(
    client: TestClient, published_once: Published, buyer: str
) -> None:
    plain = ask(client, user_id=buyer, k=10)
    assert {item.propensity for item in plain.items} == {1.0}
    first = plain.items[0].item_id
    section = RerankSection.model_validate({"rules": [{"factor": 0, "item_ids": [first]}]})
    state = ServingState(published_once.store, rerank=section)
    state.load()
    ruled = TestClient(app_of(state))
    assert first not in {item.item_id for item in ask(ruled, user_id=buyer, k=50).items}
    assert first not in {item.item_id for item in ask(ruled, k=500).items}
    diverse = ask(client, user_id=buyer, k=10, diversity=0.9)
    assert [item.rank for item in diverse.items] == list(range(1, 11))
    assert diverse.items[0].item_id == first
    assert [i.item_id for i in diverse.items] != [i.item_id for i in plain.items]
    assert ask(client, user_id=buyer, k=10, diversity=0).items == plain.items


def test_what_is_explored_depends_on_the_request_alone(
    published_once: Published, buyer: str
) -> None:
    section = RerankSection(exploration=0.5, fresh_days=100_000)
    state = ServingState(published_once.store, rerank=section)
    state.load()
    client = TestClient(app_of(state))

    def items_of(request_id: str) -> list[tuple[str, float]]:
        asked = {"user_id": buyer, "k": 10}
        answered = client.post(PATH, json=asked, headers={"X-Request-ID": request_id})
        found = RecommendationResponse.model_validate_json(answered.content).items
        return [(item.item_id, item.propensity) for item in found]

    assert items_of("one") == items_of("one")
    assert items_of("one") != items_of("two")
    assert all(0 < propensity <= 1 for _, propensity in items_of("one"))
    assert not {item for item, _ in items_of("one")} & bought(published_once, buyer)


def test_the_clients_request_id_comes_back(client: TestClient) -> None:
    given = client.post(PATH, json={}, headers={"X-Request-ID": "order-17"})
    assert given.json()["request_id"] == "order-17"
    hostile = client.post(PATH, json={}, headers={"X-Request-ID": "x" * 1000})
    assert len(hostile.json()["request_id"]) == 32


def test_the_model_page_tells_what_answers(client: TestClient) -> None:
    page = client.get("/v1/model").json()
    assert page["version"] == "v1"
    assert page["created_at"].startswith("2026-01-01")
    assert page["metrics"]["ranker"]["ndcg@10"] > 0
    assert page["side_tables"]["quotes"] == 0
    assert page["reload_error"] is None


def test_alive_before_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    client = TestClient(app_of(ServingState(Store(tmp_path_factory.mktemp("empty")))))
    assert client.get("/healthz").json() == {"status": "ok"}
    for answered in (client.get("/readyz"), client.get("/v1/model"), client.post(PATH, json={})):
        assert answered.status_code == 503
        assert answered.headers["content-type"] == "application/problem+json"
        assert answered.headers["retry-after"] == "1"


def test_ready_after(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}


def test_the_openapi_page_describes_requests_answers_and_problems(client: TestClient) -> None:
    page = client.get("/openapi.json").json()
    operation = page["paths"][PATH]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert body == "#/components/schemas/RecommendationRequest"
    schemas = page["components"]["schemas"]
    assert {"Filters", "ProblemDetails", "FieldProblem", "Quote", "Reason"} <= set(schemas)
    assert "application/problem+json" in operation["responses"]["422"]["content"]
    example = schemas["RecommendationRequest"]["examples"][0]
    assert client.post(PATH, json=example).status_code == 200
    RecommendationResponse.model_validate(schemas["RecommendationResponse"]["examples"][0])
    assert client.get("/docs").status_code == 200
