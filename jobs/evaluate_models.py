"""Evaluate sources, peers and the ranker on a shop's store or on files, from scratch."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.store import Store
from jobs.errors import BadInputError, NotDecidableError
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.result_tables import quality_json
from jobs.score_reviews import ScoreConfig, score
from recsys.bundle_replay import paired_differences
from recsys.cuts import positional_cuts, time_cuts
from recsys.errors import NotEnoughDataError
from recsys.fitting import Fitted, fit_and_test
from recsys.intervals import PairedDifference, mean_interval, paired_difference
from recsys.repurchase import RepurchaseConfig
from recsys.repurchase_evaluation import evaluate_repurchases
from recsys.retrieval import PEERS, RecommenderConfig, TowerTrainer
from recsys.shown_lists import ShopWishes
from recsys.slices import (
    Exposure,
    Slice,
    brand_exposure,
    by_history,
    by_item_purchases,
    by_item_reviews,
    by_user_group,
    spread,
)
from recsys.world import ShopTables

LEAVE_ONE_OUT, TIME_SPLIT = "leave-one-out", "time-split"
PROTOCOLS = (LEAVE_ONE_OUT, TIME_SPLIT)


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Metrics by source and peer, and of the ranker.

    Attributes:
        protocol: `leave-one-out` or `time-split`.
        metrics: See `recsys.evaluation.Evaluated`, by name; of the ranker's own order, before
            anything is rearranged.
        num_test_users: Users the means are over.
        num_interactions: Distinct (user, item) purchases in the data.
        num_items: Size of the catalogue that is ranked.
        timings_s: Seconds of fitting and testing.
        intervals: Of NDCG@10, 95% over users, by name.
        best_source: The best of the recommender's own sources by NDCG@10.
        best_peer: The best of the peers.
        gains: The ranker's NDCG@10 less that of each, paired by user, by name.
        slices: The ranker's quality by group: `history`, `item reviews`, `item purchases`,
            `language`, and `country` where it is known.
        brands: What brands of each size are given by the ranker.
        newcomers: The ranker's metrics, and how many users, for those who have bought nothing yet;
            None where the protocol has none.
        repurchases: How well it is foreseen what users buy again in the days after the split, by
            the source and by plain answers; None where nobody does, or nothing is split in time.
        shown: Metrics of the lists as users get them, see `recsys.shown_lists`; None where nobody
            said how they are rearranged.
        shown_gains: What they gain over the ranker's own order, paired by user, by metric.
    """

    protocol: str
    metrics: dict[str, dict[str, float]]
    num_test_users: int
    num_interactions: int
    num_items: int
    timings_s: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    best_source: str
    best_peer: str
    gains: dict[str, PairedDifference]
    slices: dict[str, list[Slice]]
    brands: list[Exposure]
    newcomers: dict[str, float] | None
    repurchases: dict[str, dict[str, float]] | None = None
    shown: dict[str, float] | None = None
    shown_gains: dict[str, PairedDifference] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy."""
        return {
            "protocol": self.protocol,
            **quality_json(self.metrics),
            "intervals": {"ndcg@10": self.intervals},
            "gains": {name: asdict(gain) for name, gain in self.gains.items()},
            "slices": {
                name: {"spread": spread(slices), "groups": [asdict(found) for found in slices]}
                for name, slices in self.slices.items()
            },
            "brands": [asdict(found) for found in self.brands],
            "newcomers": self.newcomers,
            "repurchases": self.repurchases,
            "shown": self.shown,
            "shown_gains": {name: asdict(gain) for name, gain in self.shown_gains.items()},
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
    wishes: ShopWishes | None = None,
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
        wishes: How lists are rearranged that are measured as users get them; None measures none.
        progress: Called with the name of each step.

    Raises:
        BadInputError: If the protocol is unknown, or reviews lack signals.
        NotDecidableError: If there is too little data.
    """
    if protocol not in PROTOCOLS:
        raise BadInputError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    shop = load_shop(store, version)
    start = time.perf_counter()
    repurchases = None
    try:
        if protocol == LEAVE_ONE_OUT:
            cuts = positional_cuts(
                shop.events, shop.reviews, num_learned=config.label_positions, as_of=None
            )
        else:
            cuts = time_cuts(
                shop.events,
                shop.reviews,
                split_at=split_at or _published_split(store, shop) or _last_tenth(shop),
                num_learned=config.label_positions + 1,
            )
            repurchases = evaluate_repurchases(
                shop.events, shop.items, as_of=cuts.test.as_of, config=RepurchaseConfig()
            )
        fitted = fit_and_test(shop, cuts, config, trainer, wishes=wishes, progress=progress)
    except NotEnoughDataError as error:
        raise NotDecidableError(str(error)) from error
    seconds = round(time.perf_counter() - start, 3)
    users = store.scan("users").collect() if store.exists("users") else None
    report = report_of(fitted, shop, users, protocol=protocol, timings_s={"fit and test": seconds})
    return replace(report, repurchases=repurchases)


