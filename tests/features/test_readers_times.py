from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.readers import parse_times

MOMENT = datetime(2020, 1, 1, 10, 0, 0, tzinfo=UTC)


def parse(*texts: str | None) -> list[datetime | None]:
    frame = pl.DataFrame({"raw": pl.Series(texts, dtype=pl.String)})
    return frame.select(parse_times(pl.col("raw"))).to_series().to_list()


@pytest.mark.parametrize(
    "text",
    [
        "1577872800",
        "1577872800.0",
        "1577872800000",
        "1577872800000000",
        " 1577872800 ",
        "2020-01-01T10:00:00Z",
        "2020-01-01t10:00:00z",
        "2020-01-01T10:00:00.000Z",
        "2020-01-01 10:00:00",
        "2020-01-01 10:00",
        "2020-01-01 10:00:00.000000+00:00",
        "2020-01-01T12:00:00+02:00",
        "2020-01-01T12:00:00+0200",
        "2020-01-01T12:00:00+02",
        "2020-01-01T04:30:00-05:30",
    ],
)
def test_one_moment_in_many_spellings(text: str) -> None:
    assert parse(text) == [MOMENT]


def test_units_are_told_for_each_value() -> None:
    assert parse("1577872800", "1577872800000", None, "2020-01-01") == [
        MOMENT,
        MOMENT,
        None,
        datetime(2020, 1, 1, tzinfo=UTC),
    ]


def test_fractions_of_seconds_are_kept() -> None:
    assert (
        parse("1577872800.25", "2020-01-01T10:00:00.25Z")
        == [MOMENT + timedelta(milliseconds=250)] * 2
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 18,
        "9" * 400,
        "2020-13-01",
        "2020-02-30",
        "2020-01-01T25:00:00Z",
        "2020-01-01 10:00:00 CET",
        "12/01/2020",
        "\x00",
    ],
)
def test_what_is_no_time_is_null(text: str) -> None:
    assert parse(text) == [None]


@given(st.integers(min_value=-(10**10), max_value=10**11 - 1))
def test_seconds(seconds: int) -> None:
    assert parse(str(seconds)) == [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)]


MODERN = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1))


@given(MODERN, st.integers(min_value=-14 * 60, max_value=14 * 60))
def test_iso_with_any_zone(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse(zoned.isoformat()) == [zoned.astimezone(UTC)]


@given(MODERN)
def test_each_unit_gives_the_same_moment(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    seconds = int(moment.timestamp())
    assert parse(str(seconds), str(seconds * 1000), str(seconds * 10**6)) == [moment] * 3


@given(st.lists(st.text()))
def test_no_text_breaks_it(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert len(parse(*texts)) == len(texts)
