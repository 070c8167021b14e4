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
_TABLES = ("items", "users", "events", "reviews", "signals", "incidents")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Scored tables; `incidents` is the truth, None of real reviews."""

    tables: ShopTables
    users: pl.DataFrame | None
    incidents: pl.DataFrame | None

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


def real_shop(file: Path) -> Shop:
    """Ingest and score a file of real reviews."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        report = ingest(store, [file], now=datetime.now(UTC))
        assert not report.errors, report.errors
        reviews = store.scan("reviews").collect()
        tables = ShopTables(
            items=store.scan("items").collect(),
            events=store.scan("events").collect(),
            reviews=reviews,
            signals=ReviewScorer.load(ScorerConfig()).score_reviews(reviews),
        )
    return Shop(tables=tables, users=None, incidents=None)
