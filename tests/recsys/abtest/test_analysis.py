"""Whole analyses: verdicts, every gate both ways, effects against plain computations."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import scipy.stats
from generated_logs import DONE, END, START, Logs, logs, plan_of

from recsys.abtest.analysis import Analysis
from recsys.abtest.plan import Plan
from recsys.abtest.plan_gates import PlanRecord

GUARDRAIL = """
[[metrics]]
name = "basket"
kind = "ratio"
role = "guardrail"
event = "purchase"
value = "cents"
denominator_event = "purchase"
margin = 0.05
"""


def gate(found: Analysis, name: str):
    """Return one gate of an analysis."""
    return next(gate for gate in found.gates if gate.name == name)


def test_a_better_treatment_is_shipped_and_the_effect_is_welchs() -> None:
    made = logs(effect=0.5)
    found = made.analyse(plan_of(GUARDRAIL))
    assert found.verdict.decision == "ship"
    [purchases, _] = found.metrics
    treated, after = made.extra["treated"], made.extra["after"]
    peer = scipy.stats.ttest_ind(after[treated], after[~treated], equal_var=False)
    assert purchases.absolute is not None
    assert purchases.absolute.p_value == pytest.approx(peer[1])
    assert purchases.absolute.value == pytest.approx(after[treated].mean() - after[~treated].mean())
    assert found.num_users == ((~treated).sum(), treated.sum())


@pytest.mark.parametrize(
    ("effect", "num_users", "decision", "reason"),
    [
        (0.0, 20_000, "do not ship", "less than the minimum effect 5.00%"),
        (0.0, 400, "not decidable", "nothing and the minimum effect are both possible"),
        (-0.5, 4000, "do not ship", "worse"),
    ],
)
def test_verdicts_of_the_primary_metric(
    effect: float, num_users: int, decision: str, reason: str
) -> None:
    found = logs(effect=effect, num_users=num_users, seed=3).analyse(plan_of())
    assert found.verdict.decision == decision
    assert reason in found.verdict.reasons[0]


def test_a_guardrail_decides_too() -> None:
    made = logs(effect=0.5)
    treated = set(made.extra["user"][made.extra["treated"]])
    # What was bought after the first exposure comes first.
    is_after = pl.int_range(pl.len()) < int(made.extra["after"].sum())
    cheaper = pl.when(pl.col("user_id").is_in(list(treated)) & is_after).then(
        (pl.col("price_cents") * 0.8).round().cast(pl.Int64)
    )
    worse = replace(
        made,
        outcomes=made.outcomes.with_columns(price_cents=cheaper.otherwise(pl.col("price_cents"))),
    )
    found = worse.analyse(plan_of(GUARDRAIL))
    assert found.verdict.decision == "do not ship"
    assert "basket" in found.verdict.reasons[0]
    strict = GUARDRAIL.replace("margin = 0.05", "margin = 0.001")
    found = made.analyse(plan_of(strict))
    assert found.verdict.decision == "not decidable"
    assert "may be worse than the margin" in found.verdict.reasons[0]


def test_lower_can_be_better() -> None:
    plan = plan_of('better = "lower"\n')
    assert logs(effect=0.5).analyse(plan).verdict.decision == "do not ship"
    assert logs(effect=-0.5).analyse(plan).verdict.decision == "ship"


def test_one_sided_plans_ask_only_whether_it_is_better() -> None:
    found = logs(effect=0.5).analyse(plan_of(top='sides = "one"\n'))
    tested = found.metrics[0].tested
    assert tested is not None
    assert tested.high == np.inf
    assert found.verdict.decision == "ship"


def test_an_a_a_test_finds_nothing_where_nothing_is_and_says_where_something_is() -> None:
    plan = plan_of(top='mode = "aa"\nsides = "one"\n')
    alike = logs(effect=0.0, seed=3).analyse(plan)
    assert alike.verdict.decision == "ship"
    assert "alike" in alike.verdict.reasons[0]
    unlike = logs(effect=0.5).analyse(plan)
    assert unlike.verdict.decision == "do not ship"
    assert "assignment or logging is not" in unlike.verdict.reasons[0]


def test_cuped_agrees_with_welch_and_is_surer() -> None:
    made = logs(effect=0.3)
    plain, adjusted = (
        made.analyse(plan_of(top=f'analysis = "{kind}"\n')).metrics[0]
        for kind in ("welch", "cuped")
    )
    assert plain.absolute is not None
    assert adjusted.absolute is not None
    assert adjusted.absolute.standard_error < plain.absolute.standard_error
    assert adjusted.absolute.value == pytest.approx(plain.absolute.value, abs=0.15)
    assert adjusted.variance_cut is not None
    assert 0.05 < adjusted.variance_cut < 0.5


def test_post_stratification_uses_the_first_segment() -> None:
    extra = '[[segments]]\nname = "past"\nby = "new-users"\n'
    found = logs(effect=0.3).analyse(plan_of(extra, top='analysis = "post-stratified"\n'))
    [result] = found.metrics
    assert result.variance_cut is not None
    assert result.variance_cut > 0
    assert result.note == ""


def test_segments_are_told_from_before_and_others_are_exploratory() -> None:
    extra = """
