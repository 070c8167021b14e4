"""What the users of a segment are like, against everybody."""

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
_ROW = "_row"


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


def features_and_everybody(
    tables: SegmentTables, users: pl.Series
) -> tuple[pl.DataFrame, dict[str, Spread]]:
    """Return the key features of some users, and how they are spread over everybody.

    Each table is read once for both. Of more than two million users every so manieth in the order
    of the table counts for everybody, at least a million of them.

    Args:
        tables: As of a moment.
        users: Ids, each once.

    Returns:
        `user_id` and the features of the tables that are there, parallel to `users`; and spreads.

    Raises:
        SegmentError: A table was made later than the moment that is asked about.
    """
    found, of_everybody = users.rename("user_id").to_frame(), {}
    for frame, names in _of_everybody(tables):
        num = frame.select(pl.len()).collect(engine="streaming").item()
        is_counted = pl.col(_ROW) % max(1, num // _LEAST_SAMPLE) == 0
        is_asked = pl.col("user_id").is_in(users.implode())
        rows = frame.select("user_id", *names).with_row_index(_ROW).filter(is_counted | is_asked)
        # At most two million rows, and the users: quantiles are quicker of what is in memory.
        held = rows.collect(engine="streaming")
        of_everybody |= spreads(held.filter(is_counted).drop(_ROW))
        found = found.join(held.drop(_ROW), on="user_id", how="left", maintain_order="left")
    return found, of_everybody


def spreads(features: pl.DataFrame) -> dict[str, Spread]:
    """Return how each feature is spread over users.

    Args:
        features: `user_id` and numbers.
    """
    names = [name for name in features.columns if name != "user_id"]
    values = features.select(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names)
    known, mean = pl.all().count().name.suffix(" known"), pl.all().mean().name.suffix(" mean")
    quartiles = [pl.all().quantile(q, "nearest").name.suffix(f" {q}") for q in _QUANTILES]
    told = values.select(known, mean, *quartiles, num=pl.len()).row(0, named=True)
    return {
        name: Spread(
            known=told[f"{name} known"] / max(1, told["num"]),
            mean=told[f"{name} mean"],
            quartiles=(told[f"{name} 0.25"], told[f"{name} 0.5"], told[f"{name} 0.75"]),
        )
        for name in names
    }


def _of_everybody(tables: SegmentTables) -> list[tuple[pl.LazyFrame, list[str]]]:
    """Return tables of users with the names of their key features."""
    found = []
    for table, features in KEY_FEATURES.items():
        if table in tables.frames:
            frame = tables.read(table, "the distribution of features")
            known = frame.collect_schema().names()
            found.append((frame, [name for name in features if name in known]))
    return found
