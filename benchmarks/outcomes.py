"""How well outcomes are told: all features against recency, frequency and money.

python -m benchmarks.outcomes --data ../shared/data [--store S] [--json F]

Taobao: who, known by midnight of a day, buys within the next day. UCI Online Retail: which customer
buys nothing within 90 days, and how many purchase days and how much money customers bring within
them (BG/NBD and Gamma-Gamma). Strict in time: models learn from times whose horizon ends before the
time at which users are told; nothing is chosen on what comes after.

With a store of scored reviews (such as `make demo REVIEWS=F` leaves in runs/demo/store): whether
users are satisfied with the first purchase that they judge after three quarters of all purchases.

Peers read recency, frequency and money alone: a logistic regression on their logarithms, and the
same trees as ours with the same folds.
"""

import dataclasses
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console

from benchmarks.harness import write
from features.purchase_days import purchase_days
from features.schema import TABLES
from features.store import Store
from jobs.ingest_tables import ingest
from jobs.load_shop import load_shop
from jobs.result_tables import outcome_table
from recsys.category_satisfaction import satisfaction_back_test
from recsys.customer_value import customer_values
from recsys.outcomes import OutcomeQuestion, back_test
from recsys.world import ShopTables
from sentiment.scorer import ScorerConfig, model_version

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    store: Annotated[Path | None, typer.Option(help="A store of scored reviews.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=120)
    taobao = _tables(data / "events" / "taobao_user_behavior.csv.gz")
    retail = _tables(data / "events" / "uci_online_retail.csv.gz")
    figures: dict[str, Any] = {
        # Midnight in China, where the log was made, is 16:00 UTC of the day before.
        "Taobao, buys within a day": _outcome(
            taobao,
            OutcomeQuestion(outcome="purchase", horizon_days=1, num_times=6, every_days=1),
            [datetime(2017, 12, day, 16, tzinfo=UTC) for day in (1, 2)],
            console,
        ),
        "UCI Online Retail, churns for 90 days": _outcome(
            retail,
            OutcomeQuestion(outcome="churn", horizon_days=90, num_times=4, every_days=30),
            [datetime(2011, 9, 10, tzinfo=UTC)],
            console,
        ),
        "UCI Online Retail, value": _value(
            retail, datetime(2011, 6, 10, tzinfo=UTC), 26 * 7, console
        ),
    }
    if store is not None:
        figures["satisfaction"] = _satisfaction(store, console)
    write(json, {"metrics": figures})


def _satisfaction(folder: Path, console: Console) -> dict[str, Any]:
    shop = load_shop(Store(folder), model_version(ScorerConfig()))
    bought = shop.events.filter(pl.col("event_type") == "purchase")["event_time"].sort()
    test = satisfaction_back_test(shop, now=bought[len(bought) * 3 // 4])
    console.print(outcome_table("satisfied with the next purchase", test))
    return dataclasses.asdict(test)


def _tables(file: Path) -> ShopTables:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        ingest(store, [file], now=_NOW)
        return ShopTables(
            items=store.scan("items").collect(),
            events=store.scan("events").collect(),
            reviews=TABLES["reviews"].create_empty(),
            signals=TABLES["review_signals"].create_empty(),
        )


def _outcome(
    tables: ShopTables, question: OutcomeQuestion, times: list[datetime], console: Console
) -> dict[str, Any]:
    # A few events of both logs have impossible dates.
    first = tables.events["event_time"].quantile(0.001)
    known = dataclasses.replace(tables, events=tables.events.filter(pl.col("event_time") >= first))
    test = back_test(known, question, times)
    most = ", ".join(f"{name} {gain:.2f}" for name, gain in list(test.importance.items())[:8])
    console.print(f"share of gain: {most}")
    console.print(outcome_table(question.told, test))
    return dataclasses.asdict(test)


def _value(tables: ShopTables, now: datetime, horizon_days: int, console: Console) -> dict:
    """Fit on purchase days before `now`; compare what was expected with what came."""
    priced = tables.events.lazy().with_columns(list_price_cents=pl.lit(None, dtype=pl.Int64))
    known = purchase_days(priced, as_of=now)
    later = priced.filter(pl.col("event_time") >= now)
    after = (
        later.filter(
            (pl.col("event_type") == "purchase")
            & (pl.col("event_time") < now + timedelta(days=horizon_days))
        )
        .group_by("user_id")
        .agg(
            came=pl.col("event_time").dt.date().n_unique(),
            brought=(pl.col("price_cents") * pl.col("quantity")).sum(),
        )
        .collect()
    )
    frame = known.join(after, on="user_id", how="left", maintain_order="left")
    came, brought = (frame[name].fill_null(0).to_numpy() for name in ("came", "brought"))
    value = customer_values(known, horizon_days=horizon_days)
    expected, money = value["expected_purchases"].to_numpy(), value["expected_cents"].to_numpy()
    repeats, age = known["num_repeats"].to_numpy(), known["age_days"].to_numpy()
    rate = repeats / np.maximum(age, 1) * horizon_days
    found = {
        "customers": len(frame),
        "purchase_days": int(came.sum()),
        "predicted_to_actual_purchases": float(expected.sum() / came.sum()),
        "own_rate_to_actual_purchases": float(rate.sum() / came.sum()),
        "predicted_to_actual_spend": float(np.nansum(money) / brought.sum()),
        "mean_absolute_error": float(np.abs(expected - came).mean()),
        "mean_absolute_error_own_rate": float(np.abs(rate - came).mean()),
    }
    console.print(found)
    return found


if __name__ == "__main__":
    typer.run(main)
