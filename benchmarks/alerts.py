"""Alerts: what is found, how soon, how much of it is false, and how bombings are told apart.

python -m benchmarks.alerts [--seeds 201 ...] [--data ../shared/data] [--kept DIR] [--json F]

Shops of 100 items and 28,000 reviews in 180 days, with ten bad batches, three drifts and eight
bombings each, are generated, scored, and looked at on every day from the ninetieth on. Found within
7 days means: of the first review that comes of it. The peers look at the same reviews: the test
that looks once a day and item (binomial against the item's past, Benjamini-Hochberg), and the rule
of thumb (polarity drift below -2 standard errors over 90 days). Beside them stands how soon
somebody could tell who knows everything of a batch but that it is bad. Null series are simulated.
`--kept` keeps scored shops; `--data` also shows the strongest rises of real reviews, alerts or not,
whose words are printed and not written. `untouched` leaves out the items of incidents: every alert
is false then.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from benchmarks.alerts_bound import by_knowing_the_batch
from benchmarks.alerts_shops import Shop, real_shop, scored_shop
from benchmarks.harness import spread, write
from features.store import Store
from jobs.detect_alerts import LoadedTables, as_of, detect_in
from jobs.unmask_bombings import told_of
from recsys.abtest.multiplicity import adjusted
from recsys.alerts.config import AlertConfig
from recsys.alerts.opinions import Opinions, day_of, moment_of, opinions
from recsys.alerts.simulated_series import SeriesConfig, find_daily, simulate
from recsys.world import ShopTables

FIRST_LOOK, RATE, WITHIN_DAYS = 90, 0.1, 7
PARTS = [SHOPS, UNTOUCHED, NULL] = ["shops", "untouched", "null"]
_NUM_SHOWN = 3
_REAL = (
    "product_reviews_30k.csv.gz",
    "amazon_musical_instruments_2014_5core.jsonl.gz",
)
Found = list[dict[str, Any]]


def by_alerts(shop: Shop, config: AlertConfig) -> Found:
    """Look daily as the product does; every alert of an item, as it was opened and as it ended."""
    tables = LoadedTables(shop=shop.tables, users=shop.users)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for day in shop.days(FIRST_LOOK):
            report = detect_in(store, tables, day=day, config=config, demotion=0.5)
            opened = {change.alert_id for change in report.changes if change.state == "open"}
            for alert in report.alerts:
                if alert["scope"] != "item":
                    continue
                if alert["alert_id"] in opened:
                    found[alert["alert_id"], day] = alert | {"found_day": day}
                for (name, _), known in found.items():
                    if name == alert["alert_id"]:
                        known["last_kind"] = alert["kind"]
    return list(found.values())


def untouched(shop: Shop) -> dict[str, int]:
    """Look daily at the items of a shop that nothing happened to; return alerts by scope.

    All of them are false.
    """
    assert shop.incidents is not None
    rest = pl.col("item_id").is_in(shop.incidents["item_id"].implode()).not_()
    tables = ShopTables(
        items=shop.tables.items.filter(rest),
        events=shop.tables.events.filter(rest.fill_null(value=False)),
        reviews=shop.tables.reviews.filter(rest),
        signals=shop.tables.signals,
    )
    found: dict[str, int] = {"item": 0, "brand": 0, "category": 0}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for day in shop.days(FIRST_LOOK):
            detect_in(
                store,
                LoadedTables(shop=tables, users=shop.users),
                day=day,
                config=AlertConfig(),
                demotion=0.5,
            )
        if store.exists("alerts"):
            found |= dict(store.scan("alerts").collect()["scope"].value_counts().iter_rows())
    return found


def by_daily_tests(shop: Shop) -> Found:
    """Test each item's last 28 days on every day, Benjamini-Hochberg within the day."""
    heard = _opinions(shop)
    return _first_of_each(
        shop,
        lambda day: _tested(heard, day),
    )


