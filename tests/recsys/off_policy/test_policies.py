"""Policies as chances on the rows of a log: files, rankings, uniform; and what is no policy."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_logs import by_hand, chances, rows

from recsys.errors import PolicyError
from recsys.off_policy import (
    TargetPolicy,
    build_log,
    ranking_policy,
    read_policy,
    table_policy,
    uniform_policy,
)
from recsys.off_policy.log import Log


def listed() -> Log:
    """Two lists: b then a out of a, b, c, d; and c out of c, d."""
    return build_log(
        rows(
            "abc",
            [0.5, 0.5, 0.5],
            [0.0, 1.0, 0.0],
            list_id=["l1", "l1", "l2"],
            position=[2, 1, 1],
            candidates=[["a", "b", "c", "d"]] * 2 + [["d", "c"]],
        ),
        "click",
    )


def check(log: Log, target: TargetPolicy) -> None:
    """What every policy must hold."""
    chance_NA = target.actions_of(np.arange(len(log)))
    assert chance_NA.shape == (len(log), log.num_actions)
    assert chance_NA[np.arange(len(log)), log.action] == pytest.approx(target.logged)
    assert chance_NA.sum(1) == pytest.approx(target.total)
    assert (target.total + target.unlogged <= 1 + 1e-9).all()


def test_uniform_is_over_the_distinct_items_of_the_log() -> None:
    log = by_hand()
    check(log, uniform_policy(log))
    assert uniform_policy(log).logged.tolist() == [0.5] * 4


def test_uniform_over_candidates_leaves_out_what_stands_above() -> None:
    log = listed()
    found = uniform_policy(log)
    check(log, found)
    assert found.logged == pytest.approx([1 / 3, 1 / 4, 1 / 2])
    # d was never shown anywhere.
    assert found.unlogged == pytest.approx([1 / 3, 1 / 4, 1 / 2])


SCORES = pl.DataFrame(
    {
        "list_id": ["l1", "l1", "l1", "l2"],
        "item_id": ["a", "b", "c", "c"],
        "score": [np.log(2.0), 0.0, 0.0, 1.0],
    }
)


def test_a_ranking_shows_the_best_of_what_is_left() -> None:
    log = listed()
    found = ranking_policy(log, SCORES, name="r")
    check(log, found)
    assert found.logged.tolist() == [1.0, 0.0, 1.0]


def test_a_soft_ranking_draws_by_scores_of_what_is_left() -> None:
    log = listed()
    found = ranking_policy(log, SCORES, name="r", temperature=1.0)
    check(log, found)
    assert found.logged == pytest.approx([2 / 3, 1 / 4, 1.0])
    warm = ranking_policy(log, SCORES, name="r", temperature=1e6)
    assert warm.logged == pytest.approx([1 / 2, 1 / 3, 1.0], abs=1e-5)
    cold = ranking_policy(log, SCORES, name="r", temperature=1e-9)
    assert cold.logged == pytest.approx([1.0, 0.0, 1.0])


def test_a_list_without_scores_shows_nothing() -> None:
    log = listed()
    found = ranking_policy(log, SCORES.filter(pl.col("list_id") == "l1"), name="r")
    check(log, found)
    assert found.logged.tolist() == [1.0, 0.0, 0.0]
    assert found.total.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("scores", "temperature", "message"),
    [
        (SCORES, -1.0, "temperature is -1"),
        (SCORES, float("nan"), "temperature is nan"),
        (pl.concat([SCORES, SCORES]), 0.0, "scores an item twice"),
        (SCORES.with_columns(score=pl.lit(float("inf"))), 0.0, "not finite"),
        (SCORES.with_columns(list_id=pl.lit("z")).head(3), 0.0, "says nothing of any of 2 lists"),
    ],
)
def test_bad_scores_are_refused(scores: pl.DataFrame, temperature: float, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        ranking_policy(listed(), scores, name="r", temperature=temperature)


def test_a_table_may_say_what_is_done_where_nothing_was_known() -> None:
    log = build_log(rows("ab", [0.5, 0.5], [1.0, 0.0], context_a=["x", None]), "click")
    table = pl.DataFrame(
        {
            "item_id": ["a", "b", "a", "b"],
            "probability": [0.25, 0.75, 1.0, 0.0],
            "context_a": ["x", "x", None, None],
        }
    )
    assert table_policy(log, table, name="it").logged.tolist() == [0.25, 0.0]


def test_a_table_may_depend_on_place_and_context() -> None:
    log = build_log(
        rows(
            "abab",
            [0.5] * 4,
            [0.0] * 4,
            position=[1, 2, 1, 2],
            user_feature_0=["x", "x", "y", "y"],
            event_time=[1, 2, 3, 4],
        ),
        "click",
    )
    by_place = pl.DataFrame(
        {"item_id": ["a", "b", "b"], "position": [1, 1, 2], "probability": [0.2, 0.8, 1.0]}
    )
    found = table_policy(log, by_place, name="p")
    check(log, found)
    assert found.logged.tolist() == [0.2, 1.0, 0.2, 1.0]
    by_user = pl.DataFrame(
        {
            "item_id": ["a", "b", "z"],
            "user_feature_0": ["x", "y", "y"],
            "probability": [1.0, 0.75, 0.25],
        }
    )
    found = table_policy(log, by_user, name="p")
    check(log, found)
    assert found.logged.tolist() == [1.0, 0.0, 0.0, 0.75]
    assert found.unlogged.tolist() == [0.0, 0.0, 0.25, 0.25]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (chances(a=0.5, b=0.4), "sum to 0.9"),
        (chances(a=1.5, b=-0.5), r"2 chances outside \[0, 1\]"),
        (chances(a=1.0).with_columns(probability=pl.lit(float("nan"))), "outside"),
        (pl.concat([chances(a=0.5, b=0.5)] * 2), "names an item twice"),
        (chances(a=1.0).rename({"probability": "p"}), "has no probability"),
        (chances(a=1.0).clear(), "has no rows"),
        (chances(a=1.0).with_columns(country=pl.lit("de")), "depends on country"),
        (chances(a=1.0).with_columns(position=pl.lit(7)), "says nothing of 1 of 1 groups"),
        (chances(a=1.0).with_columns(position=pl.lit("first")), "types of the log"),
        (
            pl.DataFrame({"item_id": ["a", None], "probability": [0.5, 0.5]}),
            "1 chances of no item",
        ),
    ],
)
def test_bad_tables_are_refused(table: pl.DataFrame, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        table_policy(by_hand(), table, name="p")


def test_files_of_each_kind_say_the_same(tmp_path: Path) -> None:
    log, table = by_hand(), chances(a=0.25, b=0.75)
    paths = [tmp_path / name for name in ("p.csv", "p.parquet", "object.json", "rows.json")]
    table.write_csv(paths[0])
    table.write_parquet(paths[1])
    paths[2].write_text(json.dumps({"a": 0.25, "b": 0.75}))
    paths[3].write_text(json.dumps(table.to_dicts()))
    for path in paths:
        found = read_policy(path, log)
        check(log, found)
        assert found.logged.tolist() == [0.25, 0.75, 0.25, 0.75]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "there is no file"),
        ("none.json", None, "there is no file"),
        ("p.json", "{", "cannot be read as JSON"),
        ("p.json", "3", "neither an object from item to chance"),
        ("p.txt", "a", "is neither .csv nor"),
    ],
)
def test_files_that_are_no_policy(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(PolicyError, match=message):
        read_policy(tmp_path / name, by_hand())
