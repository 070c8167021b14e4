"""The table of exposures joined with what followed, as rows of a log.

Attribution: an outcome belongs to the last exposure of that item to that user before it, if it came
within the window. Rewards of a row:

    click         1 where a click is attributed to it
    purchase      1 where a purchase is
    satisfaction  of the first attributed purchase, in [-1, 1]: -1 where it was sent back, else the
                  polarity of the last judging review of it, else (stars - 3) / 2; 0 where nothing
                  was bought or said
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from features.opinion import JUDGING_SOURCES, polarity_of_stars
from recsys.errors import LogError

MOST_DAYS = 36_500
_PAIR = ["user_id", "item_id"]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """How outcomes are attributed.

    Attributes:
        window_days: A click or purchase counts up to this long after the exposure.
        judged_days: A return or review counts up to this long after the purchase.
        observed_until: End of the data; exposures whose window was not over by then are left out,
            as what followed is not known. None: everything is known.
    """

    window_days: float = 7.0
    judged_days: float = 60.0
    observed_until: datetime | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("window_days", "judged_days"):
            if not 0 < getattr(self, name) <= MOST_DAYS:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, wanted above 0 and at most {MOST_DAYS:,}"
                )


@dataclass(frozen=True, kw_only=True)
class ExposureRows:
    """Rows of a log, and what was left out.

    Attributes:
        rows: Columns of `recsys.off_policy.log`, with click, purchase and satisfaction.
        left_out: Exposures by why they are not among them.
    """

    rows: pl.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)


def exposure_rows(
    exposures: pl.DataFrame,
    events: pl.DataFrame,
    reviews: pl.DataFrame,
    signals: pl.DataFrame,
    attribution: Attribution | None = None,
) -> ExposureRows:
    """Join exposures with what followed.

    Args:
        exposures: `features.schema.Exposures`.
        events: `features.schema.Events`.
        reviews: `sentiment.schema.Reviews`.
        signals: `review_id, polarity`; reviews without any are told by their stars.
        attribution: How; None for the defaults.

    Raises:
        LogError: If nothing is left, or an answer stands in the table twice.
    """
    attribution = attribution or Attribution()
    twice = exposures["recommendation_id"].is_duplicated()
    if twice.any():
        raise LogError(
            f"{int(twice.sum()):,} of {len(exposures):,} exposures are duplicates, such as "
            f"{exposures.filter(twice)['recommendation_id'][0]!r}: an answer must be logged once"
        )
    kept, left_out = _known(exposures, attribution)
    rows = (
        kept.select(
            "user_id",
            "surface",
            "candidates",
            "event_time",
            "items",
            list_id="recommendation_id",
        )
        .explode("items", empty_as_null=False)
        .unnest("items")
        .rename({"rank": "position"})
        .drop("score", "source")
        .with_row_index("row")
    )
    if rows.is_empty():
        reasons = ", ".join(f"{count:,} {why}" for why, count in left_out.items())
        raise LogError(f"no exposure is left to evaluate from: {reasons or 'the table is empty'}")
    clicked = _attributed(rows, events, "click", attribution)
    bought = _attributed(rows, events, "purchase", attribution)
    felt = _felt(bought, events, reviews, signals, attribution)
    rows = (
        rows.join(clicked.select("row", click=pl.lit(1.0)), on="row", how="left")
        .join(bought.select("row", purchase=pl.lit(1.0)), on="row", how="left")
        .join(felt, on="row", how="left")
        .sort("row")
        .drop("row")
        .with_columns(pl.col("click", "purchase", "satisfaction").fill_null(0.0))
    )
    return ExposureRows(rows=rows, left_out=left_out)


def _known(
    exposures: pl.DataFrame, attribution: Attribution
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the exposures of which it is known what followed."""
    left_out = {}
    named = exposures.filter(pl.col("user_id").is_not_null())
    if len(named) < len(exposures):
        left_out["of visitors nobody knows, whose outcomes cannot be joined"] = len(
            exposures
        ) - len(named)
    if attribution.observed_until is None:
        return named, left_out
    window = timedelta(days=attribution.window_days)
    over = named.filter(pl.col("event_time") + window <= attribution.observed_until)
    if len(over) < len(named):
        left_out["whose window was not over at the end of the data"] = len(named) - len(over)
    return over, left_out


def _attributed(
    rows: pl.DataFrame, events: pl.DataFrame, kind: str, attribution: Attribution
) -> pl.DataFrame:
    """Return `row, user_id, item_id, at` of the first outcome attributed to each row."""
    outcomes = (
        events.filter(pl.col("event_type") == kind).select(*_PAIR, at="event_time").sort("at")
    )
    shown = rows.select(*_PAIR, "row", shown_at="event_time").sort("shown_at", "row")
    return (
        outcomes.join_asof(
            shown,
            left_on="at",
            right_on="shown_at",
            by=_PAIR,
            strategy="backward",
            tolerance=timedelta(days=attribution.window_days),
            check_sortedness=False,
        )
        .drop_nulls("row")
        .unique("row", keep="first", maintain_order=True)
        .select("row", *_PAIR, "at")
    )


def _felt(
    bought: pl.DataFrame,
    events: pl.DataFrame,
    reviews: pl.DataFrame,
    signals: pl.DataFrame,
    attribution: Attribution,
) -> pl.DataFrame:
    """Return `row, satisfaction` of attributed purchases that were judged or sent back."""
    tolerance = timedelta(days=attribution.judged_days)
    # Signals of a review without words say nothing.
    has_words = pl.concat_str("title", "text", ignore_nulls=True).str.len_bytes() > 0
    polarity = pl.when(has_words).then(pl.col("polarity").cast(pl.Float64))
    stars = polarity_of_stars(pl.col("rating").cast(pl.Float64))
    judged = (
        reviews.filter(pl.col("source").is_in(JUDGING_SOURCES))
        .join(signals.select("review_id", "polarity"), on="review_id", how="left")
        .select(
            *_PAIR,
            "event_time",
            "seq",
            felt=pl.coalesce(polarity, stars),
        )
        .drop_nulls(["user_id", "item_id", "felt"])
    )
    returned = events.filter(pl.col("event_type") == "return").select(
        *_PAIR, "event_time", "seq", felt=pl.lit(-1.0)
    )
    bought = bought.sort("at", "row")
    found = [
        told.sort("event_time", "seq")
        .join_asof(
            bought,
            left_on="event_time",
            right_on="at",
            by=_PAIR,
            tolerance=tolerance,
            check_sortedness=False,
        )
        .drop_nulls("row")
        .group_by("row", maintain_order=True)
        .agg(satisfaction=pl.col("felt").last())
        for told in (returned, judged)
    ]
    return pl.concat(found).unique("row", keep="first", maintain_order=True)
