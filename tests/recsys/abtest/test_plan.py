"""Plans: what they mean, their hash, and what they say of mistakes."""

import pytest
from generated_logs import PLAN, plan_of

from recsys.abtest.plan import parse_plan
from recsys.errors import PlanError


def test_a_plan_fills_in_what_it_does_not_say() -> None:
    plan = plan_of()
    assert (plan.alpha, plan.power, plan.sides, plan.analysis) == (0.05, 0.8, "two", "welch")
    assert (plan.control.name, plan.treatment.name) == ("control", "treatment")
    assert plan.duration_days == 14
    assert plan.primary.name == "purchases"


def test_the_hash_is_of_what_a_plan_says_and_not_of_how() -> None:
    plain = plan_of()
    same = parse_plan(
        "# a comment\nalpha = 0.05\n"
        + PLAN.replace("2026-09-01T00:00:00Z", "2026-09-01T02:00:00+02:00")
    )
    assert len(plain.sha256()) == 64
    assert plain.sha256() == same.sha256()
    assert plan_of(top="alpha = 0.01\n").sha256() != plain.sha256()


SECOND = '\n[[metrics]]\nname = "other"\nkind = "mean"\nevent = "click"\n'


@pytest.mark.parametrize(
    ("top", "extra", "message"),
    [
        ("alhpa = 0.05\n", "", r"unknown key alhpa = 0.05; allowed there: alpha, analysis"),
        ("alpha = 0.7\n", "", r"alpha = 0.7: Input should be less than 0.5"),
        ('analysis = "bayes"\n', "", r"analysis = 'bayes': Input should be 'welch', 'cuped' or"),
        (
            "",
            "[bots]\nmax = 3\n",
            r"unknown key bots.max = 3; allowed there: max_exposures_per_day",
        ),
        ("", SECOND + "wrong = 1\n", r"unknown key metrics.1.wrong = 1; allowed there: better"),
        (
            "",
            SECOND.replace('event = "click"', ""),
            "kind 'mean' needs an event, such as 'purchase'",
        ),
        ("", SECOND + 'role = "primary"\n', "exactly one metric has role = 'primary', not 2"),
        ("", SECOND.replace("other", "purchases"), "metrics must have different names"),
        ("", SECOND + 'role = "guardrail"\n', "margin goes with role 'guardrail'"),
        ("", SECOND + "margin = 0.1\n", "margin goes with role 'guardrail'"),
        ("", SECOND + "quantile = 0.5\n", "quantile goes with kind 'quantile'"),
        ("", SECOND.replace('"mean"', '"quantile"'), "which needs it, such as quantile = 0.9"),
        ("", SECOND.replace('"mean"', '"ratio"'), "a ratio needs it"),
        ("", SECOND + 'of = "events"\n', "of = 'events' goes with kind 'quantile'"),
        ("", SECOND.replace('"mean"', '"satisfaction"'), "takes no event and no value"),
        (
            "",
            SECOND.replace('"mean"', '"conversion"') + 'value = "cents"\n',
            "a conversion has no value",
        ),
        ("", '[sequential]\nmethod = "pocock"\n', r"looks must end at 1 for pocock"),
        ("", '[sequential]\nmethod = "pocock"\nlooks = [0.6, 0.5, 1]\n', "looks must increase"),
        ("", "[sequential]\nlooks = [1]\n", "looks are for group-sequential methods, not none"),
        ("", "[control]\nname = 'a'\nshare = 0.4\n", "must be 1, not 0.9"),
        ("", "[control]\nname = 'treatment'\n", "have the same name 'treatment'"),
        ("", "[[segments]]\nname = 's'\nby = 'column'\n", "`column` goes with by = 'column'"),
        ('analysis = "post-stratified"\n', "", "needs a segment, whose groups are the strata"),
        ('pre_period_days = 0\nanalysis = "cuped"\n', "", "pre_period_days = 14|TOML"),
        ("", "[[[", "is no TOML file"),
    ],
)
def test_mistakes_are_named_with_what_was_seen(top: str, extra: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_of(extra, top=top)


def test_contradictions_between_parts_are_named() -> None:
    with pytest.raises(PlanError, match="must be after start"):
        parse_plan(PLAN.replace("2026-09-15", "2026-08-15"))
    with pytest.raises(PlanError, match="end is missing"):
        parse_plan(PLAN.replace("end = 2026-09-15T00:00:00Z", ""))
    with pytest.raises(PlanError, match="give exactly one of relative and absolute"):
        parse_plan(PLAN.replace("relative = 0.05", "relative = 0.05\nabsolute = 1"))
    with pytest.raises(PlanError, match="minimum_effect must be relative"):
        parse_plan(PLAN.replace("relative = 0.05", "absolute = 1"))
    with pytest.raises(PlanError, match="minimum_effect must be absolute"):
        parse_plan(PLAN + 'scale = "absolute"\n')
    with pytest.raises(PlanError, match="pre_period_days must be above 0"):
        parse_plan(
            'analysis = "cuped"\n' + PLAN.replace("pre_period_days = 14", "pre_period_days = 0")
        )


def test_satisfaction_is_read_on_the_absolute_scale() -> None:
    plan = plan_of('[[metrics]]\nname = "happy"\nkind = "satisfaction"\n')
    assert plan.metrics[1].tested_scale == "absolute"
    assert plan.metrics[1].numerator == ("review", "polarity")
