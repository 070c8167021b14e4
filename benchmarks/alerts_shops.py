"""Shops that alerts are measured on: sample shops with incidents, and real reviews."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.store import Store
from jobs.ingest_tables import ingest
from jobs.sample_shop import ShopConfig, generate_shop
from recsys.alerts.opinions import day_of
from recsys.world import ShopTables
from sentiment.scorer import ReviewScorer, ScorerConfig

SHOP: dict[str, Any] = {
    "num_items": 100,
    "num_users": 4700,
    "num_reviews": 28000,
    "num_events": 230000,
    "days": 180,
    "bad_batches": 10,
    "drifts": 3,
    "review_bombings": 8,
}
_MANY, _TIMES, _NEAR_DAYS = 20, 3, 28
_REAL_TABLES = ("items", "events", "reviews", "signals")
_TABLES = ("items", "users", "events", "reviews", "signals", "incidents")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Scored tables; `incidents` is the truth, None of real reviews.

    `num_wrong` is the number of reviews that were left out, their dates being wrong.
    """

    tables: ShopTables
    users: pl.DataFrame | None
    incidents: pl.DataFrame | None
    num_wrong: int = 0

    def days(self, after: int) -> list[int]:
        """Return the days since 1970, from so many after the first review to the last."""
        time = self.tables.reviews["event_time"]
        first, last = time.min(), time.max()
        return list(range(day_of(first) + after, day_of(last) + 1))  # type: ignore[arg-type]


def scored_shop(seed: int, kept: Path | None) -> Shop:
    """Generate and score a sample shop, or read it from a folder that keeps them."""
    folder = None if kept is None else kept / f"shop{seed}"
    if folder is not None and (folder / "incidents.parquet").exists():
        frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in _TABLES}
    else:
        shop = generate_shop(ShopConfig(seed=seed, **SHOP))
        signals = ReviewScorer.load(ScorerConfig()).score_reviews(shop.reviews)
        frames = {
            "items": shop.items,
            "users": shop.users,
            "events": shop.events,
            "reviews": shop.reviews,
            "signals": signals,
            "incidents": shop.truth.incidents,
        }
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, frame in frames.items():
                frame.write_parquet(folder / f"{name}.parquet")
    tables = ShopTables(
        items=frames["items"],
        events=frames["events"],
        reviews=frames["reviews"],
        signals=frames["signals"],
    )
    return Shop(tables=tables, users=frames["users"], incidents=frames["incidents"])


def real_shop(file: Path, kept: Path | None = None) -> Shop:
    """Ingest and score a file of real reviews, or read it from a folder; without wrong days."""
    folder = None if kept is None else kept / file.name.split(".")[0]
    if folder is None or not (folder / "signals.parquet").exists():
        frames = _ingested(file)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, frame in frames.items():
                frame.write_parquet(folder / f"{name}.parquet")
    else:
        frames = {name: pl.read_parquet(folder / f"{name}.parquet") for name in _REAL_TABLES}
    wrong = wrong_days(frames["reviews"])
    return Shop(
        tables=ShopTables(
            items=frames["items"],
            events=frames["events"],
            reviews=frames["reviews"].filter(~wrong),
            signals=frames["signals"],
        ),
        users=None,
        incidents=None,
        num_wrong=int(wrong.sum()),
    )


def wrong_days(reviews: pl.DataFrame) -> pl.Series:
    """Return which reviews have a date that cannot be theirs, bool.

    A day on which a file of reviews was filled stands out of the days about it: an item's day is
    wrong where it has at least `_MANY` reviews and more than `_TIMES` as many as the fullest other
    day of the item within `_NEAR_DAYS`. Dates in the future are refused when reviews are ingested.
    """
    day = (pl.col("event_time").dt.epoch("s") // 86400).alias("day")
    by_day = reviews.group_by("item_id", day).len()
    full = by_day.filter(pl.col("len") >= _MANY)
    gap = (pl.col("day_other") - pl.col("day")).abs()
    fullest = (
        full.join(by_day, on="item_id", suffix="_other")
        .filter(gap.is_between(1, _NEAR_DAYS))
        .group_by("item_id", "day")
        .agg(most=pl.col("len_other").max())
    )
    most = pl.col("most").fill_null(0)
    wrong = full.join(fullest, on=["item_id", "day"], how="left").filter(
        pl.col("len") > _TIMES * most
    )
    marked = wrong.select("item_id", "day", is_wrong=pl.lit(value=True))
    told = reviews.with_columns(day).join(
        marked, on=["item_id", "day"], how="left", maintain_order="left"
    )
    return told["is_wrong"].fill_null(value=False)


def _ingested(file: Path) -> dict[str, pl.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        report = ingest(store, [file], now=datetime.now(UTC))
        assert not report.errors, report.errors
        frames = {name: store.scan(name).collect() for name in ("items", "events", "reviews")}
    signals = ReviewScorer.load(ScorerConfig()).score_reviews(frames["reviews"])
    return frames | {"signals": signals}
