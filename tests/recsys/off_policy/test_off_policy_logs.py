"""What a log must have, and what is told where it has not."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_logs import rows

from recsys.errors import LogError
from recsys.off_policy import build_log, read_log_rows

GOOD = rows("ab", [0.5, 0.5], [1.0, 0.0])
LISTS = GOOD.with_columns(list_id=pl.lit("l"), position=pl.Series([1, 2]))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (GOOD.clear(), "no rows"),
        (GOOD.drop("propensity"), "has no propensities"),
        (rows("ab", [0.5, 0.0], [1.0, 0.0]), r"1 of 2 propensities .*such as 0"),
        (rows("ab", [0.5, 1.5], [1.0, 0.0]), "such as 1.5"),
        (rows("ab", [0.5, -0.1], [1.0, 0.0]), r"\(0, 1\]"),
        (rows("ab", [0.5, float("nan")], [1.0, 0.0]), "such as nan"),
        (GOOD.with_columns(propensity=pl.lit(None, dtype=pl.Float64)), "2 of 2 propensities"),
        (GOOD.with_columns(propensity=pl.lit("high")), "other things than numbers"),
        (rows("ab", [0.5, 0.5], [1.0, float("nan")]), "missing or NaN, the first in row 1"),
        (GOOD.with_columns(click=pl.lit(None, dtype=pl.Float64)), "2 of 2 values of click"),
        (rows("ab", [0.5, 0.5], [1.0, 2.0]), "1 values of click lie outside 0 to 1, such as 2"),
        (GOOD.drop("click"), "no reward 'click'"),
        (GOOD.with_columns(item_id=pl.Series(["a", None])), "1 of 2 rows name no item"),
        (pl.concat([LISTS, LISTS]), "4 of 4 rows are duplicate exposures"),
        (LISTS.with_columns(position=pl.lit(1)), "duplicate exposures .*list_id and position"),
        (LISTS.with_columns(list_id=pl.lit(None, dtype=pl.String)), "2 rows name no list"),
        (LISTS.with_columns(position=pl.Series([1, None])), "1 rows have no position"),
        (LISTS.with_columns(position=pl.Series(["2", "top"])), "position holds other things"),
        (LISTS.with_columns(position=pl.Series([1.0, float("nan")])), "1 of 2 positions .*nan"),
        (LISTS.with_columns(position=pl.Series([1.5, 2.0])), "no whole numbers, such as 1.5"),
        (GOOD.with_columns(item_id=pl.Series([["a"], ["b"]])), "item_id is List"),
        (LISTS.with_columns(list_id=pl.Series([["l"], ["l"]])), "list_id is List"),
        (GOOD.with_columns(user_feature_0=pl.Series([[1], [2]])), "user_feature_0 is List"),
        (GOOD.with_columns(context_a=pl.Series([{"x": 1}] * 2)), "context_a is Struct"),
        (GOOD.with_columns(candidates=pl.Series([[{"x": 1}]] * 2)), "candidates are List"),
        (
            pl.concat([GOOD.with_columns(event_time=pl.lit(1))] * 2),
            "duplicate exposures .*every column",
        ),
    ],
)
def test_bad_logs_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(LogError, match=message):
        build_log(frame, "click")


def test_the_reward_that_is_not_there_is_named_beside_those_that_are() -> None:
    with pytest.raises(LogError, match="no reward 'satisfaction'; it has click"):
        build_log(GOOD, "satisfaction")


def test_rows_without_times_may_look_alike() -> None:
    assert len(build_log(pl.concat([GOOD, GOOD]), "click")) == 4


def test_rows_of_a_user_are_drawn_together_and_those_of_strangers_by_list() -> None:
    frame = rows(
        "abcd",
        [0.5] * 4,
        [0.0] * 4,
        list_id=["l1", "l2", "l3", "l3"],
        position=[1, 1, 1, 2],
        user_id=["u", "u", None, None],
    )
    group = build_log(frame, "click").group
    assert group[0] == group[1]
    assert group[2] == group[3]
    assert group[0] != group[2]


def test_any_other_reward_has_the_range_that_is_seen_or_given() -> None:
    frame = GOOD.with_columns(margin=pl.Series([-3.0, 7.0]))
    assert build_log(frame, "margin").reward_range == (-3.0, 7.0)
    assert build_log(frame, "margin", reward_range=(-10.0, 10.0)).reward_range == (-10.0, 10.0)
    with pytest.raises(LogError, match="lower end first"):
        build_log(frame, "margin", reward_range=(1.0, 0.0))


OPEN_BANDIT = (
    "timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0\n"
    "2019-11-24 00:01:03.979311+00:00,2,2,0,0.045525,cef,0.0\n"
    "2019-11-24 00:01:45.406608+00:00,9,3,1,0.059345,cef,1.0\n"
)


def test_open_bandit_columns_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(OPEN_BANDIT.encode()))
    log = build_log(read_log_rows(path), "click")
    assert log.actions.tolist() == ["2", "9"]
    assert log.positions.tolist() == [2, 3]
    assert log.propensity == pytest.approx([0.045525, 0.059345])
    assert log.reward.tolist() == [0.0, 1.0]
    assert log.context.columns == ["user_feature_0", "user-item_affinity_0"]
    assert not log.has_lists


def test_parquet_of_our_own_names_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    named = {"list_id": "recommendation_id", "position": "rank"}
    LISTS.rename(named).write_parquet(path)
    log = build_log(read_log_rows(path), "click")
    assert log.has_lists
    assert log.list_ids.tolist() == ["l"]
    assert np.array_equal(log.position, [0, 1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no file"),
        ("log.txt", "a", "is neither .csv nor .csv.gz"),
        ("log.parquet", "no parquet", "cannot be read"),
        ("log.csv", "", "cannot be read"),
        ("log.csv", "x,y\n1,2\n", "has no column item_id but x, y"),
        ("log.csv", "item_id,rank,position\na,1,1\n", "rank and position, which are the same"),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(LogError, match=message):
        read_log_rows(tmp_path / name)


def test_places_that_are_written_as_text_are_numbers() -> None:
    frame = rows("ab", [0.5, 0.5], [1.0, 0.0], list_id=["l", "l"], position=["10", "9"])
    assert build_log(frame, "click").position.tolist() == [1, 0]


def _nested() -> pl.DataFrame:
    places = [
        {"item_id": item, "rank": rank, "propensity": 0.5, "click": click}
        for item, rank, click in (("a", 1, 1.0), ("b", 2, 0.0))
    ]
    return pl.DataFrame(
        {
            "recommendation_id": ["r1", "r2"],
            "user_id": ["u", None],
            "items": [places, places[:1]],
            "candidates": [["a", "b", "c"], ["a"]],
        }
    )


def test_parquet_of_lists_with_their_places_inside_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    _nested().write_parquet(path)
    log = build_log(read_log_rows(path), "click")
    assert log.actions[log.action].tolist() == ["a", "b", "a"]
    assert log.list_ids[log.slate].tolist() == ["r1", "r1", "r2"]
    assert log.positions[log.position].tolist() == [1, 2, 1]
    assert log.reward.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_nested().with_columns(click=pl.lit(1.0)), "click beside the column items"),
        (_nested().with_columns(items=pl.lit("a b")), "items that are String"),
        (_nested().with_columns(user_id=pl.Series([["u"], ["v"]])), "user_id is List"),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    path = tmp_path / "log.parquet"
    frame.write_parquet(path)
    with pytest.raises(LogError, match=message):
        read_log_rows(path)
