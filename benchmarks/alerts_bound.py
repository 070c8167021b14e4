"""How soon a bad batch can be told at all: by somebody who knows everything but that it is bad."""

import math
from typing import Any

import numpy as np
import polars as pl

from benchmarks.alerts_shops import Shop
from recsys.alerts.opinions import day_of, opinions

_FINE, _NEGATIVE, _WORST, _RETURNED = range(4)
_SMOOTHING = 0.5


def by_knowing_the_batch(shop: Shop, rate: float) -> list[dict[str, Any]]:
    """Return the day on which each bad batch has enough evidence for somebody who knows it.

    Known are the item, the days of sale, how its buyers were heard before and how those of the
    whole batch were in the end: reviewed well, badly, as badly as can be, or sent the thing back.
    The evidence is the likelihood ratio of the two over who was heard of the batch so far. Enough
    is the number of items over the rate and the number of batches: what Benjamini and Hochberg's
    procedure asks of the last of them, if all are found.
    """
    assert shop.incidents is not None
    heard = _heard(shop)
    batches = shop.incidents.filter(pl.col("kind") == "bad_batch").to_dicts()
    enough = math.log(len(shop.tables.items) / (rate * len(batches)))
    found = []
    for batch in batches:
        start, end = day_of(batch["start"]), day_of(batch["end"])
        of_item = heard.filter(pl.col("item_id") == batch["item_id"])
        of_batch = of_item.filter(pl.col("day").is_between(start, end, closed="left"))
        before = of_item.filter(pl.col("day") < start)
        gain_K = np.log(_shares(of_batch)) - np.log(_shares(before))
        by_day = of_batch.sort("heard_day")
        evidence = gain_K[by_day["how"].to_numpy()].cumsum()
        # What is heard on one day is heard together.
        last = ~by_day["heard_day"].is_duplicated() | (by_day["heard_day"].diff(-1) != 0)
        told = by_day.filter(pl.Series(evidence >= enough) & last.fill_null(value=True))
        if len(told):
            found.append({"key": batch["item_id"], "found_day": told["heard_day"][0]})
    return found


def _heard(shop: Shop) -> pl.DataFrame:
    """Return `item_id, day, heard_day, how` of everybody who was heard, the day being of sale."""
    tables = shop.tables
    heard = opinions(tables.reviews.lazy(), tables.signals.lazy(), tables.events.lazy())
    how = pl.when("worst").then(_WORST).when("negative").then(_NEGATIVE).otherwise(_FINE)
    reviewed = heard.judged.filter(~pl.col("after_return")).select(
        "item_id", "day", "heard_day", how=how
    )
    back = heard.sales.filter("returned").select(
        "item_id", "day", heard_day="left_day", how=pl.lit(_RETURNED)
    )
    return pl.concat([reviewed, back], how="vertical_relaxed")


def _shares(heard: pl.DataFrame) -> np.ndarray:
    """Return the share of each way of being heard, shape (4,)."""
    counts = np.bincount(heard["how"].to_numpy(), minlength=_RETURNED + 1) + _SMOOTHING
    return counts / counts.sum()
