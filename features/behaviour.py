"""What users do and what is done with items: the measures, and the features declared over them."""

import polars as pl

from features.feature import Feature, Measure, Scope, days_since, ratio, total

WINDOWS_DAYS = (1, 7, 30, 90, 365)
_WHEN = {None: "ever", 1: "yesterday and today"}
# `event_time` of an event, and the price of one unit: what was paid, else what the item lists at.
_TIME = pl.col("event_time")
_PRICE = pl.coalesce("price_cents", "list_price_cents")


def _is(kind: str) -> pl.Expr:
    return pl.col("event_type") == kind


def _count(name: str, kind: str) -> Measure:
    return Measure(name=name, value=_is(kind).cast(pl.Int64))


def _of_purchases(value: pl.Expr) -> pl.Expr:
    return pl.when(_is("purchase")).then(value)


VIEWS = _count("views", "view")
CARTS = _count("carts", "cart")
PURCHASES = _count("purchases", "purchase")
RETURNS = _count("returns", "return")
SPEND = Measure(name="spend_cents", value=_of_purchases(_PRICE * pl.col("quantity").fill_null(1)))
PRICES = Measure(name="prices_cents", value=_of_purchases(_PRICE))
PRICED = Measure(name="priced", value=_of_purchases(_PRICE).is_not_null().cast(pl.Int64))
FIRST_TIME = Measure(name="first_time", value=_TIME, how="min")
LAST_TIME = Measure(name="last_time", value=_TIME, how="max")
LAST_PURCHASE = Measure(name="last_purchase_time", value=_of_purchases(_TIME), how="max")

MEASURES = (
    VIEWS,
    CARTS,
    PURCHASES,
    RETURNS,
    SPEND,
    PRICES,
    PRICED,
    FIRST_TIME,
    LAST_TIME,
    LAST_PURCHASE,
)


def _sums(
    scope: Scope, measure: Measure, name: str, what: str, unit: str = "events"
) -> list[Feature]:
    """Return the sum of the whole past and of each window."""
    return [
        Feature(
            name=name if days is None else f"{name}_{days}d",
            scope=scope,
            dtype=pl.Int64,
            unit=unit,
            value=total(measure, days),
            meaning=f"{what} {_WHEN.get(days, f'on the last {days} days and today')}",
            default=0,
        )
        for days in (None, *WINDOWS_DAYS)
    ]


def _days_known(scope: Scope) -> Feature:
    return Feature(
        name="days_known",
        scope=scope,
        dtype=pl.Float64,
        unit="days",
        value=days_since(total(FIRST_TIME)),
        meaning="since the first event; null without one",
    )


def _rates(scope: Scope) -> list[Feature]:
    share = {"scope": scope, "dtype": pl.Float64, "unit": "share"}
    return [
        Feature(
            name="conversion",
            value=ratio(total(PURCHASES), total(VIEWS)),
            meaning="purchases per view; null without views, above 1 where few views are known",
            **share,
        ),
        Feature(
            name="cart_rate",
            value=ratio(total(CARTS), total(VIEWS)),
            meaning="carts per view; null without views",
            **share,
        ),
        Feature(
            name="return_rate",
            value=ratio(total(RETURNS), total(PURCHASES)).clip(0.0, 1.0),
            meaning="returns per purchase, at most 1",
            default=0.0,
            **share,
        ),
    ]


USER_BEHAVIOUR = (
    *_sums("user", PURCHASES, "num_purchases", "purchases"),
    *_sums("user", VIEWS, "num_views", "views"),
    *_sums("user", CARTS, "num_carts", "carts"),
    *_sums("user", RETURNS, "num_returns", "returns"),
    *_sums("user", SPEND, "spend_cents", "paid, returns not taken off,", "cents"),
    Feature(
        name="mean_price_cents",
        scope="user",
        dtype=pl.Float64,
        unit="cents",
        value=ratio(total(PRICES), total(PRICED)),
        meaning="mean price of a unit of what was bought; null where no price is known",
    ),
    *_rates("user"),
    Feature(
        name="days_since_last",
        scope="user",
        dtype=pl.Float64,
        unit="days",
        value=days_since(total(LAST_TIME)),
        meaning="since the last event of any kind; null without one",
    ),
    Feature(
        name="days_since_purchase",
        scope="user",
        dtype=pl.Float64,
        unit="days",
        value=days_since(total(LAST_PURCHASE)),
        meaning="since the last purchase; null without one",
    ),
    _days_known("user"),
)

ITEM_BEHAVIOUR = (
    *_sums("item", PURCHASES, "num_purchases", "purchases"),
    *_sums("item", VIEWS, "num_views", "views"),
    *_sums("item", CARTS, "num_carts", "carts"),
    *_sums("item", RETURNS, "num_returns", "returns"),
    Feature(
        name="purchase_trend",
        scope="item",
        dtype=pl.Float64,
        unit="log ratio",
        value=(
            (total(PURCHASES, 30) + 1) / ((total(PURCHASES, 90) - total(PURCHASES, 30)) / 2 + 1)
        ).log(),
        meaning="purchases of the last 30 days against a month's of the 60 before, each plus one",
        default=0.0,
    ),
    *_rates("item"),
    _days_known("item"),
)
