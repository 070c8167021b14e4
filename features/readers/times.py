"""One rule for times in source files: seconds to microseconds, or ISO 8601, told per value."""

import polars as pl

_SECONDS_BELOW = 10**11
_MILLISECONDS_BELOW = 10**14
_MICROSECONDS_BELOW = 10**17
_ISO = (
    r"^(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?\s?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?$"
)


def parse_times(raw: pl.Expr) -> pl.Expr:
    """Read times as UTC microseconds, deciding the unit for each value by itself.

    Numbers whose magnitude is below 1e11 are seconds since 1970 (up to the year 5138), below 1e14
    milliseconds (from 1973 on), below 1e17 microseconds. Other text is ISO 8601: a date, or a date
    and a time with or without a zone. A time without a zone is UTC, a date is its midnight.

    Args:
        raw: A String expression.

    Returns:
        Datetime("us", "UTC"); null where the text is null or is no time.
    """
    text = raw.str.strip_chars()
    whole = text.cast(pl.Int64, strict=False)
    micros = pl.coalesce(_micros_of(whole), _micros_of(text.cast(pl.Float64, strict=False)))
    return pl.coalesce(micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), _iso(text))


def _micros_of(number: pl.Expr) -> pl.Expr:
    size = number.abs()
    return (
        pl.when(size < _SECONDS_BELOW)
        .then(number * 1_000_000)
        .when(size < _MILLISECONDS_BELOW)
        .then(number * 1_000)
        .when(size < _MICROSECONDS_BELOW)
        .then(number)
        .otherwise(None)
        .round()
        .cast(pl.Int64, strict=False)
    )


def _iso(text: pl.Expr) -> pl.Expr:
    parts = text.str.extract_groups(_ISO).struct
    zone = parts.field("4").fill_null("+0000").str.replace("^[Zz]$", "+0000")
    padded = zone.str.replace_all(":", "").str.pad_end(5, "0")
    return pl.concat_str(
        parts.field("1"),
        pl.lit(" "),
        parts.field("2").fill_null("00:00"),
        parts.field("3").fill_null(":00"),
        padded,
    ).str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
