"""Tell what every customer is about to need again, and how well the same was told before."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.store import Store
from jobs.errors import NotDecidableError
from recsys.interactions import IdMap, Interactions
from recsys.query import Query, Repeats
from recsys.repurchase import NAME, RepurchaseConfig, RepurchaseSource, fit_replenishment
from recsys.repurchase_evaluation import evaluate_repurchases, narrowest, purchase_log

TABLE = "repurchases"
_BATCH_USERS = 4096


@dataclass(frozen=True, kw_only=True)
class RepurchasesReport:
    """What was written, and how far to trust it.

    Attributes:
        as_of: The customers' present.
        horizon_days: How far ahead.
        rows: Customers and items told.
        users: Customers told.
        items: Items told.
        most: `item_id, title, users, expected` of the items that most purchases are expected of.
        back_test: How well it was told a horizon ago what was bought again since, by the source and
            by plain answers, see `recsys.repurchase_evaluation`; None where nobody did.
    """

    as_of: datetime
    horizon_days: float
    rows: int
    users: int
    items: int
    most: pl.DataFrame
    back_test: dict[str, dict[str, float]] | None


def repurchases(
    store: Store, *, as_of: datetime, config: RepurchaseConfig, num_most: int = 10
) -> RepurchasesReport:
    """Write the table `repurchases`: one row a customer and item that has come round for them.

    Columns: `user_id, item_id`; `chance` that they buy it again within the horizon, in (0, 1];
    `last_bought_at`; `num_days` on which they bought it; `as_of`; `horizon_days`. Sorted by
    customer, the likeliest first. Where nobody ever bought anything twice it is empty.

    Args:
        store: Where the tables are.
        as_of: Nothing at or after this time is used.
        config: How repurchases are foreseen.
        num_most: How many items to report.

    Raises:
        StoreError: If a table is missing.
        NotDecidableError: If nobody bought anything before `as_of`.
    """
    items = store.scan("items").collect()
    events = store.scan("events").filter(pl.col("event_type") == "purchase").collect()
    past = events.filter(pl.col("event_time") < as_of)
    users, catalogue = IdMap.of(past["user_id"]), IdMap.of(items["item_id"])
    log = purchase_log(past, users=users, items=catalogue)
    if not len(log):
        raise NotDecidableError(
            f"nobody bought an item of the catalogue before {as_of.isoformat()}: nothing can come "
            "round"
        )
    source = RepurchaseSource(
        name=NAME, replenishment=fit_replenishment(log, narrowest(items, catalogue), config)
    )
    times = past.group_by("user_id", "item_id").agg(
        last_bought_at=pl.col("event_time").max(),
        num_days=pl.col("event_time").dt.date().n_unique().cast(pl.Int64),
    )
    told = (
        _told(source, log, users, catalogue, int(as_of.timestamp() * 1e6))
        .join(times, on=["user_id", "item_id"], how="left")
        .with_columns(
            as_of=pl.lit(as_of).cast(pl.Datetime("us", "UTC")),
            horizon_days=pl.lit(config.horizon_days),
        )
        .sort(["user_id", "chance", "item_id"], descending=[False, True, False])
    )
    store.overwrite(TABLE, told)
    earlier = as_of - timedelta(days=config.horizon_days)
    most = (
        told.group_by("item_id")
        .agg(users=pl.len(), expected=pl.col("chance").sum())
        .join(items.select("item_id", "title"), on="item_id", how="left")
        .sort(["expected", "item_id"], descending=[True, False])
        .head(num_most)
    )
    return RepurchasesReport(
        as_of=as_of,
        horizon_days=config.horizon_days,
        rows=len(told),
        users=told["user_id"].n_unique(),
        items=told["item_id"].n_unique(),
        most=most.select("item_id", "title", "users", "expected"),
        back_test=evaluate_repurchases(past, items, as_of=earlier, config=config),
    )


def _told(
    source: RepurchaseSource, log: Interactions, users: IdMap, items: IdMap, now: int
) -> pl.DataFrame:
    """Return `user_id, item_id, chance` of everything that has come round."""
    parts = []
    for start in range(0, len(users), _BATCH_USERS):
        part = np.arange(start, min(start + _BATCH_USERS, len(users)))
        bought = log.histories(part)
        found = source.chances(Query.of_repeats(Repeats(purchases=bought, now=now))).tocoo()
        parts.append(
            pl.DataFrame(
                {
                    "user_id": users.ids[part[found.row]].tolist(),
                    "item_id": items.ids[found.col].tolist(),
                    "chance": found.data.astype(np.float64),
                },
                schema={"user_id": pl.String, "item_id": pl.String, "chance": pl.Float64},
            )
        )
    return pl.concat(parts)
