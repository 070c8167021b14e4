"""How well repurchases are foreseen: what people buy again, ranked by what they bought before.

Everything each user bought before the cut is ranked; what of it they buy within the horizon is to
be found. Users who buy nothing again are not asked about. Beside the source stand the two plain
answers: what was bought most often, and what was bought last.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recsys.interactions import IdMap, Interactions
from recsys.metrics import summarise, target_ranks
from recsys.query import Query, Repeats
from recsys.repurchase import (
    NAME,
    RepurchaseConfig,
    RepurchaseSource,
    fit_replenishment,
)

OFTEN, LAST = "bought_often", "bought_last"
_BATCH_USERS = 512


def evaluate_repurchases(
    events: pl.DataFrame, items: pl.DataFrame, *, as_of: datetime, config: RepurchaseConfig
) -> dict[str, dict[str, float]] | None:
    """Return metrics of the source and of the plain answers, by name, over users who bought again.

    Args:
        events: `features.schema.Events`.
        items: `features.schema.Items`; the last of an item's categories, the narrowest, counts.
        as_of: The cut: what is from then on is not known.
        config: How repurchases are foreseen; what is to be found lies within its horizon.

    Returns:
        See `recsys.metrics.summarise`, with `num_users`; None where nobody bought anything again
        within the horizon.
    """
    purchases = events.filter(pl.col("event_type") == "purchase").select(
        "user_id", "item_id", "event_time", "seq"
    )
    past = purchases.filter(pl.col("event_time") < as_of)
    until = as_of + timedelta(days=config.horizon_days)
    again = (
        purchases.filter((pl.col("event_time") >= as_of) & (pl.col("event_time") < until))
        .select("user_id", "item_id")
        .unique()
        .join(past, on=["user_id", "item_id"], how="semi")
    )
    item_ids, user_ids = IdMap.of(items["item_id"]), IdMap.of(past["user_id"])
    log = purchase_log(past, users=user_ids, items=item_ids)
    source = RepurchaseSource(
        name=NAME, replenishment=fit_replenishment(log, narrowest(items, item_ids), config)
    )
    targets = again.with_columns(
        user=pl.Series(user_ids.index(again["user_id"])),
        item=pl.Series(item_ids.index(again["item_id"])),
    ).filter(pl.col("item") >= 0)
    if targets.is_empty():
        return None
    of_user = targets.sort("user", "item").group_by("user", maintain_order=True).agg("item")
    users = of_user["user"].to_numpy()
    wanted = [np.array(found) for found in of_user["item"].to_list()]
    now = int(as_of.timestamp() * 1e6)
    ranks: dict[str, list[np.ndarray]] = {NAME: [], OFTEN: [], LAST: []}
    for start in range(0, len(users), _BATCH_USERS):
        part = users[start : start + _BATCH_USERS]
        for name, scores in _scores(source, log, part, now).items():
            for b, found in enumerate(scores):
                ranks[name].append(
                    target_ranks(found, np.zeros(0, dtype=np.int64), wanted[start + b])
                )
    return {
        name: summarise(of_users) | {"num_users": float(len(users))}
        for name, of_users in ranks.items()
    }


def _scores(
    source: RepurchaseSource, log: Interactions, users: np.ndarray, now: int
) -> dict[str, np.ndarray]:
    """Return scores of all items by each way, -inf of what was never bought, shape (B, I)."""
    histories = log.histories(users)
    query = Query.of_repeats(Repeats(purchases=histories, now=now))
    shape = (len(users), log.num_items)
    times, last = np.zeros(shape), np.full(shape, -np.inf)
    np.add.at(times, (histories.row, histories.item_idx), 1.0)
    np.maximum.at(last, (histories.row, histories.item_idx), histories.event_time - float(now))
    never = times == 0
    due = source.score(query).astype(np.float64)
    # Of what is not due, or bought as often, that bought last goes first.
    recency = np.where(never, 0.0, 1e-9 / (1.0 - last / 86_400e6))
    return {
        NAME: np.where(never, -np.inf, due + recency),
        OFTEN: np.where(never, -np.inf, times + recency),
        LAST: last,
    }


def purchase_log(purchases: pl.DataFrame, *, users: IdMap, items: IdMap) -> Interactions:
    """Build every purchase, with repeats, from `user_id, item_id, event_time, seq`."""
    unknown = pl.lit(None, dtype=pl.Float32)
    frame = purchases.with_columns(polarity=unknown, stars=unknown)
    return Interactions.from_frame(frame, users=users, items=items, repeats=True)


def narrowest(items: pl.DataFrame, ids: IdMap) -> np.ndarray:
    """Return the index of each item's last category, -1 for none, int64, shape (I,)."""
    last = items.select("item_id", category=pl.col("categories").list.last())
    frame = pl.DataFrame({"item_id": pl.Series(ids.ids.tolist(), dtype=pl.String)}).join(
        last, on="item_id", how="left", maintain_order="left"
    )
    names = IdMap.of_columns([frame["category"]])
    return names.index(frame["category"].fill_null(""))