def by_drift(shop: Shop) -> Found:
    """Flag items whose polarity of 90 days is two standard errors below that before."""
    felt = shop.tables.reviews.join(
        shop.tables.signals.select("review_id", "polarity"), on="review_id"
    ).with_columns(day=(pl.col("event_time").dt.epoch("s") // 86400))

    def flagged(day: int) -> list[str]:
        seen = felt.filter(pl.col("day") <= day).with_columns(late=pl.col("day") > day - 90)
        by = seen.group_by("item_id").agg(
            late=pl.col("polarity").filter("late").mean(),
            before=pl.col("polarity").filter(~pl.col("late")).mean(),
            n=pl.col("late").sum(),
            m=(~pl.col("late")).sum(),
            s=pl.col("polarity").std(),
        )
        error = pl.col("s") * (1 / pl.col("n") + 1 / pl.col("m")).sqrt()
        drift = (pl.col("late") - pl.col("before")) / error
        return by.filter(drift < -2)["item_id"].to_list()

    return _first_of_each(shop, flagged)


def _first_of_each(shop: Shop, flagged: Callable[[int], list[str]]) -> Found:
    found: dict[str, dict[str, Any]] = {}
    for day in shop.days(FIRST_LOOK):
        for item in flagged(day):
            found.setdefault(item, {"key": item, "found_day": day})
    return list(found.values())


def _tested(heard: Opinions, day: int) -> list[str]:
    seen = heard.judged.filter(pl.col("heard_day") <= day)
    late = pl.col("heard_day") > day - 28
    by = seen.group_by("item_id").agg(
        n=late.sum(),
        k=(late & pl.col("negative")).sum(),
        m=(~late).sum(),
        j=(~late & pl.col("negative")).sum(),
    )
    share = (by["j"].to_numpy() + 1) / (by["m"].to_numpy() + 4)
    n, k = by["n"].to_numpy(), by["k"].to_numpy()
    p = binom.sf(k, n, share) + 0.5 * binom.pmf(k, n, share)
    q = np.array(adjusted(p.tolist(), "benjamini-hochberg"))
    return by["item_id"].to_numpy()[q <= RATE].tolist()


def _opinions(shop: Shop) -> Opinions:
    tables = shop.tables
    return opinions(tables.reviews.lazy(), tables.signals.lazy(), tables.events.lazy())


def figures(shop: Shop, found: Found) -> dict[str, Any]:
    """Hold what was found against the truth."""
    assert shop.incidents is not None
    first = pl.col("first_review_at").dt.epoch("s") // 86400
    truth = {row["item_id"]: row for row in shop.incidents.with_columns(first=first).to_dicts()}
    real = [row for row in found if _is_real(row, truth)]
    delays: dict[str, list[int]] = {}
    kinds: dict[str, int] = {}
    ends: dict[str, int] = {}
    for item, row in truth.items():
        own = sorted(hit["found_day"] for hit in real if hit["key"] == item)
        if own:
            delays.setdefault(row["kind"], []).append(max(0, own[0] - row["first"]))
        hit = min(
            (hit for hit in real if hit["key"] == item and "kind" in hit),
            key=lambda hit: hit["found_day"],
            default=None,
        )
        if hit is not None:
            place = f"{row['kind']} -> {hit['kind']}"
            kinds[place] = kinds.get(place, 0) + 1
            place = f"{row['kind']} -> {hit.get('last_kind', hit['kind'])}"
            ends[place] = ends.get(place, 0) + 1
    counts = shop.incidents["kind"].value_counts()
    return {
        "found": len(found),
        "false": len(found) - len(real),
        "incidents": dict(counts.iter_rows()),
        "delays": delays,
        "kinds": kinds,
        "kinds_at_the_end": ends,
    }


def _is_real(hit: dict[str, Any], truth: dict[str, dict[str, Any]]) -> bool:
    row = truth.get(hit["key"])
    return row is not None and hit["found_day"] >= row["first"]


def joined(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return recall within the days by kind, the share of false alerts and median delays."""
    found, false = (sum(row[name] for row in rows) for name in ("found", "false"))
    total: dict[str, Any] = {
        "found": found,
        "false": false,
        "false_discovery_rate": false / max(1, found),
        "worst_shop": max(row["false"] / max(1, row["found"]) for row in rows),
    }
    for kind in ("bad_batch", "drift", "review_bombing"):
        num = sum(row["incidents"].get(kind, 0) for row in rows)
        delays = [delay for row in rows for delay in row["delays"].get(kind, [])]
        total[kind] = {
            "incidents": num,
            f"recall_{WITHIN_DAYS}_days": sum(d <= WITHIN_DAYS for d in delays) / num,
            "recall_14_days": sum(d <= 14 for d in delays) / num,
            "recall": len(delays) / num,
            "median_delay_days": statistics.median(delays) if delays else None,
        }
    for name in ("kinds", "kinds_at_the_end"):
        places = sorted({place for row in rows for place in row[name]})
        total[name] = {place: sum(row[name].get(place, 0) for row in rows) for place in places}
    return total


def null_series(seeds: list[int]) -> list[dict[str, Any]]:
    """Look at 1,000 series daily for half a year: none changes, or one in thirty does."""
    rows = []
    for wander in (0.0, 0.3, 0.6):
        for changed in (0.0, 0.03):
            shares, pooled, seconds, hits = [], [], [], []
            for seed in seeds:
                series = simulate(SeriesConfig(wander=wander, changed=changed), seed=seed)
                start = time.perf_counter()
                found = find_daily(series, AlertConfig(), first_look=364)
                seconds.append(time.perf_counter() - start)
                is_found = found.day_S >= 0
                real = is_found & (series.onset_S >= 0) & (found.day_S >= series.onset_S)
                for block in found.blocks:
                    own = is_found & (found.block_S == block)
                    shares.append(float((own & ~real).sum() / max(1, own.sum())))
                pooled.append(float((is_found & ~real).sum() / max(1, is_found.sum())))
                hits.append(float(real.sum() / max(1, (series.onset_S >= 0).sum())))
            rows.append(
                {
                    "wander": wander,
                    "changed": changed,
                    "blocks": len(shares),
                    "false_discovery_rate_of_a_block": float(np.mean(shares)),
                    "false_share_of_half_a_year": float(np.mean(pooled)),
                    "recall": float(np.mean(hits)) if changed else None,
                    "seconds": spread(seconds),
                }
            )
    return rows


def strongest(console: Console, shop: Shop, name: str) -> dict[str, Any]:
    """Look at real reviews week by week, and print the three strongest rises with their quotes.

    First the alerts, at the rate that is promised, by their evidence when they were opened; then,
    where there are fewer, what had the most evidence of all that was not enough for one.
    """
    config = AlertConfig(false_discovery_rate=RATE)
    tables, days = LoadedTables(shop=shop.tables, users=None), shop.days(365)[::7]
    alerts: dict[tuple[str, str], dict[str, Any]] = {}
    rest: dict[tuple[str, str], dict[str, Any]] = {}
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for day in days:
            start = time.perf_counter()
            report = detect_in(store, tables, day=day, config=config, demotion=0.5)
            seconds.append(time.perf_counter() - start)
            for alert in report.alerts:
                alerts.setdefault((alert["scope"], alert["key"]), alert | {"day": day})
            for row in report.nearest.iter_rows(named=True):
                subject, found = (row["scope"], row["key"]), row | {"day": day}
                found["onset"] = moment_of(row["onset"])
                known = rest.setdefault(subject, found)
                if row["log_e_value"] > known["log_e_value"]:
                    rest[subject] = found
    near = [row for subject, row in rest.items() if subject not in alerts]
    shown: list[dict[str, Any]] = []
    told: set[str] = set()
    for row in _by_evidence(list(alerts.values())) + _by_evidence(near):
        reviews = _negative_reviews(tables, row)
        # What an item, its brand and its categories show is one rise.
        if len(reviews & told) <= len(reviews) / 2:
            shown.append(row)
            told |= reviews
        if len(shown) == _NUM_SHOWN:
            break
    summary = {
        "data": name,
        "reviews": len(shop.tables.reviews),
        "of_wrong_days": shop.num_wrong,
        "looks": len(days),
        "seconds": sum(seconds),
        "seconds_a_look": spread(seconds),
        "alerts": len(alerts),
    }
    console.print(summary)
    return summary | {"strongest": [_shown(console, tables, row) for row in shown]}


def _negative_reviews(tables: LoadedTables, row: dict[str, Any]) -> set[str]:
    seen = as_of(tables, row["day"])
    judged = seen.judged(row["scope"], row["key"])
    bad = judged.filter(seen.bad(judged, row["aspect"]), pl.col("day") >= day_of(row["onset"]))
    return set(bad["review_id"])


def _by_evidence(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: -row["log_e_value"])


def _shown(console: Console, tables: LoadedTables, row: dict[str, Any]) -> dict[str, Any]:
    """Print a rise as of the day on which it was found, its words too; return all but these."""
    told = told_of(as_of(tables, row["day"]), row)
    kept = {key: row[key] for key in ("scope", "key", "aspect", "share_before", "q_value")}
    kept |= {key: told.fields[key] for key in ("kind", "num_negative", "num_reviews")}
    kept |= {
        "is_alert": row["q_value"] <= RATE,
        "log_e_value": row["log_e_value"],
        "onset": f"{row['onset']:%Y-%m-%d}",
        "found": f"{moment_of(row['day']):%Y-%m-%d}",
    }
    console.print(kept)
    for quote in told.quotes["quote"]:
        console.print(f"  “{quote}”", markup=False)
    return kept


def main(
    seeds: Annotated[list[int], typer.Option(help="Shops; 101, 102 were tuned on.")] = [  # noqa: B006
        201,
        202,
        203,
        204,
    ],
    parts: Annotated[list[str], typer.Option(help=", ".join(PARTS))] = PARTS,
    null_seeds: Annotated[int, typer.Option(help="Runs of each kind of null series.")] = 5,
    rate: Annotated[float, typer.Option(help="False discovery rate that shops promise.")] = RATE,
    data: Annotated[Path | None, typer.Option(help="Folder of real data.")] = None,
    kept: Annotated[Path | None, typer.Option(help="Folder that keeps scored shops.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Run the benchmark."""
    console = Console(width=150)
    content: dict[str, Any] = {"parts": parts}
    if SHOPS in parts:
        config = AlertConfig(false_discovery_rate=rate)
        content |= {"seeds": seeds, "rate": rate, **on_shops(console, seeds, kept, config)}
    if UNTOUCHED in parts:
        content["untouched"] = {seed: untouched(scored_shop(seed, kept)) for seed in seeds}
        console.print("alerts of items that nothing happened to", content["untouched"])
    if NULL in parts:
        content["null_series"] = null_series(list(range(1, null_seeds + 1)))
        for row in content["null_series"]:
            console.print(row)
    if data is not None:
        content["real"] = [
            strongest(console, real_shop(data / "reviews" / name, kept), name) for name in _REAL
        ]
    write(json, content)


def on_shops(
    console: Console, seeds: list[int], kept: Path | None, config: AlertConfig
) -> dict[str, Any]:
    """Look at sample shops in three ways."""
    ways: dict[str, Callable[[Shop], Found]] = {
        "alerts": lambda shop: by_alerts(shop, config),
        "daily tests, BH": by_daily_tests,
        "polarity drift": by_drift,
        "who knows the batch": lambda shop: by_knowing_the_batch(shop, RATE),
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    seconds = []
    for seed in seeds:
        shop = scored_shop(seed, kept)
        for name, find in ways.items():
            start = time.perf_counter()
            rows[name].append(figures(shop, find(shop)))
            if name == "alerts":
                looks = len(shop.days(FIRST_LOOK))
                seconds.append((time.perf_counter() - start) / looks)
        console.print(seed, {name: (of[-1]["found"], of[-1]["false"]) for name, of in rows.items()})
    totals = {name: joined(of) for name, of in rows.items()}
    console.print(_table(totals))
    for name in ("kinds", "kinds_at_the_end"):
        console.print(name, totals["alerts"][name])
    for kind in ("drift", "review_bombing"):
        console.print(kind, totals["alerts"][kind])
    console.print("seconds a look", spread(seconds))
    return {"shops": totals, "seconds_a_look": spread(seconds)}


def _table(totals: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="incidents of the sample shop")
    table.add_column("found by")
    for name in ("alerts", "false", "FDR", "worst shop", "batches in 7 days", "in 14 days", "ever"):
        table.add_column(name, justify="right")
    table.add_column("median days", justify="right")
    for name, total in totals.items():
        batch = total["bad_batch"]
        table.add_row(
            name,
            f"{total['found']}",
            f"{total['false']}",
            f"{total['false_discovery_rate']:.3f}",
            f"{total['worst_shop']:.3f}",
            f"{batch['recall_7_days']:.2f}",
            f"{batch['recall_14_days']:.2f}",
            f"{batch['recall']:.2f}",
            f"{batch['median_delay_days']}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
