"""Bundles asked about the past: `sentirec abtest replay`, and `off-policy` of a bundle."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from features.store import Store
from jobs.cli import app, exit_code_of
from jobs.load_shop import load_shop
from jobs.sample_shop import ShopConfig, generate_shop
from jobs.simulate_experiment import SimulationConfig, simulate_into
from recsys.bundle import write_bundle
from recsys.candidates import CandidateConfig
from recsys.cuts import positional_cuts
from recsys.fitting import fit_and_test
from recsys.ranker_config import RankerConfig
from recsys.retrieval import RecommenderConfig
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TrainingConfig, TwoTowerConfig
from recsys.world import ShopTables

SHOP = ShopConfig(num_items=100, num_users=600, num_reviews=1300, num_events=11_000)
SMALL = ShopConfig(num_items=100, num_users=300, num_reviews=700, num_events=6000)
SPLIT = datetime(2025, 9, 1, tzinfo=UTC)
CONFIG = RecommenderConfig(
    shrinkage=2.0,
    linear_l2=20.0,
    label_positions=1,
    candidates=CandidateConfig(num_candidates=100, depth=100),
    towers=TwoTowerConfig(dim=8, hidden_dim=16, dropout=0.0),
    training=TrainingConfig(epochs=1, batch_size=64, num_uniform_negatives=16),
    ranker=RankerConfig(num_trees=(10, 20), min_data_in_leaf=10, num_threads=1),
)


def add_bundle(store: Store, version: str, tables: ShopTables, as_of: datetime) -> None:
    """Fit on what was before a time and write it."""
    past = pl.col("event_time") < as_of
    seen = ShopTables(
        items=tables.items,
        events=tables.events.filter(past),
        reviews=tables.reviews.filter(past),
        signals=tables.signals,
    )
    cuts = positional_cuts(seen.events, seen.reviews, num_learned=1, as_of=as_of)
    fitted = fit_and_test(seen, cuts, CONFIG, fit_each)
    assert fitted.recommender is not None
    store.path("bundles").mkdir(parents=True, exist_ok=True)
    write_bundle(
        store.path("bundles", version),
        fitted.recommender,
        created_at=as_of.isoformat(),
        metrics=fitted.metrics,
        data={"model_version": "m", "as_of": as_of.isoformat()},
        code={"version": "test"},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A sample shop with a bundle that learned from it, and one that learned from noise."""
    opened = Store(tmp_path_factory.mktemp("replay") / "shop")
    shop = generate_shop(SHOP)
    opened.append("items", shop.items)
    opened.append("events", shop.events)
    tables = load_shop(opened, "m")
    add_bundle(opened, "learned", tables, SPLIT)
    noise = np.random.default_rng(0).permutation(len(tables.events))
    shuffled = tables.events.with_columns(item_id=tables.events["item_id"].gather(noise.tolist()))
    unread = ShopTables(
        items=tables.items, events=shuffled, reviews=tables.reviews, signals=tables.signals
    )
    add_bundle(opened, "noise", unread, SPLIT)
    return opened


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["abtest", *arguments])


def code(result: Result) -> int:
    """The exit code, as `main` gives it."""
    error = result.exception
    if isinstance(error, SystemExit) or error is None:
        return result.exit_code
    assert isinstance(error, Exception)
    found = exit_code_of(error)
    if found is None:
        raise error
    return found


def replay(store: Store, a: str, b: str, *arguments: str) -> Result:
    return run("replay", "--a", a, "--b", b, "--store", store.root, *arguments)


def test_what_learned_is_better_than_what_learned_noise(store: Store, tmp_path: Path) -> None:
    machine, page = tmp_path / "o.json", tmp_path / "o.html"
    result = replay(
        store, "noise", "learned", "--json", str(machine), "--out", str(page), "--top", "2"
    )
    assert code(result) == 0, result.exception
    found = json.loads(machine.read_text())
    assert found["verdict"] == "better"
    difference = found["differences"]["ndcg@10"]
    metrics = found["metrics"]
    assert difference["difference"] == pytest.approx(
        metrics["b"]["ndcg@10"] - metrics["a"]["ndcg@10"]
    )
    assert 0 < difference["low"] <= difference["difference"]
    assert difference["p_value"] < 0.05
    assert found["num_users"]["ndcg@10"] == found["num_test_users"]
    assert sum(group["num"] for group in found["by_history"]) == found["num_test_users"]
    assert len(found["changed"]) == 2
    for user in found["changed"]:
        assert len(user["items_a"]) == len(user["items_b"]) == 10
        both = set(user["items_a"]) & set(user["items_b"])
        assert user["shared"] == len(both)
        assert user["targets"]
    assert {"coverage@10", "recall@10", "novelty@10"} <= set(metrics["a"])
    text = page.read_text()
    assert "better" in text
    assert "<script" not in text
    for item in found["changed"][0]["items_a"]:
        assert found["titles"][item] in text or "&" in found["titles"][item]


