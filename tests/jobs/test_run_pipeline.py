"""The chain for a shop: only what is new, resumable, gated, and put back."""

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.store import Store
from jobs.build_profiles import SIDE_TABLES
from jobs.errors import BadInputError, GateRefusedError, NotDecidableError
from jobs.evaluate_models import evaluate_files, evaluate_store
from jobs.evaluation_tables import gains_line, shown_table, slices_tables
from jobs.publish_bundle import newest_bundle, publish, roll_back
from jobs.ray_session import ray_session
from jobs.result_tables import metrics_table
from jobs.run_pipeline import PipelineConfig, PipelineReport, run
from jobs.sample_shop import ShopConfig, generate_shop, write_shop
from jobs.score_reviews import ScoreConfig
from jobs.train_two_tower import TrainerConfig, ray_tower_trainer
from recsys.bundle import load_bundle
from recsys.bundle_manifest import read_manifest
from recsys.bundle_versions import current_bundle
from recsys.query import Query
from recsys.ranker_config import RankerConfig
from recsys.rerank_config import RerankConfig
from recsys.retrieval import RecommenderConfig
from recsys.shown_lists import ShopWishes
from recsys.tower_fitting import fit_each
from recsys.two_tower_config import TrainingConfig
from sentiment.scorer import ScorerConfig

CONFIG = PipelineConfig(
    score=ScoreConfig(scorer=ScorerConfig(max_tokens=32)),
    recommender=RecommenderConfig(
        training=TrainingConfig(epochs=2),
        ranker=RankerConfig(num_trees=(20,), min_data_in_leaf=50),
    ),
    gate_tolerance=0.9,
)


def in_process(_progress):
    return fit_each


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour, tzinfo=UTC)


@dataclasses.dataclass(frozen=True)
class World:
    store: Store
    files: list[Path]
    first: PipelineReport


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for all tests here: runs inside join it."""
    with ray_session():
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small shop after its first run, with the two-tower trained by Ray Train."""
    folder = tmp_path_factory.mktemp("shop")
    config = ShopConfig(num_items=100, num_users=150, num_reviews=600, num_events=4800)
    write_shop(generate_shop(config), folder / "files")
    files = sorted(path for path in (folder / "files").iterdir() if path.is_file())
    store = Store(folder / "store")
    trainer = TrainerConfig(threads=1)
    first = run(
        store,
        files,
        CONFIG,
        lambda progress: ray_tower_trainer(trainer, progress=progress),
        now=at(1),
    )
    return World(store, files, first)


def test_first_run_ends_with_a_live_bundle_and_side_tables(world: World) -> None:
    assert world.first.published is not None
    live = current_bundle(world.store.path("bundles"))
    assert live is not None
    assert live.name == world.first.published.version
    assert all(world.store.exists(table) for table in SIDE_TABLES)
    assert set(world.first.timings_s) == {"ingest", "score", "profiles", "train", "publish"}


def test_the_live_bundle_recommends_what_a_stranger_may_buy(world: World) -> None:
    live = current_bundle(world.store.path("bundles"))
    assert live is not None
    recommender, _ = load_bundle(live)
    answer = recommender.recommend(Query.of_stranger(), 5)
    assert len(set(answer.item_idx.tolist())) == 5


def test_metrics_name_every_source_and_the_ranker(world: World) -> None:
    assert world.first.published is not None
    assert {"popular", "item_knn", "two_tower", "item_to_item", "text", "ranker"} <= set(
        world.first.published.metrics
    )


def test_a_second_run_finds_nothing_new(world: World) -> None:
    again = run(world.store, world.files, CONFIG, in_process, now=at(2))
    assert again.ingest is not None
    assert all(counts.added == 0 for counts in again.ingest.tables.values())
    assert again.score is not None
    assert (again.score.scored, again.score.copied) == (0, 0)
    assert again.train is None
    assert again.published is None


def test_a_new_purchase_makes_a_new_bundle_and_rollback_brings_the_old_one(
    world: World, tmp_path: Path
) -> None:
    bundles = world.store.path("bundles")
    before = current_bundle(bundles)
    event = (
        world.store.scan("events")
        .filter(pl.col("event_type") == "purchase")
        .sort("event_time")
        .tail(1)
        .with_columns(event_id=pl.lit("new-purchase"), seq=pl.col("seq") + 1_000_000)
        .collect()
    )
    file = tmp_path / "new.jsonl"
    event.with_columns(pl.col("event_time").dt.to_string("iso:strict")).write_ndjson(file)
    second = run(world.store, [file], CONFIG, in_process, format="events", now=at(3))
    assert second.published is not None
    after = current_bundle(bundles)
    assert before is not None
    assert after is not None
    assert after.name == second.published.version != before.name
    assert roll_back(world.store) == before.name
    assert current_bundle(bundles) == before
    publish(world.store, after.name, tolerance=0.9)


def test_a_run_that_ended_before_publishing_is_finished_by_the_next(world: World) -> None:
    bundles = world.store.path("bundles")
    newest = newest_bundle(bundles)
    assert newest is not None
    (bundles / "current").unlink()
    resumed = run(world.store, [], CONFIG, in_process, now=at(4))
    assert resumed.train is None
    assert resumed.published is not None
    assert resumed.published.version == newest.name
    assert current_bundle(bundles) == newest


