"""The demo: sample shop or real reviews, the whole pipeline, the endpoint, one answer, a report."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from features.store import Store
from jobs.config import Config
from jobs.errors import BadInputError
from jobs.ray_session import ray_session
from jobs.result_tables import pipeline_json
from jobs.run_pipeline import PipelineReport, run
from jobs.served_endpoint import served_endpoint
from jobs.settings import pipeline_config, tower_trainer
from jobs.write_report import write_report

MARKER = ".sentirec-demo"
NUM_ITEMS = 10


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demo is run on.

    Attributes:
        folder: Where it works.
        reviews: A file of real reviews; None generates the sample shop.
        shop_seed: Seed of the sample shop.
        sentiment_effect: Strength of felt experience in the sample shop, at least 0.
        port: Port of the endpoint; 0 takes a free one.
    """

    folder: Path
    reviews: Path | None = None
    shop_seed: int = 7
    sentiment_effect: float = 1.0
    port: int = 0


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """The JSON content of a demo, and where its report lies."""

    content: dict[str, Any]
    report: Path


def run_demo(
    demo: DemoConfig,
    settings: Config,
    *,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> DemoResult:
    """Run the demo; what it starts is stopped again.

    Args:
        demo: What to run on.
        settings: Configuration of the stages.
        progress: Told each step, how much is done, and how much there is.

    Raises:
        BadInputError: If the folder belongs to something else, or the reviews cannot be read.
    """
    _prepare_folder(demo.folder)
    store, report = Store(demo.folder / "store"), PipelineReport()
    with report.timed("shop"):
        progress("make the shop" if demo.reviews is None else "find the reviews", 0, 0)
        files = _source_files(demo)
    with ray_session():
        pipeline = run(
            store,
            files,
            pipeline_config(settings),
            lambda epochs: tower_trainer(settings, epochs),
            now=datetime.now(UTC),
            progress=progress,
        )
    report.timings_s |= pipeline.timings_s
    user_id = typical_user(store)
    with report.timed("serve and ask"):
        progress("serve and ask", 0, 0)
        with served_endpoint(store, demo.port) as endpoint:
            answer = endpoint.recommend(user_id, k=NUM_ITEMS)
        progress("stop", 0, 0)
    content = pipeline_json(pipeline) | {
        "timings_s": report.timings_s,
        "recommendation": answer,
        "shop": _origin(demo),
    }
    path = demo.folder / "report.html"
    write_report(path, content, history=_bought(store, user_id))
    return DemoResult(content=content, report=path)


def typical_user(store: Store) -> str:
    """Return the user nearest to ten purchases of whom most were reviewed and liked; ties by id."""
    users = (
        store.scan("purchase_history")
        .group_by("user_id")
        .agg(num=pl.len(), felt=pl.col("polarity").fill_null(0.0).sum())
        .sort((pl.col("num").cast(pl.Int64) - 10).abs(), -pl.col("felt"), "user_id")
        .head(1)
        .collect()
    )
    return users["user_id"].item()


def recommendation_table(answer: dict[str, Any]) -> Table:
    """Return rank, item, score and reason of every recommended item."""
    table = Table(title=f"for user {answer['user_id']}, model {answer['model_version']}")
    table.add_column("rank", justify="right")
    table.add_column("item")
    table.add_column("score", justify="right")
    table.add_column("reason", overflow="fold")
    for item in answer["items"]:
        name = item["title"] or item["item_id"]
        table.add_row(str(item["rank"]), name, f"{item['score']:.3f}", reason_text(item))
    return table


def reason_text(item: dict[str, Any]) -> str:
    """Return an item's reason with its quote, if it has one."""
    reason = item.get("reason") or {}
    quote = reason.get("quote")
    text = reason.get("text") or ""
    return f"{text} “{quote['text']}”" if quote else text


def _source_files(demo: DemoConfig) -> list[Path]:
    if demo.reviews is not None:
        if not demo.reviews.is_file():
            raise BadInputError(f"{demo.reviews} is no file")
        return [demo.reviews]
    from jobs.sample_shop import ShopConfig, generate_shop, write_shop

    try:
        config = ShopConfig(seed=demo.shop_seed, sentiment_effect=demo.sentiment_effect)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    folder = demo.folder / "shop"
    write_shop(generate_shop(config), folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _prepare_folder(folder: Path) -> None:
    """Empty a demo's own folder; refuse one that holds anything else."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise BadInputError(
                f"{folder} is not empty and no earlier demo's: name another --folder"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def _origin(demo: DemoConfig) -> dict[str, Any]:
    if demo.reviews is not None:
        return {"reviews": demo.reviews.name}
    return {"seed": demo.shop_seed, "sentiment_effect": demo.sentiment_effect}


def _bought(store: Store, user_id: str) -> list[dict[str, Any]]:
    """Return what the user bought, newest first, with how they felt about it."""
    return (
        store.scan("purchase_history")
        .filter(pl.col("user_id") == user_id)
        .join(store.scan("items").select("item_id", "title"), on="item_id", how="left")
        .sort("event_time", "seq", descending=True)
        .select("item_id", "title", "stars", "polarity")
        .collect()
        .to_dicts()
    )
