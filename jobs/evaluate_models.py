"""Evaluate sources, peers and the ranker on a shop's store or on files, from scratch."""

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from features.store import Store
from features.visibility import Visible, before
from jobs.errors import BadInputError, NotDecidableError
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.result_tables import quality_json
from jobs.score_reviews import ScoreConfig, score
from recsys.errors import NotEnoughDataError
from recsys.fitting import evaluate_all, fit_alike, fit_and_test, learn_to_rank, with_votes
from recsys.retrieval import RecommenderConfig, TowerTrainer, tower_data
from recsys.world import ShopTables, build_world

LEAVE_ONE_OUT, TIME_SPLIT = "leave-one-out", "time-split"
_PERIOD = timedelta(days=90)
PROTOCOLS = (LEAVE_ONE_OUT, TIME_SPLIT)


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Metrics by source and peer, and of the ranker.

    Attributes:
        protocol: `leave-one-out` or `time-split`.
        metrics: NDCG@10, Recall@10/100/200, MRR and coverage@10 by name.
        num_test_users: Users the means are over.
        num_interactions: Distinct (user, item) purchases in the data.
        num_items: Size of the catalogue that is ranked.
        timings_s: Seconds of fitting and testing.
    """

    protocol: str
    metrics: dict[str, dict[str, float]]
    num_test_users: int
    num_interactions: int
    num_items: int
    timings_s: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy."""
        return {
            "protocol": self.protocol,
            **quality_json(self.metrics),
            "timings_s": self.timings_s,
            "data": {
                "num_test_users": self.num_test_users,
                "num_interactions": self.num_interactions,
                "num_items": self.num_items,
            },
        }


def evaluate_store(
    store: Store,
    config: RecommenderConfig,
    trainer: TowerTrainer,
    *,
    version: str,
    protocol: str,
    split_at: datetime | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> EvaluationReport:
    """Fit and test on a store's tables; nothing is written.

    Args:
        store: Where the tables are.
        config: What decides the fit.
        trainer: Trains the two-towers.
        version: Model version of the signals.
        protocol: One of `PROTOCOLS`.
        split_at: For the time split: test rows lie at or after it. None takes the store's `splits`
            table (test rows as published), or else the time that a tenth of purchases lie after.
        progress: Called with the name of each step.

    Raises:
        BadInputError: If the protocol is unknown, or reviews lack signals.
        NotDecidableError: If there is too little data.
    """
    if protocol not in PROTOCOLS:
        raise BadInputError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    shop = load_shop(store, version)
    start = time.perf_counter()
    try:
        if protocol == LEAVE_ONE_OUT:
            fitted = fit_and_test(shop, config, trainer, as_of=None, progress=progress)
            metrics, num_users = fitted.metrics, fitted.num_test_users
        else:
            cut = split_at or _published_split(store, shop) or _last_tenth(shop)
            metrics, num_users = _time_split(shop, config, trainer, cut, progress)
    except NotEnoughDataError as error:
        raise NotDecidableError(str(error)) from error
    purchases = shop.events.filter(pl.col("event_type") == "purchase")
    return EvaluationReport(
        protocol=protocol,
        metrics=metrics,
        num_test_users=num_users,
        num_interactions=purchases.select("user_id", "item_id").n_unique(),
        num_items=len(shop.items),
        timings_s={"fit and test": round(time.perf_counter() - start, 3)},
    )


def evaluate_files(
    files: Sequence[Path],
    score_config: ScoreConfig,
    config: RecommenderConfig,
    make_trainer: Callable[[], TowerTrainer],
    *,
    protocol: str,
    split_at: datetime | None,
    now: datetime,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> EvaluationReport:
    """Ingest files into a temporary store, score what reviews there are, and evaluate.

    Raises:
        BadInputError: If a file cannot be read.
        NotDecidableError: If there is too little data.
    """
    with tempfile.TemporaryDirectory(prefix="sentirec-evaluate-") as folder:
        store = Store(folder)
        progress("ingest", 0, 0)
        report = ingest(store, list(files), now=now)
        if report.errors:
            raise BadInputError("\n".join(report.errors))
        if not store.exists("events"):
            raise BadInputError("the files hold no purchases: nothing to evaluate on")
        if not store.exists("reviews"):
            store.append("reviews", load_empty_reviews())
        scored = score(
            store, score_config, progress=lambda done, total: progress("score", done, total)
        )
        return evaluate_store(
            store,
            config,
            make_trainer(),
            version=scored.model_version,
            protocol=protocol,
            split_at=split_at,
            progress=lambda step: progress(step, 0, 0),
        )


def load_empty_reviews() -> pl.DataFrame:
    """Return a reviews table without rows, for data that has purchases only."""
    from sentiment.schema import Reviews

    return Reviews.create_empty()


def _time_split(
    shop: ShopTables,
    config: RecommenderConfig,
    trainer: TowerTrainer,
    split_at: datetime,
    progress: Callable[[str], None],
) -> tuple[dict[str, dict[str, float]], int]:
    """Fit strictly before the split; the ranker learns from periods before it, each as strictly."""
    test = before(shop.events, shop.reviews, as_of=split_at)
    if test.targets.is_empty():
        raise NotEnoughDataError(f"no user has purchases on both sides of {split_at.isoformat()}")
    progress("cut worlds")
    # What came of purchases is known as far as it was before the split.
    known = dataclasses.replace(shop, events=test.events, reviews=test.reviews)
    periods = periods_before(test, config.label_positions + 1)
    if not periods:
        raise NotEnoughDataError(
            f"nobody who had bought before bought anything new in the time before "
            f"{split_at.isoformat()}: there is nothing to learn from"
        )
    worlds = [build_world(known, cut) for cut in periods]
    worlds.append(build_world(shop, test))
    final = worlds[-1]
    progress("train two-tower")
    towers = trainer(
        [tower_data(world, config) for world in worlds], config.towers, config.training
    )
    progress("fit sources")
    retrievals = fit_alike(worlds, towers, config)
    progress("fit ranker")
    config = with_votes(worlds[-2], retrievals[-2], config)
    ranker = learn_to_rank(worlds[:-1], retrievals[:-1], config)
    progress("evaluate")
    metrics, _ = evaluate_all(final, retrievals[-1], ranker, config)
    return metrics, len(final.asked)


def periods_before(test: Visible, num: int) -> list[Visible]:
    """Cut the last periods before a split, the earliest first: questions as the split asks them.

    A period is a twentieth of the time before the split, at least a day and at most `_PERIOD`.
    """
    first = test.events["event_time"].min()
    assert isinstance(first, datetime)
    length = min(_PERIOD, max(timedelta(days=1), (test.as_of - first) / 20))
    ends = [test.as_of - step * length for step in range(num)]
    cuts = [
        before(test.events, test.reviews, as_of=end - length, until=end) for end in reversed(ends)
    ]
    return [cut for cut in cuts if len(cut.targets)]


def _published_split(store: Store, shop: ShopTables) -> datetime | None:
    """Return the first test row's time of a data set that comes with its own split."""
    if not store.exists("splits"):
        return None
    splits = store.scan("splits").filter(pl.col("split") == "test").collect()
    return shop.events.join(splits, on="event_id", how="semi")["event_time"].min()  # type: ignore[return-value]


def _last_tenth(shop: ShopTables) -> datetime:
    purchases = shop.events.filter(pl.col("event_type") == "purchase")
    return purchases["event_time"].quantile(0.9, "higher")  # type: ignore[return-value]