def test_a_worse_bundle_is_kept_and_not_promoted(world: World) -> None:
    bundles = world.store.path("bundles")
    live = current_bundle(bundles)
    assert live is not None
    metrics = read_manifest(live).metrics
    best = max(m["ndcg@10"] for name, m in metrics.items() if name != "ranker")
    tolerance = -1.0  # demands twice the best source's quality, which no bundle has
    assert metrics["ranker"]["ndcg@10"] < 2 * best
    with pytest.raises(GateRefusedError, match="below its own source"):
        publish(world.store, live.name, tolerance=tolerance)
    assert current_bundle(bundles) == live


def test_publishing_what_is_not_there_says_so(world: World, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no bundle"):
        publish(world.store, "20200101T000000000000Z", tolerance=0.0)
    with pytest.raises(BadInputError, match="sentirec train"):
        publish(Store(tmp_path), tolerance=0.0)


@pytest.mark.parametrize("protocol", ["leave-one-out", "time-split"])
def test_both_protocols_evaluate_the_same_store(world: World, protocol: str) -> None:
    version = world.store.scan("review_signals").select("model_version").head(1).collect().item()
    report = evaluate_store(
        world.store,
        CONFIG.recommender,
        in_process(None),
        version=version,
        protocol=protocol,
        wishes=ShopWishes(config=RerankConfig(diversity=0.9)),
    )
    assert report.num_test_users > 20
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {"protocol", "metrics", "candidates", "timings_s", "data"} <= set(told)
    assert all(0.0 <= m["ndcg@10"] <= 1.0 for m in report.metrics.values())
    for name, (low, high) in told["intervals"]["ndcg@10"].items():
        assert low <= report.metrics[name]["ndcg@10"] <= high
    assert set(told["gains"]) == {report.best_source, report.best_peer}
    for slices in told["slices"].values():
        nums = [found["num"] for found in slices["groups"]]
        mean = np.average([found["ndcg"] for found in slices["groups"]], weights=nums)
        if sum(nums) == report.num_test_users:
            assert mean == pytest.approx(report.metrics["ranker"]["ndcg@10"])
    assert sum(found["places"] for found in told["brands"]) == pytest.approx(1.0)
    assert told["newcomers"] is None, "everybody in this shop has bought before"
    tables = slices_tables(report)
    assert [table.title for table in tables][:1] == ["the ranker, by group"]
    is_split = protocol == "time-split"
    assert (told["repurchases"] is not None) == is_split
    if is_split:
        assert set(told["repurchases"]) == {"repurchase_due", "bought_often", "bought_last"}
        assert "buy again" in str(tables[-1].title)
        assert tables[-1].row_count == 3
    assert f"on {report.best_peer}" in gains_line(report)
    assert set(told["shown"]) == set(told["metrics"]["ranker"])
    gain = told["shown_gains"]["ndcg@10"]["difference"]
    own = told["metrics"]["ranker"]["ndcg@10"]
    assert told["shown"]["ndcg@10"] - own == pytest.approx(gain)
    assert gain != 0.0, "so much diversity changes lists"
    assert metrics_table(report.metrics, report.shown).row_count == len(report.metrics) + 1
    (table,) = shown_table(report)
    assert table.row_count == 7
    assert not shown_table(dataclasses.replace(report, shown=None))


def test_a_split_with_nothing_before_it_to_learn_from_is_refused(world: World) -> None:
    version = world.store.scan("review_signals").select("model_version").head(1).collect().item()
    first = world.store.scan("events").select(pl.col("event_time").min()).collect().item()
    with pytest.raises(NotDecidableError, match="nothing to learn from"):
        evaluate_store(
            world.store,
            CONFIG.recommender,
            in_process(None),
            version=version,
            protocol="time-split",
            split_at=first + timedelta(hours=30),
        )


def test_sequences_without_any_text_are_evaluated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "sequences.csv"
    rows = [
        f"u{user},i{item},{place}"
        for user in range(150)
        for place, item in enumerate((user + rng.permutation(12)[:6]) % 25)
    ]
    file.write_text("\n".join(["user_id,item_id,pos", *rows]) + "\n")
    report = evaluate_files(
        [file],
        CONFIG.score,
        CONFIG.recommender,
        lambda: in_process(None),
        protocol="leave-one-out",
        split_at=None,
        now=at(1),
    )
    assert report.num_test_users == 150
    assert "text" not in report.metrics


def test_unknown_protocol_names_the_known_ones(world: World) -> None:
    with pytest.raises(BadInputError, match="leave-one-out, time-split"):
        evaluate_store(
            world.store, CONFIG.recommender, in_process(None), version="x", protocol="random"
        )


def test_damaged_file_is_reported_and_nothing_is_published(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("nothing,known\n1,2\n")
    store = Store(tmp_path / "store")
    with pytest.raises(BadInputError, match=r"orders\.csv"):
        run(store, [file], CONFIG, in_process, now=at(1))
    assert current_bundle(store.path("bundles")) is None


def test_too_little_data_is_not_decidable(world: World, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for table in ("items", "reviews", "events"):
        store.append(table, world.store.scan(table).head(3).collect())
    with pytest.raises(NotDecidableError, match="leave-one-out"):
        run(store, [], CONFIG, in_process, now=at(1))