[[segments]]
name = "past"
by = "new-users"
[[segments]]
name = "mood"
by = "unhappy-users"
[[segments]]
name = "place"
by = "column"
column = "surface"
"""
    made = logs()
    old = pl.DataFrame(
        {
            "user_id": [made.extra["user"][n] for n in (0, 0, 1, 2)],
            "event_type": ["review"] * 4,
            "event_time": [START - timedelta(days=200)] * 4,
            "polarity": [-0.9, 0.5, 0.5, -0.1],
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )
    told = replace(made, outcomes=pl.concat([made.outcomes, old], how="diagonal"))
    found = told.analyse(plan_of(extra), explored=["variant"])
    past, mood, place, explored = found.segments
    new = int((made.extra["before"] == 0).sum())
    assert {g.group: g.num_users for g in past.groups} == {"known": 4000 - new, "new": new}
    assert {g.group: g.num_users for g in mood.groups} == {
        "no review": 3997,
        "content": 1,
        "unhappy": 2,
    }
    assert {g.group for g in place.groups} == {"home", "item"}
    assert place.heterogeneity_p is not None
    assert place.heterogeneity_p > 0.001
    assert (past.is_declared, explored.is_declared) == (True, False)


def test_an_effect_that_wears_off_is_seen_by_day() -> None:
    made = logs(effect=0.0, num_users=6000)
    rng = np.random.default_rng(1)
    treated = made.extra["user"][made.extra["treated"]]
    entry = made.exposures.group_by("user_id").agg(pl.col("event_time").min())
    extra = entry.filter(pl.col("user_id").is_in(list(treated))).with_columns(
        event_type=pl.lit("purchase"),
        event_time=pl.col("event_time")
        + pl.Series([timedelta(days=float(d)) for d in rng.random(len(treated))]),
    )
    novel = replace(made, outcomes=pl.concat([made.outcomes, extra], how="diagonal"))
    days = novel.analyse(_absolute()).days
    effects = [day.reading.value for day in days if day.reading is not None]
    assert len(effects) == 7
    assert effects[0] == pytest.approx(1, abs=0.15)
    assert max(map(abs, effects[1:])) < 0.15


def test_the_days_of_a_mean_add_up_to_the_window() -> None:
    made = logs(num_users=1000)
    found = made.analyse(_absolute())
    total = found.metrics[0].absolute
    assert total is not None
    by_day = [day.reading.value for day in found.days if day.reading is not None]
    assert sum(by_day) == pytest.approx(total.value)


def _absolute() -> Plan:
    content = plan_of().model_dump()
    content["metrics"][0]["scale"] = "absolute"
    content["minimum_effect"] = {"absolute": 0.1}
    return Plan.model_validate(content)


def test_secondary_metrics_are_counted_and_need_the_primary() -> None:
    extra = """
