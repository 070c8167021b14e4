"""Comparisons whatever the type of a column: `in` is the or of `equals`, and no raw error."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_shop import profiles_of, selected, tables_of, truths

from recsys.errors import SegmentError

_NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 0.1, 0.6, 2.5, 2.0, 1e9, 2**40, -(2**63), 1e300])
_TIMES = st.sampled_from([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)])
_TEXTS = st.sampled_from(["q", "r", "s", ""])
_COLUMNS: dict[Any, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    pl.Float32: (st.sampled_from([0.1, 0.6, 2.0, float("nan")]), _NUMBERS),
    pl.Float64: (st.sampled_from([0.1, 0.6, 2.0, float("nan")]), _NUMBERS),
    pl.Int8: (st.integers(-2, 3), _NUMBERS),
    pl.Int32: (st.integers(-2, 3), _NUMBERS),
    pl.Int64: (st.sampled_from([1, 2, 2**40, -(2**63)]), _NUMBERS),
    pl.UInt32: (st.integers(0, 3), _NUMBERS),
    pl.Boolean: (st.booleans(), st.booleans()),
    pl.String: (_TEXTS, _TEXTS),
    pl.Enum(["q", "r"]): (st.sampled_from(["q", "r"]), _TEXTS),
    pl.Date: (st.sampled_from([date(2026, 1, 1), date(2026, 1, 2)]), _TIMES),
    pl.Datetime("us"): (st.sampled_from([datetime(2026, 1, 1), datetime(2026, 1, 2)]), _TIMES),
    pl.Datetime("ms", "UTC"): (_TIMES, _TIMES),
    pl.Datetime("ns", "Europe/Berlin"): (_TIMES, _TIMES),
    pl.Decimal(10, 2): (st.integers(-2, 3), st.sampled_from([0, 1, 2.5, -1.0])),
}


@pytest.mark.parametrize("dtype", list(_COLUMNS), ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_in_is_the_or_of_equals(dtype: Any, data: st.DataObject) -> None:
    held, asked = _COLUMNS[dtype]
    values = data.draw(st.lists(st.none() | held, min_size=1, max_size=4))
    wanted = data.draw(st.lists(asked, min_size=1, max_size=3))
    rows = {f"u{n}": {"x": value} for n, value in enumerate(values)}
    tables = tables_of(user_profiles=profiles_of(rows, x=dtype))
    one_of = {"profile": "x", "in": wanted}
    each = {"any": [{"profile": "x", "equals": value} for value in wanted]}

    assert truths(one_of, tables) == truths(each, tables)
    assert selected(one_of, tables) == selected(each, tables)
    assert selected({"not": one_of}, tables) == selected({"not": each}, tables)


def test_a_fraction_is_found_in_a_column_of_32_bits() -> None:
    rows = {"a": {"x": 0.6}, "b": {"x": 0.1}, "c": {"x": None}}
    tables = tables_of(user_profiles=profiles_of(rows, x=pl.Float32))

    assert selected({"profile": "x", "in": [0.6]}, tables) == ["a"]
    assert selected({"not": {"profile": "x", "in": [0.6]}}, tables) == ["b"]


def test_times_without_a_zone_and_dates_are_of_utc() -> None:
    rows = {"a": {"x": datetime(2026, 1, 1, 9)}, "b": {"x": datetime(2026, 1, 2, 9)}}
    naive = tables_of(user_profiles=profiles_of(rows, x=pl.Datetime("us")))
    days = tables_of(
        user_profiles=profiles_of({u: {"x": row["x"].date()} for u, row in rows.items()}, x=pl.Date)
    )

    assert selected({"profile": "x", "above": datetime(2026, 1, 1, 9, tzinfo=UTC)}, naive) == ["b"]
    assert selected({"profile": "x", "equals": datetime(2026, 1, 1, 9)}, naive) == ["a"]
    assert selected({"profile": "x", "at_least": date(2026, 1, 2)}, days) == ["b"]
    assert selected({"profile": "x", "in": [date(2026, 1, 1)]}, days) == ["a"]


@pytest.mark.parametrize(
    ("dtype", "value", "asked", "told"),
    [
        (pl.List(pl.Int64), [1], {"contains": "1"}, "holds List.Int64., of which only is_null"),
        (pl.Array(pl.Float32, 1), [1.0], {"equals": 1}, "of which only is_null can be asked"),
        (pl.Struct({"q": pl.Int64}), {"q": 1}, {"equals": "x"}, "of which only is_null"),
        (pl.Duration("us"), timedelta(1), {"above": 1}, "of which only is_null can be asked"),
        (pl.Boolean, True, {"above": 0}, "the column holds true or false, not numbers"),
        (pl.Int64, 1, {"in": [1, "a"]}, "the column holds numbers, not numbers and texts"),
        (pl.String, "a", {"above": "2026-01-01"}, "the column holds texts, not times"),
        (pl.Int64, 1, {"equals": 2**70}, "a whole number has at most 64 bits"),
    ],
)
def test_what_cannot_be_compared_is_said(
    dtype: Any, value: Any, asked: dict[str, Any], told: str
) -> None:
    tables = tables_of(user_profiles=profiles_of({"a": {"x": value}}, x=dtype))

    with pytest.raises(SegmentError, match=told):
        selected({"profile": "x", **asked}, tables)
    assert selected({"profile": "x", "is_null": False}, tables) == ["a"]