def test_the_other_way_round_it_is_refused(store: Store, tmp_path: Path) -> None:
    machine = tmp_path / "o.json"
    result = replay(store, "learned", "noise", "--json", str(machine))
    assert code(result) == 3
    assert "noise is worse than learned by ndcg@10: -" in str(result.exception)
    assert json.loads(machine.read_text())["verdict"] == "worse"


def test_a_bundle_does_not_differ_from_itself(store: Store, tmp_path: Path) -> None:
    machine = tmp_path / "o.json"
    result = replay(store, "learned", "learned", "--json", str(machine))
    assert code(result) == 4
    found = json.loads(machine.read_text())
    assert all(d["difference"] == 0 for d in found["differences"].values())
    assert all(d["p_value"] == 1 for d in found["differences"].values())
    assert (found["num_changed"], found["changed"]) == (0, [])


def test_a_bundle_that_has_seen_the_answers_is_refused_unless_allowed(store: Store) -> None:
    early = ["--split-at", "2025-08-01"]
    result = replay(store, "noise", "learned", *early)
    assert code(result) == 2
    assert "has seen the answers; split later, or say --allow-seen" in str(result.exception)
    allowed = replay(store, "noise", "learned", *early, "--allow-seen")
    assert code(allowed) in (0, 4)
    assert "it has seen the answers" in " ".join(allowed.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (["--b", "none"], 2, "none"),
        (["--b", "../x"], 2, "is no bundle version"),
        (["--b", "learned", "--metric", "joy"], 2, "unknown metric 'joy'"),
        (["--b", "learned", "--split-at", "soon"], 2, "no ISO 8601 time"),
        (["--b", "learned", "--split-at", "2030-01-01"], 4, "nothing to replay"),
    ],
)
def test_what_cannot_be_replayed(
    store: Store, arguments: list[str], expected: int, message: str
) -> None:
    result = run("replay", "--a", "noise", "--store", store.root, *arguments)
    assert code(result) == expected
    assert message in str(result.exception)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A simulated log of a mostly lucky policy, reviews without words, and a bundle."""
    opened = Store(tmp_path_factory.mktemp("logged") / "shop")
    config = SimulationConfig(shop=SMALL, num_lists=900, num_candidates=5, policy="uniform", seed=3)
    simulate_into(opened, config)
    unread = opened.scan("reviews").collect()
    opened.overwrite("reviews", unread.clear())
    end = datetime(2026, 1, 1, tzinfo=UTC)
    add_bundle(opened, "learned", load_shop(opened, "m"), end)
    return opened


def test_a_bundle_is_evaluated_from_a_log(logged: Store) -> None:
    asked = ["off-policy", "--log", logged.root, "--policy", "bundle:learned", "--no-lightgbm"]
    soft = run(*asked, "--temperature", "1", "--epsilon", "0.3", "--json", "-")
    assert code(soft) == 0, soft.exception
    found = json.loads(soft.stdout)
    assert found["policy"] == "bundle:learned"
    assert found["overlap"]["mean_weight"] == pytest.approx(1.0, abs=0.2)
    assert found["estimates"]["snipw"]["intervals"]["bootstrap"][0] > 0
    # By luck alone it is the policy that was logged.
    lucky = run(*asked, "--epsilon", "1", "--json", "-")
    assert code(lucky) == 0, lucky.exception


def test_a_bundle_that_is_not_there_ends_with_two(logged: Store) -> None:
    result = run("off-policy", "--log", logged.root, "--policy", "bundle:none")
    assert code(result) == 2
    assert "none" in str(result.exception)