[[metrics]]
name = "revenue"
kind = "mean"
event = "purchase"
value = "cents"
[[metrics]]
name = "median"
kind = "quantile"
event = "purchase"
value = "cents"
quantile = 0.5
of = "events"
"""
    found = logs(effect=0.5).analyse(plan_of(extra))
    revenue, median = found.metrics[1:]
    assert revenue.tested is not None
    assert revenue.adjusted_p == pytest.approx(2 * revenue.tested.p_value)
    assert (revenue.is_significant, median.is_significant) == (True, False)
    nothing = logs(effect=0.0, seed=3).analyse(plan_of(extra))
    assert not any(m.is_significant for m in nothing.metrics)


def test_a_lift_over_nothing_is_not_decidable() -> None:
    made = logs(num_users=200)
    assert made.analyse(plan_of()).metrics[0].tested is not None
    empty = replace(made, outcomes=made.outcomes.filter(pl.col("event_type") == "review"))
    found = empty.analyse(plan_of())
    assert found.verdict.decision == "not decidable"
    assert "cannot be estimated on the relative scale" in found.verdict.reasons[0]
    assert gate(found, "values").status == "warn"


def test_a_bayesian_reading_is_an_option() -> None:
    made = logs(effect=0.5)
    assert made.analyse(plan_of()).metrics[0].belief is None
    belief = made.analyse(plan_of(top="bayesian = true\n")).metrics[0].belief
    assert belief is not None
    assert belief.chance_to_beat_control > 0.999


def _dropped(made: Logs, share: float, *, arm: str = "treatment") -> Logs:
    users = pl.Series(made.extra["user"][made.extra["treated"] == (arm == "treatment")])
    gone = users.head(round(share * len(users)))
    return replace(made, exposures=made.exposures.filter(~pl.col("user_id").is_in(gone.implode())))


def test_lost_users_stop_the_report() -> None:
    made = logs()
    assert gate(made.analyse(plan_of()), "sample ratio").status == "pass"
    found = _dropped(made, 0.2).analyse(plan_of())
    assert gate(found, "sample ratio").status == "refuse"
    assert found.verdict.decision == "not decidable"
    assert "sample ratio" in found.verdict.reasons[0]
    assert (found.metrics, found.days, found.segments) == ([], [], [])


def test_planned_shares_count_for_the_sample_ratio() -> None:
    made = logs(share=0.2)
    uneven = plan_of(
        "[control]\nname='control'\nshare=0.8\n[treatment]\nname='treatment'\nshare=0.2\n"
    )
    assert gate(made.analyse(uneven), "sample ratio").status == "pass"
    assert gate(made.analyse(plan_of()), "sample ratio").status == "refuse"


def test_logged_chances_are_compared_with_the_plan() -> None:
    made = logs()
    assert gate(made.analyse(plan_of()), "assignment").status == "pass"
    without = replace(made, exposures=made.exposures.drop("policy_propensity"))
    found = gate(without.analyse(plan_of()), "assignment")
    assert found.status == "warn"
    assert "no propensities" in found.message
    other = replace(made, exposures=made.exposures.with_columns(policy_propensity=pl.lit(0.4)))
    assert gate(other.analyse(plan_of()), "assignment").status == "refuse"


def test_users_of_both_variants_are_left_out_or_refused() -> None:
    made = logs()

    def crossed(num: int) -> Logs:
        again = made.exposures.unique("user_id", keep="first", maintain_order=True).head(num)
        other = pl.when(pl.col("variant") == "control").then(pl.lit("treatment"))
        again = again.with_columns(
            variant=other.otherwise(pl.lit("control")), recommendation_id=pl.lit("again")
        ).with_columns(pl.col("recommendation_id") + pl.int_range(pl.len()).cast(pl.String))
        return replace(made, exposures=pl.concat([made.exposures, again]))

    few, many = crossed(10).analyse(plan_of()), crossed(100).analyse(plan_of())
    assert few.counts["users_in_both_variants"] == 10
    assert few.counts["users"] == 3990
    assert gate(few, "one variant a user").status == "warn"
    assert gate(many, "one variant a user").status == "refuse"


def test_a_day_without_exposures_is_refused() -> None:
    made = logs()
    day = pl.col("event_time").is_between(START + timedelta(days=4), START + timedelta(days=5))
    found = gate(
        replace(made, exposures=made.exposures.filter(~day)).analyse(plan_of()), "exposures by day"
    )
    assert found.status == "refuse"
    assert "day 5" in found.message
    assert gate(made.analyse(plan_of()), "exposures by day").status == "pass"


def test_a_ratio_that_moves_between_days_is_refused() -> None:
    made = logs()
    late = pl.col("event_time") > START + timedelta(days=7)
    treated = pl.col("variant") == "treatment"
    every_other = pl.col("user_id").str.slice(1).cast(pl.Int64) % 2 == 0
    moved = made.exposures.filter(~((late == treated) & every_other))
    found = replace(made, exposures=moved).analyse(plan_of())
    assert gate(found, "sample ratio").status == "pass"
    assert gate(found, "exposures by day").status == "refuse"


def test_outcomes_of_users_that_were_never_exposed_are_refused() -> None:
    made = logs()
    gone = made.extra["user"][::20].tolist()
    lost = made.exposures.filter(~pl.col("user_id").is_in(gone))
    unmarked = replace(made, exposures=lost).analyse(plan_of())
    assert unmarked.counts["users_never_exposed"] > 100
    assert gate(unmarked, "missing exposures").status == "pass"
    marked = made.outcomes.with_columns(experiment=pl.lit("sentiment-rerank"))
    found = replace(made, exposures=lost, outcomes=marked).analyse(plan_of())
    assert gate(found, "missing exposures").status == "refuse"


def test_arms_that_differed_before_are_refused() -> None:
    made = logs()
    treated = made.extra["user"][made.extra["treated"]].tolist()
    early = pl.col("event_time") < START - timedelta(days=3)
    more = made.outcomes.filter(early & pl.col("user_id").is_in(treated))
    found = replace(made, outcomes=pl.concat([made.outcomes, more])).analyse(plan_of())
    assert gate(found, "balance before").status == "refuse"
    assert gate(made.analyse(plan_of()), "balance before").status == "pass"
    new = replace(made, outcomes=made.outcomes.filter(pl.col("event_time") >= DONE))
    assert gate(new.analyse(plan_of()), "balance before").status == "warn"


def _with_bots(made: Logs, arms: list[str]) -> Logs:
    bots = pl.DataFrame({"user_id": [f"bot{n}" for n in range(len(arms))], "variant": arms})
    rows = bots.join(pl.DataFrame({"n": range(60)}), how="cross").select(
        "user_id",
        "variant",
        recommendation_id=pl.col("user_id") + pl.col("n").cast(pl.String),
        event_time=pl.lit(START + timedelta(days=3)).cast(pl.Datetime("us", "UTC")),
        policy_propensity=pl.lit(0.5),
    )
    return replace(made, exposures=pl.concat([made.exposures, rows], how="diagonal"))


def test_bots_are_left_out_and_refused_where_they_are_of_one_arm() -> None:
    made = logs()
    plan = plan_of("[bots]\nmax_exposures_per_day = 50\n")
    assert gate(made.analyse(plan), "bots").status == "pass"
    even = _with_bots(made, ["control", "treatment"] * 3).analyse(plan)
    assert even.counts["bots"] == 6
    assert even.counts["users"] == 4000
    assert gate(even, "bots").status == "warn"
    odd = _with_bots(made, ["treatment"] * 20).analyse(plan)
    assert gate(odd, "bots").status == "refuse"


def test_an_early_look_is_refused_and_an_earlier_one_is_told() -> None:
    made = logs(effect=0.5)
    early = START + timedelta(days=9)
    found = made.analyse(plan_of(), as_of=early)
    assert gate(found, "looks").status == "refuse"
    assert found.metrics == []
    late = made.analyse(plan_of(), earlier_looks=[early])
    assert gate(late, "looks").status == "warn"
    assert early.isoformat() in gate(late, "looks").message
    assert late.verdict.decision == "ship"


@pytest.mark.parametrize("method", ["obrien-fleming", "pocock"])
def test_planned_looks_may_decide_early(method: str) -> None:
    plan = plan_of(f'[sequential]\nmethod = "{method}"\nlooks = [0.5, 1.0]\n')
    half = START + timedelta(days=7)
    made = logs(effect=1.0)
    found = made.analyse(plan, as_of=half)
    assert gate(found, "looks").status == "pass"
    assert list(found.critical) == [0.5]
    assert found.verdict.decision == "ship"
    small = logs(effect=0.0, num_users=400, seed=3).analyse(plan, as_of=half)
    assert small.verdict.decision == "not decidable"
    assert small.verdict.reasons[-1] == "the experiment goes on"


def test_a_look_that_was_not_planned_spends_alpha_too() -> None:
    plan = plan_of('[sequential]\nmethod = "pocock"\nlooks = [0.5, 1.0]\n')
    made = logs()
    early = START + timedelta(days=3)
    quiet, curious = made.analyse(plan), made.analyse(plan, earlier_looks=[early])
    assert list(quiet.critical) == [0.5, 1.0]
    assert len(curious.critical) == 3
    assert curious.critical[1.0] > quiet.critical[1.0]
    assert gate(curious, "looks").status == "warn"


def test_always_valid_plans_may_be_looked_at_whenever() -> None:
    plan = plan_of('[sequential]\nmethod = "always-valid"\ntuning = 2000\n')
    made = logs(effect=1.0)
    found = made.analyse(plan, as_of=START + timedelta(days=5), earlier_looks=[START])
    assert gate(found, "looks").status == "pass"
    assert found.verdict.decision == "ship"
    fixed = made.analyse(plan_of()).metrics[0].tested
    always = made.analyse(plan).metrics[0].tested
    assert fixed is not None
    assert always is not None
    assert always.high - always.low > fixed.high - fixed.low


@pytest.mark.parametrize(
    ("record", "status", "words"),
    [
        (None, "warn", "nothing shows that the plan is older"),
        (PlanRecord(is_kept=True, num_versions=1), "warn", "changed after it was locked"),
        (
            PlanRecord(is_kept=True, num_versions=2, first_seen=END),
            "warn",
            "after the first exposure",
        ),
        (
            PlanRecord(is_kept=True, num_versions=1, first_seen=START - timedelta(days=1)),
            "pass",
            "before the first exposure",
        ),
    ],
)
def test_a_plan_that_is_younger_than_the_data_is_marked(
    record: PlanRecord | None, status: str, words: str
) -> None:
    found = gate(logs(num_users=200).analyse(plan_of(), record=record), "plan")
    assert found.status == status
    assert words in found.message


def test_rows_left_out_are_told() -> None:
    made = logs(num_users=500)
    assert gate(made.analyse(plan_of()), "rows left out").status == "pass"
    twice = replace(made, exposures=pl.concat([made.exposures, made.exposures.head(9)]))
    found = gate(twice.analyse(plan_of()), "rows left out")
    assert found.status == "warn"
    assert "9 that say an exposure again" in found.message


def test_the_order_of_rows_changes_nothing() -> None:
    made = logs(num_users=500)
    extra = '[[metrics]]\nname = "happy"\nkind = "satisfaction"\n'
    shuffled = replace(
        made,
        exposures=made.exposures.sample(fraction=1, shuffle=True, seed=1),
        outcomes=made.outcomes.sample(fraction=1, shuffle=True, seed=2),
    )
    one, other = (part.analyse(plan_of(extra)) for part in (made, shuffled))
    assert one.metrics == other.metrics
    assert one.days == other.days


def test_nothing_before_the_start_can_be_analysed() -> None:
    with pytest.raises(Exception, match="no user of variant"):
        logs(num_users=50).analyse(plan_of(), as_of=datetime(2026, 8, 1, tzinfo=START.tzinfo))
