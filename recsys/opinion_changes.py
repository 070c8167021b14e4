"""Where people speak better or worse than before: recent polarity against that before."""

import numpy as np
import polars as pl
from scipy.stats import t as student_t
from scipy.stats import ttest_ind_from_stats

from recsys.abtest.multiplicity import adjusted

CHANGES_SCHEMA = pl.Schema(
    {
        "key": pl.String(),
        "num_recent": pl.UInt32(),
        "num_before": pl.UInt32(),
        "recent": pl.Float64(),
        "before": pl.Float64(),
        "change": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "q_value": pl.Float64(),
    }
)


def opinion_changes(
    felt: pl.DataFrame, *, recent_days: int = 28, before_days: int = 112, least: int = 5
) -> pl.DataFrame:
    """Return `CHANGES_SCHEMA`, the greatest fall first.

    Welch's test of two means (Welch 1947); q-values by Benjamini and Hochberg over all keys.

    Args:
        felt: `key, event_time, polarity`.
        recent_days: The recent window, ending with the last row.
        before_days: The window before it.
        least: Opinions that each window needs; other keys are left out.
    """
    age = pl.col("event_time").max() - pl.col("event_time")
    aged = felt.select("key", "polarity", days=age.dt.total_microseconds() / 86_400_000_000)
    is_recent = pl.col("days") < recent_days
    is_before = ~is_recent & (pl.col("days") < recent_days + before_days)
    sums = aged.group_by("key").agg(
        num_recent=is_recent.sum(),
        num_before=is_before.sum(),
        recent=pl.col("polarity").filter(is_recent).mean(),
        before=pl.col("polarity").filter(is_before).mean(),
        std_recent=pl.col("polarity").filter(is_recent).std(),
        std_before=pl.col("polarity").filter(is_before).std(),
    )
    sums = sums.filter((pl.col("num_recent") >= least) & (pl.col("num_before") >= least))
    if sums.is_empty():
        return pl.DataFrame(schema=CHANGES_SCHEMA)
    # People who all say exactly the same would have no spread at all.
    spread = [np.maximum(sums[name].to_numpy(), 0.01) for name in ("std_recent", "std_before")]
    means = [sums[name].to_numpy() for name in ("recent", "before")]
    counts = [sums[name].to_numpy() for name in ("num_recent", "num_before")]
    tested = ttest_ind_from_stats(
        means[0], spread[0], counts[0], means[1], spread[1], counts[1], equal_var=False
    )
    errors = [deviation**2 / count for deviation, count in zip(spread, counts, strict=True)]
    # Degrees of freedom by Welch and Satterthwaite.
    parts = [error**2 / (count - 1) for error, count in zip(errors, counts, strict=True)]
    degrees = (errors[0] + errors[1]) ** 2 / (parts[0] + parts[1])
    reach = student_t.ppf(0.975, degrees) * np.sqrt(errors[0] + errors[1])
    change = means[0] - means[1]
    return (
        sums.with_columns(
            change=change,
            low=change - reach,
            high=change + reach,
            q_value=pl.Series(adjusted(tested.pvalue.tolist(), "benjamini-hochberg")),
        )
        .select(CHANGES_SCHEMA.names())
        .cast(dict(CHANGES_SCHEMA))  # type: ignore[arg-type]
        .sort("change", "key")
    )
