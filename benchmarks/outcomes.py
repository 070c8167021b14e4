"""How well outcomes are told: all features against recency, frequency and money.

python -m benchmarks.outcomes --data ../shared/data [--json F]

Taobao: who, known by midnight of a day, buys within the next day. UCI Online Retail: which customer
buys nothing within 90 days, and how many purchase days and how much money customers bring within
them (BG/NBD and Gamma-Gamma). Strict in time: models learn from times whose horizon ends before the
time at which users are told; nothing is chosen on what comes after.

Peers read recency, frequency and money alone: a logistic regression on their logarithms, and the
same trees as ours with the same folds.
"""

import dataclasses
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import write
from features.schema import TABLES
from features.store import Store
from jobs.ingest_tables import ingest
from recsys.customer_value import PurchaseHistories, fit_bg_nbd, fit_gamma_gamma
from recsys.outcomes import OutcomeQuestion, fit_outcome, outcome_rows
from recsys.propensity import FEATURES, RFM, feature_matrix
from recsys.propensity_evaluation import auc_gain, outcome_figures
from recsys.world import ShopTables

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_UNIT_DAYS = 7.0


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the data.")],
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=120)
    taobao = _tables(data / "events" / "taobao_user_behavior.csv.gz")
    retail = _tables(data / "events" / "uci_online_retail.csv.gz")
    figures = {
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
            retail, datetime(2011, 6, 10, tzinfo=UTC), 26 * 7.0, console
        ),
    }
    write(json, {"metrics": figures})


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
    tables: ShopTables, question: OutcomeQuestion, asked: list[datetime], console: Console
) -> dict[str, dict]:
    """Fit before each time asked about, and measure all times together."""
    # A few events of both logs have impossible dates.
    first = tables.events["event_time"].quantile(0.001)
    told = {"all features": [], "RFM, logistic": [], "RFM, trees": []}
    label, user = [], []
    known = dataclasses.replace(tables, events=tables.events.filter(pl.col("event_time") >= first))
    for now in asked:
        rows = outcome_rows(known, question, [now])
        for name, names in (("all features", FEATURES), ("RFM, trees", RFM)):
            model = fit_outcome(known, question, now=now, names=names)
            told[name].append(model.predict(feature_matrix(rows, names)))
            if name == "all features":
                most = ", ".join(f"{name} {gain:.2f}" for name, gain in model.importance().items())
                console.print(f"{now:%Y-%m-%d}, share of gain: {most[:160]}")
        learned = outcome_rows(known, question, question.times(now, first))
        peer = make_pipeline(StandardScaler(), LogisticRegression())
        peer.fit(_rfm(learned), learned["label"].to_numpy())
        told["RFM, logistic"].append(peer.predict_proba(_rfm(rows))[:, 1])
        label.append(rows["label"].to_numpy())
        user.append(rows["user_id"].to_numpy())
    actual, who = np.concatenate(label), np.unique(np.concatenate(user), return_inverse=True)[1]
    probability = {name: np.concatenate(parts) for name, parts in told.items()}
    found = {
        name: dataclasses.asdict(outcome_figures(values, actual, who))
        for name, values in probability.items()
    }
    table = Table(
        "", "AUC (95%)", "PR-AUC", "lift of a tenth", "ECE", "predicted to actual",
        title=f"{question.outcome} within {question.horizon_days:g} days: {int(actual.sum()):,} "
        f"of {len(actual):,}",
    )  # fmt: skip
    for name, row in found.items():
        table.add_row(
            name,
            f"{row['auc']:.3f} ({row['auc_low']:.3f}..{row['auc_high']:.3f})",
            f"{row['pr_auc']:.3f}",
            f"{row['lift']:.2f}",
            f"{row['calibration_error']:.3f}",
            f"{row['predicted_to_actual']:.2f}",
        )
    console.print(table)
    gains = {}
    for peer_name in ("RFM, logistic", "RFM, trees"):
        gain, low, high = auc_gain(probability["all features"], probability[peer_name], actual, who)
        gains[f"gain over {peer_name}"] = {"auc": gain, "low": low, "high": high}
        console.print(f"AUC above {peer_name}: {gain:+.3f} ({low:+.3f}..{high:+.3f})")
    return {**found, **gains, "data": {"asked": len(actual), "outcomes": int(actual.sum())}}


def _rfm(rows: pl.DataFrame) -> np.ndarray:
    values = feature_matrix(rows, RFM)
    never = np.isnan(values[:, 0])
    recency = np.where(never, 0.0, values[:, 0])
    return np.column_stack([np.log1p(recency), never, np.log1p(np.maximum(values[:, 1:], 0.0))])


def _value(tables: ShopTables, now: datetime, horizon_days: float, console: Console) -> dict:
    """Fit on purchase days before `now`; compare what was expected with what came."""
    bought = tables.events.filter(pl.col("event_type") == "purchase")
    days = bought.group_by("user_id", day=pl.col("event_time").dt.date()).agg(
        spend=(pl.col("price_cents") * pl.col("quantity")).sum() / 100
    )
    before, horizon = pl.col("day") < now.date(), pl.duration(days=horizon_days)
    after = ~before & (pl.col("day") < pl.lit(now.date()) + horizon)
    known = (
        days.sort("user_id", "day")
        .group_by("user_id", maintain_order=True)
        .agg(
            day=pl.col("day").filter(before),
            spend=pl.col("spend").filter(before),
            came=after.sum(),
            brought=pl.col("spend").filter(after).sum(),
        )
        .filter(pl.col("day").list.len() > 0)
    )
    first, last = pl.col("day").list.first(), pl.col("day").list.last()
    frame = known.select(
        x=pl.col("day").list.len() - 1,
        t_x=(last - first).dt.total_days() / _UNIT_DAYS,
        age=(pl.lit(now.date()) - first).dt.total_days() / _UNIT_DAYS,
        mean=pl.col("spend").list.slice(1).list.mean().fill_null(0.0),
        came="came",
        brought="brought",
    )
    histories = PurchaseHistories(
        num_repeats=frame["x"].to_numpy().astype(float),
        last_repeat=frame["t_x"].to_numpy(),
        age=frame["age"].to_numpy(),
    )
    value = fit_gamma_gamma(histories.num_repeats, frame["mean"].to_numpy())
    model = fit_bg_nbd(histories)
    expected = model.expected_purchases(histories, horizon_days / _UNIT_DAYS)
    money = expected * value.expected_spend(histories.num_repeats, frame["mean"].to_numpy())
    rate = histories.num_repeats / np.maximum(histories.age, 1e-9) * horizon_days / _UNIT_DAYS
    came, brought = frame["came"].to_numpy(), frame["brought"].to_numpy()
    found = {
        "customers": len(frame),
        "purchase_days": int(came.sum()),
        "predicted_to_actual_purchases": float(expected.sum() / came.sum()),
        "own_rate_to_actual_purchases": float(rate.sum() / came.sum()),
        "predicted_to_actual_spend": float(money.sum() / brought.sum()),
        "mean_absolute_error": float(np.abs(expected - came).mean()),
        "mean_absolute_error_own_rate": float(np.abs(rate - came).mean()),
    }
    console.print(found)
    return found


if __name__ == "__main__":
    typer.run(main)
