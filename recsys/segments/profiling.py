"""What the users of a segment are like, against everybody."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recsys.segments.tables import SegmentTables

KEY_FEATURES = {
    "user_profiles": (
        "num_purchases",
        "spend_cents",
        "days_since_purchase",
        "return_rate",
        "num_reviews",
        "polarity_mean",
    ),
    "user_outcomes": ("churn_probability", "expected_cents"),
}
_QUANTILES = (0.25, 0.5, 0.75)
_LEAST_SAMPLE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a feature is spread over some users.

    Attributes:
        known: Share of users whose value is known, within 0..1; 0 of nobody.
        mean: Of those; None without any.
        quartiles: Lower, median and upper of those, each the value that is nearest.
    """

    known: float
    mean: float | None
    quartiles: tuple[float | None, float | None, float | None]


def features_of(tables: SegmentTables, users: pl.Series) -> pl.DataFrame:
    """Return `user_id` and the key features of some users, of the tables that are there.

    Raises:
        SegmentError: A table was made later than the moment that is asked about.
    """
    found = users.rename("user_id").to_frame()
    for frame, names in _of_everybody(tables):
        rows = frame.select("user_id", *names).join(found.lazy(), on="user_id", how="semi")
        found = found.join(rows.collect(engine="streaming"), on="user_id", how="left")
    return found


def spreads(features: pl.DataFrame) -> dict[str, Spread]:
    """Return how each feature is spread over users; see `features_of`."""
    names = [name for name in features.columns if name != "user_id"]
    return _spreads(features.lazy(), names, every=1)


def spreads_of_everybody(tables: SegmentTables) -> dict[str, Spread]:
    """Return how key features are spread over everybody.

    Of more than two million users every so manieth in the order of the table counts, at least a
    million of them.

    Raises:
        SegmentError: A table was made later than the moment that is asked about.
    """
    found = {}
    for frame, names in _of_everybody(tables):
        num = frame.select(pl.len()).collect(engine="streaming").item()
        found |= _spreads(frame, names, every=max(1, num // _LEAST_SAMPLE))
    return found


def _of_everybody(tables: SegmentTables) -> list[tuple[pl.LazyFrame, list[str]]]:
    """Return tables of users with the names of their key features."""
    found = []
    for table, features in KEY_FEATURES.items():
        if table in tables.frames:
            frame = tables.read(table, "the distribution of features")
            known = frame.collect_schema().names()
            found.append((frame, [name for name in features if name in known]))
    return found


def _spreads(frame: pl.LazyFrame, names: Sequence[str], *, every: int) -> dict[str, Spread]:
    values = frame.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names)
    some = values if every == 1 else values.gather_every(every)
    known, mean = pl.all().count().name.suffix(" known"), pl.all().mean().name.suffix(" mean")
    quartiles = [pl.all().quantile(q, "nearest").name.suffix(f" {q}") for q in _QUANTILES]
    # At most two million rows: quantiles are quicker of what is in memory.
    held = some.collect(engine="streaming")
    told = held.select(known, mean, *quartiles, num=pl.len()).row(0, named=True)
    return {
        name: Spread(
            known=told[f"{name} known"] / max(1, told["num"]),
            mean=told[f"{name} mean"],
            quartiles=(told[f"{name} 0.25"], told[f"{name} 0.5"], told[f"{name} 0.75"]),
        )
        for name in names
    }
