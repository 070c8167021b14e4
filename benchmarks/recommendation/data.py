"""The data sets of the benchmark, and how they are cut for everybody who takes part."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.store import Store
from jobs.config import Config
from jobs.evaluate_models import load_empty_reviews
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.score_reviews import score
from jobs.settings import score_config
from recsys.world import ShopTables, World


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Files of the data folder, and the protocol they are tested by."""

    files: tuple[str, ...]
    splits_by_time: bool = False


DATA = {
    "magazine": DataSet(files=("reviews/amazon_magazine_2018_5core.jsonl.gz",)),
    "musical": DataSet(files=("reviews/amazon_musical_instruments_2014_5core.jsonl.gz",)),
    "electronics": DataSet(
        files=(
            "interactions/amazon_electronics_2023.csv.gz",
            "interactions/amazon_electronics_2023_items.csv.gz",
        ),
        splits_by_time=True,
    ),
    "beauty": DataSet(
        files=(
            "interactions/amazon_beauty_5core_sequences.csv.gz",
            "interactions/amazon_beauty_item_attributes.csv.gz",
        )
    ),
}


def load(data: DataSet, folder: Path) -> tuple[ShopTables, datetime | None]:
    """Ingest and score the files, and return the shop, and when its published test part begins."""
    with tempfile.TemporaryDirectory() as name:
        store = Store(name)
        report = ingest(store, [folder / file for file in data.files], now=datetime.now(UTC))
        assert not report.errors, report.errors
        if not store.exists("reviews"):
            store.append("reviews", load_empty_reviews())
        scored = score(store, score_config(Config()))
        shop = load_shop(store, scored.model_version)
        if not data.splits_by_time:
            return shop, None
        tested = store.scan("splits").filter(pl.col("split") == "test").collect()
        times = shop.events.join(tested, on="event_id", how="semi")["event_time"]
        return shop, times.min()  # type: ignore[return-value]


def hand_over(world: World, folder: Path) -> None:
    """Write what peers may see of a world, whom they are asked about, and what is to be found."""
    folder.mkdir(parents=True, exist_ok=True)
    bought = world.population.bought
    frame = pl.DataFrame(
        {"user_id": bought.user_idx, "item_id": bought.item_idx, "datetime": bought.event_time}
    )
    # Of one moment the order counts, and time is all that peers read.
    place = pl.int_range(pl.len()).over("user_id")
    times = (pl.col("datetime") + place).cast(pl.Datetime("us"))
    frame.with_columns(datetime=times).write_parquet(folder / "train.parquet")
    pl.DataFrame({"user_id": world.asked}).write_parquet(folder / "asked.parquet")
    counts = world.target_indptr[1:] - world.target_indptr[:-1]
    users = pl.Series(world.asked).to_frame("user_id").with_columns(num=pl.Series(counts))
    targets = users.select(pl.col("user_id").repeat_by("num").explode())
    targets.with_columns(item_id=pl.Series(world.target_item)).write_parquet(
        folder / "targets.parquet"
    )
