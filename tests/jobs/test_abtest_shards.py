"""The analysis in shards says what the analysis as a whole says, to the last byte."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from jobs import analyze_abtest_shards
from jobs.analyze_abtest import analysis_json, analyze
from jobs.analyze_abtest_shards import num_shards_for, sharded
from jobs.errors import BadInputError
from jobs.ray_session import ray_session
from jobs.scan_abtest_logs import AbtestLogs
from recsys.abtest.plan import parse_plan
from recsys.errors import ExperimentLogError
from tests.recsys.abtest.generated_logs import DONE, PLAN, logs

METRICS = """
[[metrics]]
name = "revenue"
kind = "mean"
event = "purchase"
value = "cents"

[[metrics]]
name = "buyers"
kind = "conversion"
event = "purchase"

[[metrics]]
name = "basket"
kind = "ratio"
event = "purchase"
value = "cents"
denominator_event = "purchase"

[[metrics]]
name = "purchases per exposure"
kind = "ratio"
event = "purchase"
denominator_event = "exposure"

[[metrics]]
name = "median spending"
kind = "quantile"
event = "purchase"
value = "cents"
quantile = 0.5

[[metrics]]
name = "price at 90%"
kind = "quantile"
event = "purchase"
value = "cents"
quantile = 0.9
of = "events"

[[metrics]]
name = "satisfaction"
kind = "satisfaction"
role = "guardrail"
margin = 0.1

[[segments]]
name = "surface"
by = "column"
column = "surface"

[[segments]]
name = "past"
by = "new-users"

[[segments]]
name = "unhappy"
by = "unhappy-users"
"""


@pytest.fixture(scope="module")
def made() -> AbtestLogs:
    """Logs with rows that are left out: repeated, without a user, of users of both variants."""
    found = logs(num_users=1500, seed=3)
    exposures = found.exposures
    odd = [
        exposures.head(40),
        exposures.head(5).with_columns(user_id=pl.lit(None, dtype=pl.String)),
        exposures.tail(6).with_columns(
            variant=pl.when(pl.col("variant") == "control")
            .then(pl.lit("treatment"))
            .otherwise(pl.lit("control"))
        ),
        exposures.slice(100, 30).with_columns(recommendation_id=pl.lit(None, dtype=pl.String)),
    ]
    return AbtestLogs(
        pl.concat([exposures, *odd]).sample(fraction=1, shuffle=True, seed=1).lazy(),
        found.outcomes.with_columns(pl.col("quantity").fill_null(1)).lazy(),
    )


def told(logs: AbtestLogs, folder: Path, text: str, num_shards: int, **options: Any) -> str:
    """Return the whole JSON of an analysis."""
    found = analyze(
        parse_plan(text),
        folder / "abtest.toml",
        logs,
        as_of=DONE,
        explored=["experiment"],
        num_shards=num_shards,
        **options,
    )
    return json.dumps(analysis_json(found))


@pytest.mark.parametrize(
    "top",
    [
        'analysis = "cuped"\nwinsor_quantile = 0.97\n',
        'analysis = "post-stratified"\n',
        'analysis = "welch"\nin_progress = "exclude"\nbayesian = true\n',
    ],
)
def test_shards_change_nothing(tmp_path: Path, made: AbtestLogs, top: str) -> None:
    text = top + PLAN + METRICS
    whole = told(made, tmp_path, text, 1)
    content = json.loads(whole)
    assert len(content["metrics"]) == 8
    assert content["counts"]["duplicate_exposures"] == 40
    assert len(content["segments"]) == 4
    assert len(content["by_day"]) == 7
    for num in (2, 7):
        assert told(made, tmp_path, text, num, with_ray=False) == whole


def test_more_shards_than_users_change_nothing(tmp_path: Path) -> None:
    few = logs(num_users=60)
    lazy = AbtestLogs(few.exposures.lazy(), few.outcomes.lazy())
    text = 'winsor_quantile = 0.9\nanalysis = "cuped"\n' + PLAN
    whole = told(lazy, tmp_path, text, 1)
    assert told(lazy, tmp_path, text, 150, with_ray=False) == whole


def test_tasks_of_ray_change_nothing_and_leave_nothing(tmp_path: Path, made: AbtestLogs) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    text = 'analysis = "cuped"\nwinsor_quantile = 0.97\n' + PLAN + METRICS
    with ray_session():
        first, second = (told(made, tmp_path, text, 3, scratch=scratch) for _ in range(2))
        assert first == second == told(made, tmp_path, text, 1)
        broken = AbtestLogs(made.exposures, made.outcomes.drop("price_cents"))
        with pytest.raises(ExperimentLogError, match="'revenue' needs the column price_cents"):
            told(broken, tmp_path, text, 3, scratch=scratch)
    assert not list(scratch.iterdir())


def test_after_a_failure_nothing_is_written(tmp_path: Path) -> None:
    def fails_at_first(place: Any) -> None:
        if place == 0:
            raise ValueError("the first")
        time.sleep(0.02)
        (tmp_path / uuid4().hex).touch()

    with ray_session():
        each = analyze_abtest_shards._as_tasks(list(range(60)))  # type: ignore[arg-type]
        # Often, since a failure that met the replies of other tasks once ended the driver.
        for _ in range(30):
            with pytest.raises(ValueError, match="the first"):
                each(fails_at_first)
        written = len(list(tmp_path.iterdir()))
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) == written
        assert each(lambda place: place * 2) == [2 * place for place in range(60)]
    assert len(list(tmp_path.iterdir())) == written


def test_a_failure_leaves_no_shards(tmp_path: Path, made: AbtestLogs) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    late = made.exposures.with_columns(event_time=pl.lit(datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(ExperimentLogError, match="rows_before_start"):
        told(AbtestLogs(late, made.outcomes), tmp_path, PLAN, 2, scratch=scratch, with_ray=False)
    assert not list(scratch.iterdir())
    assert not (tmp_path / "abtest.lock.json").exists()
    with pytest.raises(BadInputError, match="there is no folder"):
        told(made, tmp_path, PLAN, 2, scratch=tmp_path / "none")


def test_a_shard_has_all_rows_of_its_users(made: AbtestLogs) -> None:
    with sharded(made, parse_plan(PLAN), [], num_shards=4, with_ray=False) as each:
        users = each(lambda shard: set(shard.exposures().collect()["user_id"]))
        rows = sum(each(lambda shard: len(shard.exposures().collect())))
    assert len(set().union(*users)) == sum(map(len, users)) == 1501
    assert rows == made.exposures.select(pl.len()).collect().item()


def test_the_number_of_rows_says_how_many_shards(
    monkeypatch: pytest.MonkeyPatch, made: AbtestLogs
) -> None:
    assert num_shards_for(made) == 1
    monkeypatch.setattr(analyze_abtest_shards, "_WHOLE_ROWS", 1000)
    monkeypatch.setattr(analyze_abtest_shards, "_SHARD_ROWS", 5000)
    rows = sum(log.select(pl.len()).collect().item() for log in made)
    assert num_shards_for(made) == -(-rows // 5000) > 1
