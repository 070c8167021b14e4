"""Pages, batches, wishes and sessions, asked over HTTP."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from live_shop import NOW, LiveShop, live_shop
from published_shop import Published

from features.api_keys import KeyRing, new_key, write_keys
from recsys.recency import recent_popularity
from recsys.rerank_section import RerankSection
from serving.reasons import FOR_STRANGERS
from serving.schema import RecommendationResponse
from serving.segments import MIN_PURCHASES, segments_by_language


@pytest.fixture(scope="module")
def shop(published_once: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with live_shop(published_once.store, tmp_path_factory.mktemp("log")) as shop:
        yield shop


@pytest.fixture(scope="module")
def buyer(published_once: Published) -> str:
    return published_once.buyer


def next_page(shop: LiveShop, before: RecommendationResponse) -> RecommendationResponse:
    path = f"/v1/recommendations/{before.recommendation_id}/next"
    answered = shop.client.post(path, json={"token": before.next_token})
    assert answered.status_code == 200, answered.text
    return RecommendationResponse.model_validate_json(answered.content)


@pytest.mark.parametrize("user_id", [None, "buyer"])
def test_pages_never_repeat_and_end_with_the_catalogue(
    shop: LiveShop, buyer: str, user_id: str | None
) -> None:
    page = shop.ask(user_id=buyer if user_id else None, k=30)
    seen = [item.item_id for item in page.items]
    while page.next_token is not None:
        page = next_page(shop, page)
        assert [item.rank for item in page.items] == list(
            range(len(seen) + 1, len(seen) + len(page.items) + 1)
        )
        seen += [item.item_id for item in page.items]
        if not page.items:
            break
    assert len(seen) == len(set(seen))
    assert set(seen) == set(shop.items_for(buyer)) if user_id else len(seen) == 100


def test_another_replica_gives_the_next_page(
    published_once: Published, shop: LiveShop, buyer: str, tmp_path: Path
) -> None:
    first = shop.ask(user_id=buyer, k=10)
    with live_shop(published_once.store, tmp_path) as other:
        second = next_page(other, first)
    assert second.items == next_page(shop, first).items
    assert not {i.item_id for i in first.items} & {i.item_id for i in second.items}


def test_the_next_page_asks_as_the_first_did(shop: LiveShop, buyer: str) -> None:
    brands = pl.Series([item.brand for item in shop.ask(user_id=buyer, k=100).items])
    brand = brands.drop_nulls().mode().sort()[0]
    first = shop.ask(user_id=buyer, k=1, filters={"brand": brand}, strict_filters=True)
    second = next_page(shop, first)
    assert {item.brand for item in second.items} == {brand}


def test_a_token_is_of_this_server_and_of_that_answer(shop: LiveShop, buyer: str) -> None:
    one, other = shop.ask(user_id=buyer, k=5), shop.ask(user_id=buyer, k=6)
    assert one.next_token is not None
    path = f"/v1/recommendations/{other.recommendation_id}/next"
    crossed = shop.client.post(path, json={"token": one.next_token})
    assert crossed.status_code == 404
    assert f"of the answer {one.recommendation_id}" in crossed.json()["detail"]
    token = one.next_token
    flipped = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    for token in (flipped, one.next_token[:-4], "x", "é", "=" * 9):
        answered = shop.client.post(path, json={"token": token})
        assert answered.status_code == 404, token
        assert answered.json()["type"] == "urn:sentirec:problem:unknown-page"


def test_a_request_of_many_ids_has_a_next_page(shop: LiveShop, buyer: str) -> None:
    alike, unlike = (
        [f"{'x' * 240}{n}" for n in range(1000)],
        [secrets.token_hex(16) for _ in range(500)],
    )
    for ids in (alike, unlike):
        filters = {"exclude_item_ids": ids}
        first = shop.ask(user_id=buyer, k=3, filters=filters, boost=[{"item_ids": ids}])
        second = next_page(shop, first)
        assert not {i.item_id for i in first.items} & {i.item_id for i in second.items}


def test_a_request_of_more_ids_than_a_token_holds_has_none(shop: LiveShop, buyer: str) -> None:
    ids = [secrets.token_hex(64) for _ in range(1000)]
    answered = shop.ask(user_id=buyer, k=3, filters={"exclude_item_ids": ids})
    assert len(answered.items) == 3
    assert answered.next_token is None


def test_a_batch_is_answered_in_order(shop: LiveShop, buyer: str) -> None:
    requests = [{"user_id": buyer, "k": 3}, {"k": 4}, {"user_id": "nobody", "k": 5}]
    answered = shop.client.post("/v1/recommendations:batch", json={"requests": requests})
    assert answered.status_code == 200
    found = [RecommendationResponse.model_validate(each) for each in answered.json()["answers"]]
    assert [len(each.items) for each in found] == [3, 4, 5]
    assert [each.degraded for each in found] == [None, "no_user_id", "unknown_user"]
    assert found[0].items == shop.ask(user_id=buyer, k=3).items
    assert len({each.request_id for each in found}) == 3
    long = shop.client.post("/v1/recommendations:batch", json={"requests": [{}] * 101})
    assert long.status_code == 422


def test_a_session_makes_an_answer_personal(shop: LiveShop, published_once: Published) -> None:
    kinds = published_once.shop.items.select("item_id", pl.col("categories").list.last())
    kind_of = dict(kinds.iter_rows())
    looked_at = "i00003"

    def mean_rank(answered: RecommendationResponse) -> float:
        same = [i.rank for i in answered.items if kind_of[i.item_id] == kind_of[looked_at]]
        return sum(same) / len(same)

    answered = shop.ask(session={"item_ids": [looked_at, "unheard of"]}, k=100)
    assert answered.degraded == "session_only"
    assert mean_rank(answered) < mean_rank(shop.ask(k=100))


def test_a_search_counts_as_looking_at_what_it_is_about(
    shop: LiveShop, published_once: Published
) -> None:
    row = published_once.shop.items.row(7, named=True)
    answered = shop.ask(session={"query": row["title"]}, k=5)
    assert answered.degraded == "session_only"
    assert row["item_id"] in {item.item_id for item in answered.items}
    nonsense = shop.ask(session={"query": "zzzz qqqq"}, k=5)
    assert nonsense.degraded == "no_user_id"


def test_the_page_decides_where_nothing_else_is_known(
    shop: LiveShop, published_once: Published, buyer: str
) -> None:
    category = published_once.shop.items["categories"].list.last().unique().sort()[0]
    items = published_once.shop.items.filter(pl.col("categories").list.contains(category))
    answered = shop.ask(session={"category": category}, k=100)
    assert {item.item_id for item in answered.items} == set(items["item_id"])
    known = shop.ask(user_id=buyer, session={"category": category}, k=20)
    assert known.items == shop.ask(user_id=buyer, k=20).items
    assert len(shop.ask(session={"category": "Submarines"}).items) == 20


def test_of_a_language_alone_what_its_speakers_buy_comes_first(
    published_once: Published, tmp_path: Path
) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        bought = snapshot.population.bought
        # Whoever bought the first half of the catalogue last writes in Chinese.
        last_U = bought.item_idx[np.maximum(bought.indptr[1:] - 1, 0)]
        language_U = pl.Series(np.where(last_U < bought.num_items // 2, "zh", "en"))
        # By the sources alone: what a ranker makes of them on so small a shop is its own affair.
        fused = replace(snapshot.deep.ranker, base="fused", blend=0.0)
        by_sources = replace(snapshot.deep, ranker=fused)
        segments = segments_by_language(by_sources, bought, language_U, None)
        shop.answer_from(replace(snapshot, segments=segments))

        def shown(**session: str) -> list[str]:
            answered = shop.ask(session=session, k=20)
            assert answered.degraded == "segment_only"
            told = {item.reason.text for item in answered.items if item.reason is not None}
            # Nothing that speaks of a person; which items are bought of late is not theirs.
            assert FOR_STRANGERS in told <= {FOR_STRANGERS, "Popular right now"}
            return [item.item_id for item in answered.items]

        chinese, english = shown(language="zh"), shown(language="en")
        assert chinese != english
        for language, items in (("zh", chinese), ("en", english)):
            rows = (language_U == language).to_numpy()[bought.user_idx]
            popularity = recent_popularity(bought.keep(rows))
            mean = popularity[[snapshot.catalogue.index[item] for item in items]].mean()
            other = english if language == "zh" else chinese
            assert mean > popularity[[snapshot.catalogue.index[item] for item in other]].mean()
        category = published_once.shop.items["categories"].list.last().unique().sort()[0]
        in_it = published_once.shop.items.filter(pl.col("categories").list.contains(category))
        assert set(shown(language="zh", category=category)) <= set(in_it["item_id"])
        assert shop.ask(session={"language": "fr"}).degraded == "no_user_id"


def test_a_language_with_few_purchases_is_no_segment(
    published_once: Published, tmp_path: Path
) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        bought = snapshot.population.bought
        speaks_U = np.cumsum(np.diff(bought.indptr)) < MIN_PURCHASES
        language_U = pl.Series(["zh" if speaks else None for speaks in speaks_U])
        assert speaks_U.any()
        assert not segments_by_language(snapshot.deep, bought, language_U, None)


def test_wishes_move_items(shop: LiveShop, buyer: str) -> None:
    plain = shop.ask(user_id=buyer, k=50)
    last, first = plain.items[-1], plain.items[0]
    boosted = shop.ask(user_id=buyer, k=50, boost=[{"item_ids": [last.item_id], "factor": 100}])
    assert boosted.items[0].item_id == last.item_id
    buried = shop.ask(user_id=buyer, k=50, bury=[{"item_ids": [first.item_id], "factor": 0}])
    assert first.item_id not in {item.item_id for item in buried.items}
    halved = shop.ask(user_id=buyer, k=50, bury=[{"brand": first.brand, "factor": 0.01}])
    rank_of = {item.item_id: item.rank for item in halved.items}
    assert rank_of.get(first.item_id, 51) > 1


def test_others_take_the_places_of_what_is_buried_whole(
    published_once: Published, tmp_path: Path, buyer: str
) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        # So that not all of the catalogue are candidates.
        config = snapshot.deep.config
        few = replace(config.candidates, num_candidates=10, depth=10)
        deep = replace(snapshot.deep, config=replace(config, candidates=few))
        shop.answer_from(replace(snapshot, deep=deep))
        best = [item.item_id for item in shop.ask(user_id=buyer, k=10, novelty=0.01).items]
        left = shop.ask(user_id=buyer, k=10, bury=[{"item_ids": best, "factor": 0}])
        ids = list(snapshot.catalogue.item_ids)
        nothing = shop.ask(user_id=buyer, bury=[{"item_ids": ids, "factor": 0}])
    assert len(left.items) == 10
    assert not {item.item_id for item in left.items} & set(best)
    assert (nothing.items, nothing.degraded) == ([], "no_item_matches_filters")


def test_a_stranger_has_no_taste_also_where_filters_are_relaxed(shop: LiveShop) -> None:
    answered = shop.ask(k=3, filters={"brand": "no such brand"})
    assert answered.degraded == "filters_relaxed"
    texts = {item.reason.text for item in answered.items if item.reason is not None}
    plain = {item.reason.text for item in shop.ask(k=3).items if item.reason is not None}
    assert texts == plain


def test_novelty_takes_from_what_is_bought_most(shop: LiveShop, published_once: Published) -> None:
    bought = published_once.tables["purchase_history"]["item_id"].value_counts()
    counts = dict(bought.iter_rows())

    def mean_count(novelty: float) -> float:
        items = shop.ask(k=10, novelty=novelty).items
        return sum(counts.get(item.item_id, 0) for item in items) / len(items)

    assert mean_count(1.0) < mean_count(0.0)


def test_min_relevance_leaves_out_the_rest(shop: LiveShop, buyer: str) -> None:
    plain = shop.ask(user_id=buyer, k=50)
    limit = plain.items[9].score
    assert 0 < limit < 1
    kept = shop.ask(user_id=buyer, k=50, min_relevance=limit)
    assert kept.items == [item for item in plain.items if item.score >= limit]
    assert kept.next_token is None, "relevance is comparable within one answer only"
    nothing = shop.ask(
        user_id=buyer, min_relevance=1, bury=[{"category": ["no such"], "factor": 0.5}]
    )
    assert all(item.score >= 1 for item in nothing.items)


def test_what_has_least_relevance_is_not_explored_either(
    published_once: Published, tmp_path: Path, buyer: str
) -> None:
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        shop.answer_from(snapshot.rearranged(RerankSection(exploration=0.3, fresh_days=100_000)))
        first: list[str] = []
        told: list[float] = []
        for n in range(400):
            headers = {"X-Request-ID": f"r{n}"}
            asked = {"user_id": buyer, "k": 5, "min_relevance": 0.5, "explain": False}
            body = shop.client.post("/v1/recommendations", json=asked, headers=headers).json()
            first.append(body["items"][0]["item_id"])
            told.append(body["items"][0]["propensity"])
            assert all(item["score"] >= 0.5 for item in body["items"])
    # What is told of each item at the first place is how often it came there.
    for item in set(first):
        chances = {chance for chance, shown in zip(told, first, strict=True) if shown == item}
        assert len(chances) == 1
        chance, share = chances.pop(), first.count(item) / len(first)
        assert abs(share - chance) < 4 * (chance * (1 - chance) / len(first)) ** 0.5 + 1e-9


def test_a_constant_request_id_does_not_show_everybody_the_same_luck(
    published_once: Published, tmp_path: Path
) -> None:
    users = published_once.tables["user_profiles"]["user_id"].head(30).to_list()
    with live_shop(published_once.store, tmp_path) as shop:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        shop.answer_from(snapshot.rearranged(RerankSection(exploration=0.5, fresh_days=100_000)))
        shop.headers["X-Request-ID"] = "always the same"
        places = {
            tuple(item.rank for item in shop.ask(user_id=user, k=10).items if item.propensity < 0.4)
            for user in users
        }
    assert len(places) > 5


def test_a_later_page_does_not_leave_its_filter(shop: LiveShop, published_once: Published) -> None:
    brand = published_once.shop.items["brand"].drop_nulls().mode().sort()[0]
    first = shop.ask(k=100, filters={"brand": brand})
    assert first.degraded == "no_user_id"
    second = next_page(shop, first)
    assert (second.items, second.degraded) == ([], "no_item_matches_filters")


def test_all_that_is_missing_is_told(published_once: Published, tmp_path: Path, buyer: str) -> None:
    with live_shop(published_once.store, tmp_path, deadline_s=1e-6) as shop:
        answered = shop.ask(user_id=buyer, filters={"brand": "no such"}, k=5)
    assert answered.degraded == "filters_relaxed"
    assert answered.degradations == ["filters_relaxed", "deadline"]


def test_a_batch_counts_as_many_requests_and_is_bounded(
    published_once: Published, tmp_path: Path
) -> None:
    kept, key = new_key(frozenset({"read"}), now=NOW, per_second=10.0)
    write_keys(tmp_path / "keys.json", [kept])
    with live_shop(published_once.store, tmp_path, keys=KeyRing(tmp_path / "keys.json")) as shop:
        shop.headers["Authorization"] = f"Bearer {key}"

        def batch(*requests: dict[str, object]) -> Any:
            return shop.client.post(
                "/v1/recommendations:batch", json={"requests": requests}, headers=shop.headers
            )

        one: dict[str, object] = {"k": 1}
        assert batch(*[one] * 60).status_code == 200
        refused = batch(one)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 4
    with live_shop(published_once.store, tmp_path / "open") as shop:
        long = shop.client.post("/v1/recommendations:batch", json={"requests": [{"k": 500}] * 11})
        assert long.status_code == 422
        assert "add up to 5500" in long.json()["detail"]
        debug = shop.client.post("/v1/recommendations:batch", json={"requests": [{"debug": True}]})
        assert "debug is for single requests" in debug.json()["detail"]


def test_preferred_aspects_are_quoted_and_unknown_ones_told(
    published: Published, tmp_path: Path
) -> None:
    quotes = published.tables["quotes"]
    aspect, item_id = quotes.select("aspect", "item_id").row(0)
    told = pl.DataFrame(
        {"item_id": [item_id], "aspect": [aspect], "num_mentions": [9], "polarity": [0.9]}
    )
    published.store.overwrite("item_aspects", told)
    with live_shop(published.store, tmp_path) as shop:
        plain = {item.item_id: item.score for item in shop.ask(k=100).items}
        wished = shop.ask(k=100, prefer_aspects=[aspect, "taste of the moon"])
    assert wished.ignored_aspects == ["taste of the moon"]
    scores = {item.item_id: item for item in wished.items}
    assert scores[item_id].score > plain[item_id]
    reason = scores[item_id].reason
    assert reason is not None
    assert reason.quote is not None
    assert reason.quote.aspect == aspect


def test_debug_tells_what_sources_and_features_say(shop: LiveShop, buyer: str) -> None:
    for item in shop.ask(user_id=buyer, k=3, debug=True).items:
        assert item.debug is not None
        assert item.debug.ranker_score is not None
        ranks = [voice.rank for voice in item.debug.sources.values()]
        assert any(rank is not None for rank in ranks)
        assert len(item.debug.features) > 10
    assert all(item.debug is None for item in shop.ask(user_id=buyer, k=3).items)


def test_what_groups_and_features_add_makes_the_score(shop: LiveShop, buyer: str) -> None:
    for user_id in (buyer, None):
        plain = shop.ask(user_id=user_id, k=20).items
        items = shop.ask(user_id=user_id, k=20, contributions=True, debug=True).items
        assert [item.item_id for item in items] == [item.item_id for item in plain]
        assert all(item.contributions is None for item in plain)
        for item, before in zip(items, plain, strict=True):
            assert item.contributions is not None
            assert item.debug is not None
            assert item.reason is not None
            assert before.reason is not None
            groups, named = item.contributions.groups, item.contributions.named
            total = sum(groups.values()) + item.contributions.start
            assert total == pytest.approx(item.debug.ranker_score, abs=1e-4)
            assert sum(item.debug.contributions.values()) == pytest.approx(total, abs=1e-4)
            assert set(item.debug.features) | {"base", "start"} == set(item.debug.contributions)
            if named is None:
                assert item.reason.text == before.reason.text
            else:
                assert groups[named] > 0
    named = {
        item.contributions.named
        for item in shop.ask(user_id=buyer, k=100, contributions=True).items
        if item.contributions
    }
    assert len(named) > 2, "not the same reason for everything"


def test_contributions_need_no_reason_and_no_ranker_none(shop: LiveShop, buyer: str) -> None:
    for item in shop.ask(user_id=buyer, k=5, contributions=True, explain=False).items:
        assert item.reason is None
        assert item.contributions is not None
        assert item.contributions.named is None
    answered = shop.client.post(
        "/v1/recommendations:batch", json={"requests": [{"contributions": True}]}
    )
    assert "contributions are for single requests" in answered.json()["detail"]


def test_validate_only_answers_nothing(shop: LiveShop, buyer: str) -> None:
    answered = shop.ask(user_id=buyer, validate_only=True)
    assert (answered.items, answered.recommendation_id, answered.next_token) == ([], None, None)
