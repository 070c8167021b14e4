"""Who is shown which variant, and what is kept of it."""

import math
from pathlib import Path

import orjson
import polars as pl
import pytest
from live_shop import live_shop
from published_shop import Published

from features.schema import Exposures
from recsys.rerank_section import RerankSection
from serving.experiments import ExperimentSection, assign, check_apart, share_of


def experiment(
    name: str = "e", surfaces: list[str] | None = None, **weights: float
) -> ExperimentSection:
    weights = weights or {"a": 1.0, "b": 1.0}
    variants = [{"name": variant, "weight": weight} for variant, weight in weights.items()]
    return ExperimentSection.model_validate(
        {"name": name, "surfaces": surfaces, "variants": variants}
    )


def test_shares_come_out_as_they_are_weighted() -> None:
    chosen = experiment(control=3.0, new=1.0)
    found = [assign([chosen], None, f"u{n}") for n in range(20_000)]
    told = {(each.variant, each.propensity) for each in found if each is not None}
    assert told == {("control", 0.75), ("new", 0.25)}
    share = sum(each is not None and each.variant == "new" for each in found) / len(found)
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(found))


def test_a_user_stays_in_a_variant_and_experiments_are_independent() -> None:
    one, other = experiment("one"), experiment("other")
    both = [(assign([one], None, f"u{n}"), assign([other], None, f"u{n}")) for n in range(8000)]
    assert both == [
        (assign([one], None, f"u{n}"), assign([other], None, f"u{n}")) for n in range(8000)
    ]
    same = sum(a is not None and b is not None and a.variant == b.variant for a, b in both)
    assert abs(same / len(both) - 0.5) < 4 * math.sqrt(0.25 / len(both))


def test_the_salt_decides() -> None:
    plain, salted = experiment(), experiment().model_copy(update={"salt": "pepper"})
    users = [f"u{n}" for n in range(100)]
    assert [assign([plain], None, u) for u in users] != [assign([salted], None, u) for u in users]
    assert 0 <= min(share_of("s", u) for u in users) < max(share_of("s", u) for u in users) < 1


def test_an_experiment_runs_where_it_should() -> None:
    home = experiment("home", ["home"])
    cart = experiment("cart", ["cart"])
    assert (found := assign([home, cart], "cart", "u")) is not None
    assert found.experiment == "cart"
    assert assign([home, cart], "search", "u") is None
    assert assign([home, cart], None, "u") is None
    assert assign([home], "home", None) is None


def test_two_experiments_in_one_place_are_refused() -> None:
    check_apart([experiment("a", ["x"]), experiment("b", ["y"])])
    for other in (experiment("b", ["x", "y"]), experiment("b"), experiment("a", ["y"])):
        with pytest.raises(ValueError, match=r"same surface|are named a"):
            check_apart([experiment("a", ["x"]), other])
    with pytest.raises(ValueError, match="two variants of e"):
        ExperimentSection.model_validate(
            {"name": "e", "variants": [{"name": "a", "weight": 1}, {"name": "a", "weight": 1}]}
        )


def running(published: Published) -> ExperimentSection:
    """Two bundles and a policy, side by side on the home page."""
    published.add_bundle("v2")
    return ExperimentSection.model_validate(
        {
            "name": "bundles",
            "surfaces": ["home"],
            "variants": [
                {"name": "live", "weight": 1},
                {"name": "second", "weight": 1, "bundle": "v2"},
                {"name": "diverse", "weight": 1, "rerank": {"diversity": 0.9}},
            ],
        }
    )


def test_variants_answer_side_by_side_and_what_they_show_is_kept(
    published: Published, tmp_path: Path
) -> None:
    chosen = running(published)
    users = published.tables["user_profiles"]["user_id"].head(60).to_list()
    with live_shop(published.store, tmp_path, experiments=(chosen,)) as shop:
        answers = {user: shop.ask(user_id=user, surface="home", k=5) for user in users}
        again = {user: shop.ask(user_id=user, surface="home", k=5) for user in users}
        elsewhere = shop.ask(user_id=users[0], surface="cart", k=5)
        anonymous = shop.ask(surface="home", k=5)
        visit = shop.ask(surface="home", k=5, session={"session_id": "s1"})
        told = shop.client.get("/v1/model").json()["experiments"]
        shop.log.append([])
        kept = [entry for entry in shop.log.read(0, 1000) if entry.kind == "exposure"]
    assert told == {"bundles": ["live", "second", "diverse"]}
    assert {answer.variant for answer in answers.values()} == {"live", "second", "diverse"}
    assert all(again[user].variant == answers[user].variant for user in users)
    versions = {(answer.variant, answer.model_version) for answer in answers.values()}
    assert versions == {("live", "v1"), ("second", "v2"), ("diverse", "v1")}
    assert (elsewhere.experiment, elsewhere.variant) == (None, None)
    assert (anonymous.experiment, anonymous.variant) == (None, None)
    assert visit.experiment == "bundles"

    rows = [orjson.loads(entry.content) for entry in kept]
    assert len(rows) == 2 * len(users) + 1
    by_id = {row["recommendation_id"]: row for row in rows}
    for user, answer in answers.items():
        row = by_id[str(answer.recommendation_id)]
        assert (row["user_id"], row["variant"]) == (user, answer.variant)
        assert row["policy_propensity"] == pytest.approx(1 / 3)
        assert [item["item_id"] for item in row["items"]] == [i.item_id for i in answer.items]
        assert [item["rank"] for item in row["items"]] == [1, 2, 3, 4, 5]
        assert set(row["candidates"]) >= {item.item_id for item in answer.items}
        assert len(row["candidates"]) > 50
    # As the drain writes them into the table.
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.from_epoch("event_time", "us").dt.replace_time_zone("UTC"), seq=pl.int_range(pl.len())
    )
    Exposures.validate(frame.select(Exposures.column_names()), cast=True)


def test_a_variant_that_is_not_there_is_not_claimed(published: Published, tmp_path: Path) -> None:
    broken = ExperimentSection.model_validate(
        {
            "name": "e",
            "variants": [
                {"name": "live", "weight": 1},
                {"name": "lost", "weight": 1, "bundle": "v9"},
            ],
        }
    )
    users = [f"u{n}" for n in range(40)]
    with live_shop(published.store, tmp_path, experiments=(broken,)) as shop:
        answers = [shop.ask(user_id=user, k=3) for user in users]
        assert shop.client.get("/v1/model").json()["experiments"] == {"e": ["live"]}
    assert {answer.variant for answer in answers} == {"live", None}
    assert all(len(answer.items) == 3 for answer in answers)


@pytest.mark.parametrize(
    ("kept", "explores", "expected"),
    [("all", False, 1), ("experiments", False, 0), ("experiments", True, 1), ("none", True, 0)],
)
def test_which_answers_are_kept(
    published_once: Published, tmp_path: Path, kept: str, explores: bool, expected: int
) -> None:
    with live_shop(published_once.store, tmp_path, exposures=kept) as shop:
        if explores:
            section = RerankSection(exploration=0.9, fresh_days=100_000)
            snapshot = shop.state.snapshot
            assert snapshot is not None
            shop.answer_from(snapshot.rearranged(section))
        shop.ask(user_id="u00001", k=10)
        shop.log.append([])
        assert len(shop.log.read(0, 10)) == expected
