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


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a feature is spread over some users.

    Attributes:
        known: Users whose value is known.
        mean: Of those; None without any.
        quartiles: Lower, median and upper of those, each the value that is nearest.
    """

    known: int
    mean: float | None
    quartiles: tuple[float | None, float | None, float | None]


def spreads(tables: SegmentTables, users: pl.Series | None = None) -> dict[str, Spread]:
    """Return how key features are spread, of the tables that are there.

    Args:
        tables: As of a moment.
        users: Whose; None for everybody.
    """
    found = {}
    for table, features in KEY_FEATURES.items():
        if table not in tables.frames:
            continue
        frame = tables.read(table, "the distribution of features")
        names = [name for name in features if name in frame.collect_schema().names()]
        if users is not None:
            wanted = users.rename("user_id").to_frame().lazy()
            frame = frame.join(wanted, on="user_id", how="semi")
        values = {name: pl.col(name).cast(pl.Float64).fill_nan(None) for name in names}
        row = frame.select(
            expression.alias(f"{name} {what}")
            for name, value in values.items()
            for what, expression in (
                ("known", value.count()),
                ("mean", value.mean()),
                *((f"{q}", value.quantile(q, "nearest")) for q in _QUANTILES),
            )
        ).collect(engine="streaming")
        told = row.row(0, named=True)
        for name in names:
            low, median, high = (told[f"{name} {q}"] for q in _QUANTILES)
            found[name] = Spread(
                known=told[f"{name} known"],
                mean=told[f"{name} mean"],
                quartiles=(low, median, high),
            )
    return found
