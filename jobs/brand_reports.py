"""Figures of the reports on satisfaction and on brands: from tables to frames, nothing drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features.opinion import JUDGING_SOURCES, NEGATIVE_BELOW
from features.satisfaction_index import PERIODS, SatisfactionConfig, satisfaction_index
from features.visibility import Visible
from recsys.world import ShopTables

_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class SatisfactionReport:
    """Satisfaction indices of `features.satisfaction_index`, by what they are grouped by."""

    as_of: datetime
    period: str
    by: Mapping[str, pl.DataFrame]
    brand_periods: pl.DataFrame


def satisfaction_figures(shop: ShopTables, visible: Visible, *, period: str) -> SatisfactionReport:
    """Return indices by brand, category, aspect and period, and by brand and period.

    Raises:
        ValueError: If the period is unknown.
    """
    config = SatisfactionConfig(period=period)

    def index(*by: str) -> pl.DataFrame:
        return satisfaction_index(
            shop.items.lazy(), visible, shop.signals.lazy(), by=by, config=config
        )

    return SatisfactionReport(
        as_of=visible.as_of,
        period=period,
        by={key: index(key) for key in ("brand", "category", "aspect", "period")},
        brand_periods=index("brand", "period"),
    )


@dataclass(frozen=True, kw_only=True)
class BrandReport:
    """How much is said of brands, and how.

    Attributes:
        as_of: When.
        period: Of `voice_periods`.
        voice: `brand, num_reviews, share, low, high, negative, negative_low, negative_high,
            polarity`: share of all reviews of branded items, and of a brand's reviews that are
            negative, with 95% Wilson intervals.
        voice_periods: The same by `period`.
        satisfaction: Index by brand.
        complaints: `brand, aspect, num_reviews`: the aspects complained of most.
    """

    as_of: datetime
    period: str
    voice: pl.DataFrame
    voice_periods: pl.DataFrame
    satisfaction: pl.DataFrame
    complaints: pl.DataFrame


def brand_figures(shop: ShopTables, visible: Visible, *, period: str) -> BrandReport:
    """Return share of voice, sentiment and complaints by brand.

    Raises:
        ValueError: If the period is unknown.
    """
    config = SatisfactionConfig(period=period)
    aspect = pl.col("aspects").struct
    felt = (
        visible.reviews.lazy()
        .filter(pl.col("source").is_in(JUDGING_SOURCES))
        .join(shop.items.lazy().select("item_id", "brand"), on="item_id")
        .drop_nulls("brand")
        .join(
            shop.signals.lazy()
            .filter(pl.col("embedding").is_not_null())
            .select("review_id", "polarity", "aspects"),
            on="review_id",
        )
        .with_columns(
            pl.col("polarity").cast(pl.Float64),
            period=pl.col("event_time").dt.truncate(PERIODS[period]),
        )
        .collect()
    )
    complaints = (
        felt.select("brand", "review_id", "aspects")
        .explode("aspects", keep_nulls=False, empty_as_null=False)
        .select(
            "brand", "review_id", aspect=aspect.field("aspect"), polarity=aspect.field("polarity")
        )
        .filter(pl.col("polarity") < NEGATIVE_BELOW)
        .group_by("brand", "aspect")
        .agg(num_reviews=pl.col("review_id").n_unique())
        .sort("num_reviews", "brand", "aspect", descending=[True, False, False])
    )
    return BrandReport(
        as_of=visible.as_of,
        period=period,
        voice=_voice(felt, []).sort("num_reviews", "brand", descending=[True, False]),
        voice_periods=_voice(felt, ["period"]).sort("period", "brand"),
        satisfaction=satisfaction_index(
            shop.items.lazy(), visible, shop.signals.lazy(), by=["brand"], config=config
        ),
        complaints=complaints,
    )


def _voice(felt: pl.DataFrame, within: list[str]) -> pl.DataFrame:
    counted = felt.group_by("brand", *within).agg(
        num_reviews=pl.len().cast(pl.Int64),
        num_negative=(pl.col("polarity") < NEGATIVE_BELOW).sum().cast(pl.Int64),
        polarity=pl.col("polarity").mean(),
    )
    whole = pl.col("num_reviews").sum()
    counted = counted.with_columns(all=whole.over(within) if within else whole)
    share, low, high = _wilson(pl.col("num_reviews"), pl.col("all"))
    negative, worse, worst = _wilson(pl.col("num_negative"), pl.col("num_reviews"))
    return counted.with_columns(
        share=share,
        low=low,
        high=high,
        negative=negative,
        negative_low=worse,
        negative_high=worst,
    ).drop("all")


def _wilson(count: pl.Expr, total: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return a share and the ends of its 95% interval (Wilson 1927)."""
    share = count / total
    middle = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    reach = (share * (1 - share) / total + _Z**2 / (4 * total**2)).sqrt() * _Z / (1 + _Z**2 / total)
    return share, middle - reach, middle + reach
