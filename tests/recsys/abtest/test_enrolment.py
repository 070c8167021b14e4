"""Logs to users: what is counted, what is left out, and streamed is plain."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from generated_logs import DONE, END, START, Logs, logs, plan_of

from recsys.abtest import exposure_rows
from recsys.abtest.enrolment import enrol
from recsys.abtest.metric_values import metric_values
from recsys.abtest.outcomes import Measure, join_outcomes
from recsys.errors import ExperimentLogError

REVENUE = '[[metrics]]\nname = "revenue"\nkind = "mean"\nevent = "purchase"\nvalue = "cents"\n'
HAPPY = '[[metrics]]\nname = "happy"\nkind = "satisfaction"\n'


def exposures_of(*rows: tuple[str, str, float], **columns: list) -> pl.DataFrame:
    """Return exposures of `user, variant, day`."""
    frame = pl.DataFrame(
        [
            {"user_id": user, "variant": variant, "event_time": START + timedelta(days=day)}
            for user, variant, day in rows
        ],
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items())


BOTH = [("a", "control", 1.0), ("b", "treatment", 2.0)]


def test_the_first_exposure_counts() -> None:
    found = enrol(
        exposures_of(("a", "control", 3.0), ("a", "control", 1.0), *BOTH).lazy(),
        plan_of(),
        as_of=DONE,
    )
    by_arm = dict(found.users.select("arm", "num_exposures").iter_rows())
    assert by_arm == {0: 3, 1: 1}
    entry = found.users.filter(pl.col("arm") == 0)["entry_us"].item()
    assert entry == int((START + timedelta(days=1)).timestamp()) * 1_000_000
    assert found.propensities is None


def test_what_is_left_out_is_counted() -> None:
    rows = [
        *BOTH,
        ("c", "control", -1.0),
        ("d", "control", 14.0),
        ("e", "treatment", 40.0),
        ("f", "third", 1.0),
        ("g", "control", 1.0),
        ("g", "treatment", 2.0),
    ]
    frame = exposures_of(*rows).vstack(
        exposures_of(("h", "control", 1.0)).with_columns(user_id=pl.lit(None, dtype=pl.String))
    )
    found = enrol(frame.lazy(), plan_of(), as_of=DONE)
    assert found.counts == {
        "rows": 9,
        "rows_of_other_experiments": 0,
        "rows_without_user": 1,
        "rows_without_time": 0,
        "rows_at_or_after_as_of": 1,
        "rows_before_start": 1,
        "rows_at_or_after_end": 1,
        "rows_of_other_variants": 1,
        "duplicate_exposures": 0,
        "users_exposed": 3,
        "users_in_both_variants": 1,
        "bots": 0,
        "users": 2,
    }


def test_an_exposure_that_is_said_twice_is_one() -> None:
    frame = exposures_of(*BOTH, *BOTH, recommendation_id=["r1", "r2", "r1", "r2"])
    found = enrol(frame.lazy(), plan_of(), as_of=DONE)
    assert found.counts["duplicate_exposures"] == 2
    assert found.users["num_exposures"].to_list() == [1, 1]
    clash = exposures_of(*BOTH, ("a", "treatment", 1.0), recommendation_id=["r1", "r2", "r1"])
    with pytest.raises(ExperimentLogError, match="no user of variant 'control'"):
        enrol(clash.lazy(), plan_of(), as_of=DONE)


def test_duplicates_are_found_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = logs(num_users=200).exposures
    twice = pl.concat([made, made.sample(30, seed=1), made.with_columns(recommendation_id=None)])
    at_once = enrol(twice.lazy(), plan_of(), as_of=DONE)
    monkeypatch.setattr(exposure_rows, "_ROWS_AT_ONCE", 100)
    in_parts = enrol(twice.lazy(), plan_of(), as_of=DONE)
    assert at_once.counts == in_parts.counts
    assert at_once.counts["duplicate_exposures"] == 30
    assert at_once.users.equals(in_parts.users)
    assert at_once.users["num_exposures"].sum() == 2 * len(made)


def test_rows_of_other_experiments_are_left_out() -> None:
    frame = exposures_of(*BOTH, ("a", "treatment", 1.0), experiment=["sentiment-rerank", None, "x"])
    found = enrol(frame.lazy(), plan_of(), as_of=DONE)
    assert found.counts["rows_of_other_experiments"] == 1
    assert found.counts["users"] == 2


def test_an_empty_arm_is_an_error_that_says_why() -> None:
    with pytest.raises(
        ExperimentLogError, match=r"no user of variant 'treatment'.*rows_before_start 1"
    ):
        enrol(
            exposures_of(("a", "control", 1.0), ("b", "treatment", -1.0)).lazy(),
            plan_of(),
            as_of=DONE,
        )


def test_missing_columns_are_named() -> None:
    with pytest.raises(ExperimentLogError, match="exposures has no column variant"):
        enrol(exposures_of(*BOTH).drop("variant").lazy(), plan_of(), as_of=DONE)
    with pytest.raises(ExperimentLogError, match="has no column country"):
        enrol(exposures_of(*BOTH).lazy(), plan_of(), as_of=DONE, explored=["country"])
    found = logs(num_users=50)
    enrolment = enrol(found.exposures.lazy(), plan_of(), as_of=DONE)
    with pytest.raises(ExperimentLogError, match="'revenue' needs the column price_cents"):
        join_outcomes(
            found.outcomes.drop("price_cents").lazy(), enrolment, plan_of(REVENUE), as_of=DONE
        )
    with pytest.raises(ExperimentLogError, match="outcomes has no column event_type"):
        join_outcomes(found.outcomes.drop("event_type").lazy(), enrolment, plan_of(), as_of=DONE)


def _outcomes(*rows: tuple[str, str, float, int | None]) -> pl.LazyFrame:
    return pl.LazyFrame(
        [
            {
                "user_id": user,
                "event_type": kind,
                "event_time": START + timedelta(days=day),
                "price_cents": cents,
            }
            for user, kind, day, cents in rows
        ],
        schema_overrides={"event_time": pl.Datetime("us", "UTC"), "price_cents": pl.Int64},
    )


def test_outcomes_count_from_the_exposure_for_as_long_as_the_window() -> None:
    enrolment = enrol(exposures_of(*BOTH).lazy(), plan_of(), as_of=DONE)
    log = _outcomes(
        ("a", "purchase", 0.999, 1),
        ("a", "purchase", 1.0, 10),
        ("a", "purchase", 7.999, 100),
        ("a", "purchase", 8.0, 1000),
        ("a", "view", 2.0, 7),
        ("a", "purchase", 3.0, None),
        ("b", "purchase", -12.1, 5),
        ("b", "purchase", -11.9, 6),
        ("x", "purchase", 3.0, 9),
    )
    found = join_outcomes(log, enrolment, plan_of(REVENUE), as_of=DONE)
    place = found.place(("purchase", "cents"))
    rows = found.users.sort("arm").select(f"after_{place}", f"before_{place}").rows()
    assert rows == [(110, 1), (0, 6)]
    assert found.counts["purchase_without_cents"] == 1
    assert found.counts["users_never_exposed"] == 1
    assert found.counts["users_marked_but_never_exposed"] == 0
    assert found.has_pre_period


def test_later_rows_change_nothing_earlier() -> None:
    found = logs(num_users=300)
    early = START + timedelta(days=10)
    plan = plan_of(REVENUE + HAPPY)
    cut = Logs(
        exposures=found.exposures.filter(pl.col("event_time") < early),
        outcomes=found.outcomes.filter(pl.col("event_time") < early),
    )
    both = [
        join_outcomes(
            part.outcomes.lazy(),
            enrol(part.exposures.lazy(), plan, as_of=early),
            plan,
            as_of=early,
        )
        for part in (found, cut)
    ]
    assert both[0].users.equals(both[1].users)
    assert both[0].counts == both[1].counts


def test_users_whose_window_is_not_over_can_be_left_out() -> None:
    found = logs(num_users=300)
    kept, left_out = (
        found.analyse(plan_of(top=f'in_progress = "{what}"\n'), as_of=END).counts
        for what in ("keep", "exclude")
    )
    assert kept["users_left_out_in_progress"] == 0
    assert 0 < left_out["users_left_out_in_progress"] == kept["users_whose_window_is_not_over"]


def test_streamed_sums_are_plain_sums(tmp_path) -> None:
    """Many small row groups, read from a file, against pandas-like loops over users."""
    found = logs(num_users=500)
    plan = plan_of(REVENUE + HAPPY)
    for name, frame in (("exposures", found.exposures), ("outcomes", found.outcomes)):
        frame.sample(fraction=1, shuffle=True, seed=1).write_parquet(
            tmp_path / f"{name}.parquet", row_group_size=37
        )
    enrolment = enrol(pl.scan_parquet(tmp_path / "exposures.parquet"), plan, as_of=DONE)
    outcomes = join_outcomes(
        pl.scan_parquet(tmp_path / "outcomes.parquet"), enrolment, plan, as_of=DONE
    )
    entry: dict[str, tuple] = {}
    for user, variant, time in found.exposures.select("user_id", "variant", "event_time").rows():
        if user not in entry or time < entry[user][0]:
            entry[user] = (time, variant)
    window, past = timedelta(days=7), timedelta(days=14)
    wanted = {user: [0, 0, 0.0, 0, 0] for user in entry}
    columns = ("user_id", "event_type", "event_time", "price_cents", "polarity")
    for user, kind, time, cents, polarity in found.outcomes.select(columns).rows():
        first = entry[user][0]
        sums = wanted[user]
        if kind == "purchase" and first <= time < first + window:
            sums[0] += 1
            sums[1] += cents
        if kind == "review" and first <= time < first + window:
            sums[2] += round(polarity * 1e6)
            sums[3] += 1
        if kind == "purchase" and first - past <= time < first:
            sums[4] += 1
    places = [
        outcomes.place(m)
        for m in (("purchase", "count"), ("purchase", "cents"), ("review", "polarity"))
    ]
    judged = outcomes.place(("review", "judged"))
    names = [f"after_{n}" for n in (*places, judged)] + [f"before_{places[0]}"]
    assert sorted(outcomes.users.select(names).rows()) == sorted(
        tuple(map(int, sums)) for sums in wanted.values()
    )
    treated = sum(variant == "treatment" for _, variant in entry.values())
    assert int((outcomes.users["arm"] == 1).sum()) == treated


def test_winsorising_cuts_both_arms_at_one_quantile() -> None:
    found = logs(num_users=400)
    plan = plan_of(REVENUE, top="winsor_quantile = 0.9\n")
    enrolment = enrol(found.exposures.lazy(), plan, as_of=DONE)
    outcomes = join_outcomes(found.outcomes.lazy(), enrolment, plan, as_of=DONE)
    values = metric_values(plan.metrics[1], outcomes, plan)
    uncut = metric_values(plan_of(REVENUE).metrics[1], outcomes, plan_of(REVENUE))
    assert uncut.cap is None
    assert values.cap is not None
    assert values.cap == pytest.approx(np.quantile(uncut.top_U[uncut.top_U > 0], 0.9))
    assert np.array_equal(values.top_U, np.minimum(uncut.top_U, values.cap))
    conversion = plan_of(
        '[[metrics]]\nname = "buyers"\nkind = "conversion"\nevent = "purchase"\n',
        top="winsor_quantile = 0.9\n",
    )
    buyers = metric_values(conversion.metrics[1], outcomes, conversion)
    assert buyers.cap is None
    assert set(buyers.top_U) == {0.0, 1.0}


def test_amounts_that_are_no_numbers_or_beyond_all_sense_are_not_known() -> None:
    frame = pl.DataFrame(
        {
            "event_type": ["purchase"] * 4,
            "price_cents": [250, 9_000_000_000_000_000_000, None, -250],
            "value": [1.5, float("nan"), float("inf"), -1.5],
            "quantity": [2, 2, 1, 1],
        }
    )
    found = frame.select(
        cents=Measure("purchase", "cents").amount(), value=Measure("purchase", "value").amount()
    )
    assert found["cents"].to_list() == [500, None, None, -250]
    assert found["value"].to_list() == [1_500_000, None, None, -1_500_000]
