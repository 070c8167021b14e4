"""Boundaries against published tables, and power against textbooks and peers."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower

from recsys.abtest.effects import Contrast
from recsys.abtest.group_sequential import (
    boundaries,
    crossing_chance,
    read_at_look,
    repeated_p_value,
    spent,
)
from recsys.abtest.looks import look_fractions, time_fraction
from recsys.abtest.multiplicity import adjusted
from recsys.abtest.plan import parse_plan
from recsys.abtest.plan_sections import SequentialSection
from recsys.abtest.power import minimum_detectable_effect, num_users_needed

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        ("obrien-fleming", [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        ("pocock", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_are_those_of_published_tables(spending, published: list[float]) -> None:
    """Lan and DeMets's functions, five looks, two-sided 0.05: the tables of `ldbounds`.

    Those tables are integrated on a grid of step 0.05: their last digit is off by one here and
    there, which an exact integration shows.
    """
    found = boundaries(spending, FIVE, alpha=0.05, sides="two")
    assert found == pytest.approx(published, abs=1.2e-4)


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("sides", ["two", "one"])
@settings(max_examples=15)
@given(
    looks=st.sets(st.integers(5, 100), min_size=1, max_size=8),
    alpha=st.sampled_from([0.01, 0.05, 0.1]),
)
def test_alpha_is_spent_and_no_more(spending, sides, looks: set[int], alpha: float) -> None:
    fractions = [look / 100 for look in sorted(looks)]
    bounds = boundaries(spending, fractions, alpha=alpha, sides=sides)
    one_sided = alpha / 2 if sides == "two" else alpha
    budget = spent(spending, fractions[-1], one_sided) * (2 if sides == "two" else 1)
    assert crossing_chance(fractions, bounds, sides=sides) == pytest.approx(budget, abs=2e-6)


def test_one_look_is_the_fixed_test() -> None:
    for spending in ("obrien-fleming", "pocock"):
        assert boundaries(spending, [1.0], alpha=0.05, sides="two") == pytest.approx([1.959964])


def test_boundaries_hold_in_simulations() -> None:
    rng = np.random.default_rng(0)
    bounds = boundaries("obrien-fleming", FIVE, alpha=0.05, sides="two")
    walks = rng.normal(size=(200_000, 5)).cumsum(1) / np.sqrt(np.arange(1, 6))
    crossed = (np.abs(walks) >= bounds).any(1).mean()
    assert crossed == pytest.approx(0.05, abs=2.6 * math.sqrt(0.05 * 0.95 / 200_000))


@pytest.mark.parametrize("sides", ["one", "two"])
@pytest.mark.parametrize("spending", ["pocock", "obrien-fleming"])
@pytest.mark.parametrize("more", [[0.0001], [0.002], [0.5005], [0.501, 0.502]])
def test_a_look_that_adds_next_to_nothing_changes_next_to_nothing(
    spending, sides, more: list[float]
) -> None:
    alone = boundaries(spending, [0.5, 1.0], alpha=0.05, sides=sides)[-1]
    looks = sorted([0.5, 1.0, *more])
    found = boundaries(spending, looks, alpha=0.05, sides=sides)
    assert found[-1] == pytest.approx(alone, abs=0.002)
    assert crossing_chance(looks, found, sides=sides) == pytest.approx(0.05, abs=1e-6)


def test_wrong_fractions_are_refused() -> None:
    for wrong in ([], [0.5, 0.5], [0.5, 1.1], [0.0, 1.0]):
        with pytest.raises(ValueError, match="fractions must increase"):
            boundaries("pocock", wrong, alpha=0.05, sides="two")


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
@pytest.mark.parametrize("sides", ["two", "one"])
def test_the_p_value_is_alpha_on_the_boundary(spending, sides) -> None:
    bounds = boundaries(spending, FIVE[:3], alpha=0.05, sides=sides)
    found = repeated_p_value(bounds[-1], spending, FIVE[:3], sides=sides)
    assert found == pytest.approx(0.05, rel=1e-4)
    assert repeated_p_value(0.0, spending, FIVE[:3], sides="two") == 1


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("z", [1.5, 2.6, 2.75, -3.0])
def test_a_look_excludes_zero_where_its_boundary_is_crossed(better, z: float) -> None:
    contrast = Contrast(value=z, standard_error=1, degrees_of_freedom=math.inf, num_users=99)
    reading = read_at_look(
        contrast, "obrien-fleming", FIVE[:3], alpha=0.05, sides="two", better=better
    )
    assert (reading.low > 0 or reading.high < 0) == (abs(z) > 2.6803)
    assert (reading.p_value < 0.05) == (abs(z) > 2.6803)


@pytest.mark.parametrize(
    ("share", "effect", "sides"), [(0.5, 0.2, "two"), (0.3, 0.1, "two"), (0.5, 0.15, "one")]
)
def test_numbers_of_users_are_those_of_statsmodels(share: float, effect: float, sides) -> None:
    found = num_users_needed(
        variance=1, effect=effect, alpha=0.05, power=0.9, sides=sides, treatment_share=share
    )
    control = NormalIndPower().solve_power(
        effect,
        power=0.9,
        alpha=0.05,
        ratio=share / (1 - share),
        alternative="two-sided" if sides == "two" else "larger",
    )
    assert found == pytest.approx(control / (1 - share), abs=1.5)


@settings(max_examples=30)
@given(st.floats(0.1, 100), st.floats(0.01, 1), st.sampled_from(["none", "pocock", "always-valid"]))
def test_the_detectable_effect_is_the_inverse_of_the_users(variance, effect, method) -> None:
    looks = [0.5, 1.0] if method == "pocock" else []
    sequential = SequentialSection(method=method, looks=looks)
    options = {"alpha": 0.05, "power": 0.8, "sides": "two", "sequential": sequential}
    users = num_users_needed(variance=variance, effect=effect, **options)
    found = minimum_detectable_effect(variance=variance, num_users=users, **options)
    assert found <= effect * (1 + 1e-6)
    assert found == pytest.approx(effect, rel=0.05)


def test_looks_cost_users() -> None:
    """Jennison and Turnbull 1999: five O'Brien-Fleming looks cost about 3%, Pocock's over 20%."""
    options = {"variance": 1.0, "effect": 0.05, "alpha": 0.05, "power": 0.9, "sides": "two"}
    fixed = num_users_needed(**options)
    inflated = {
        method: num_users_needed(**options, sequential=SequentialSection(method=method, looks=FIVE))
        / fixed
        for method in ("obrien-fleming", "pocock")
    }
    assert inflated["obrien-fleming"] == pytest.approx(1.03, abs=0.01)
    assert 1.15 < inflated["pocock"] < 1.25
    always = num_users_needed(
        **options, sequential=SequentialSection(method="always-valid", tuning=5000)
    )
    assert always > fixed * 1.3


def test_an_effect_of_nothing_cannot_be_found() -> None:
    with pytest.raises(ValueError, match="cannot be found"):
        num_users_needed(variance=1, effect=0, alpha=0.05, power=0.8, sides="two")


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_adjusted_p_values_are_ordered_and_not_smaller(p_values: list[float]) -> None:
    for method in ("none", "holm", "benjamini-hochberg"):
        found = adjusted(p_values, method)
        assert all(p <= q <= 1 for p, q in zip(p_values, found, strict=True))
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(np.array(found)[order]) >= -1e-12).all()
    assert all(
        bh <= holm + 1e-12
        for bh, holm in zip(
            adjusted(p_values, "benjamini-hochberg"), adjusted(p_values, "holm"), strict=True
        )
    )


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p_values = [0.01, 0.02, 0.03, 0.04]
    assert adjusted(p_values, "holm") == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert adjusted(p_values, "benjamini-hochberg") == pytest.approx([0.04] * 4)


def test_looks_a_minute_apart_are_one() -> None:
    plan = parse_plan(
        """
        name = "x"
        start = 2026-09-01
        end = 2026-09-15
        minimum_effect = { relative = 0.02 }
        metrics = [{ name = "revenue", kind = "mean", event = "purchase", role = "primary" }]
        sequential = { method = "pocock", looks = [0.5, 1.0] }
        """
    )
    noon = datetime(2026, 9, 5, 12, tzinfo=UTC)
    minutes = [noon + timedelta(minutes=minute) for minute in range(3)]
    first = time_fraction(plan, noon)
    assert look_fractions(plan, minutes[:2], minutes[2]) == [time_fraction(plan, minutes[2])]
    assert look_fractions(plan, minutes, plan.end) == [first, 0.5, 1.0]