def report_of(
    fitted: Fitted,
    shop: ShopTables,
    users: pl.DataFrame | None,
    *,
    protocol: str,
    timings_s: dict[str, float],
) -> EvaluationReport:
    """Sum up what a fit measured.

    Args:
        fitted: The fit.
        shop: What it was fitted on.
        users: `features.schema.Users`, for groups by country; None where there are none.
        protocol: One of `PROTOCOLS`.
        timings_s: Seconds of each step.
    """
    found, test = fitted.evaluated, fitted.test
    purchases = shop.events.filter(pl.col("event_type") == "purchase")
    ranker = found["ranker"]
    best_peer = max(PEERS, key=lambda name: found[name].metrics["ndcg@10"])
    best_source = fitted.comparison.best_source
    slices = {
        "history": by_history(test, ranker),
        "item reviews": by_item_reviews(test, ranker),
        "item purchases": by_item_purchases(test, ranker),
        "language": by_user_group(test, ranker, _languages(shop)),
    }
    if users is not None and users["country"].is_not_null().any():
        countries = users.select("user_id", group="country").drop_nulls()
        slices["country"] = by_user_group(test, ranker, countries)
    newcomers = None
    if fitted.newcomers is not None:
        newcomers = {"num_users": len(fitted.newcomers.ndcg), **fitted.newcomers.metrics}
    return EvaluationReport(
        protocol=protocol,
        metrics=fitted.metrics,
        num_test_users=fitted.num_test_users,
        num_interactions=purchases.select("user_id", "item_id").n_unique(),
        num_items=len(shop.items),
        timings_s=timings_s,
        intervals={name: mean_interval(measured.ndcg) for name, measured in found.items()},
        best_source=best_source,
        best_peer=best_peer,
        gains={
            name: paired_difference(ranker.ndcg, found[name].ndcg)
            for name in (best_source, best_peer)
        },
        slices=slices,
        brands=brand_exposure(test, ranker),
        newcomers=newcomers,
        shown=None if fitted.shown is None else fitted.shown.metrics,
        shown_gains=(
            {} if fitted.shown is None else paired_differences(test, ranker, fitted.shown)[0]
        ),
    )


def _languages(shop: ShopTables) -> pl.DataFrame:
    """Return `user_id, group`: the language that most of a user's reviews are in."""
    read = shop.reviews.join(shop.signals.select("review_id", "language"), on="review_id")
    counts = read.group_by("user_id", group="language").len()
    most = counts.sort("user_id", "len", "group", descending=[False, True, False])
    return most.unique("user_id", keep="first", maintain_order=True).select("user_id", "group")


def evaluate_files(
    files: Sequence[Path],
    score_config: ScoreConfig,
    config: RecommenderConfig,
    make_trainer: Callable[[], TowerTrainer],
    *,
    protocol: str,
    split_at: datetime | None,
    now: datetime,
    wishes: ShopWishes | None = None,
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
            wishes=wishes,
            progress=lambda step: progress(step, 0, 0),
        )


def load_empty_reviews() -> pl.DataFrame:
    """Return a reviews table without rows, for data that has purchases only."""
    from sentiment.schema import Reviews

    return Reviews.create_empty()


def _published_split(store: Store, shop: ShopTables) -> datetime | None:
    """Return the first test row's time of a data set that comes with its own split."""
    if not store.exists("splits"):
        return None
    splits = store.scan("splits").filter(pl.col("split") == "test").collect()
    return shop.events.join(splits, on="event_id", how="semi")["event_time"].min()  # type: ignore[return-value]


def _last_tenth(shop: ShopTables) -> datetime:
    purchases = shop.events.filter(pl.col("event_type") == "purchase")
    return purchases["event_time"].quantile(0.9, "higher")  # type: ignore[return-value]
