import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.customer_value import (
    BgNbd,
    GammaGamma,
    PurchaseHistories,
    fit_bg_nbd,
    fit_gamma_gamma,
)
from recsys.errors import NotEnoughDataError

# Published for the CDNOW customers, in weeks and dollars.
PUBLISHED = BgNbd(r=0.2426, alpha=4.4136, a=0.793, b=2.426)
SPEND = GammaGamma(p=6.25, q=3.74, v=15.44)


def histories(num_repeats: list[int], last: list[float], age: list[float]) -> PurchaseHistories:
    return PurchaseHistories(
        num_repeats=np.array(num_repeats), last_repeat=np.array(last), age=np.array(age)
    )


def simulated(model: BgNbd, num: int, years: float, rng: np.random.Generator) -> PurchaseHistories:
    """Let customers buy and leave as the model says, each from a start of their own."""
    rate = rng.gamma(model.r, 1 / model.alpha, num)
    leaves = rng.beta(model.a, model.b, num)
    age = rng.uniform(0.5, 1.0, num) * years
    rows = []
    for one_rate, one_leaves, one_age in zip(rate, leaves, age, strict=True):
        repeats, last, now = 0, 0.0, 0.0
        while True:
            now += rng.exponential(1 / one_rate)
            if now > one_age:
                break
            repeats, last = repeats + 1, now
            if rng.random() < one_leaves:
                break
        rows.append((repeats, last))
    return histories([n for n, _ in rows], [t for _, t in rows], age.tolist())


def test_the_published_customer() -> None:
    one = histories([2], [30.43], [38.86])
    assert PUBLISHED.expected_purchases(one, 39)[0] == pytest.approx(1.226, abs=5e-4)


def test_the_likelihood_is_the_published_formula() -> None:
    x, t_x, age = 3, 10.0, 20.0
    r, alpha, a, b = 0.5, 4.0, 0.8, 2.5
    from math import gamma

    first = gamma(r + x) * alpha**r / gamma(r)
    second = gamma(a + b) * gamma(b + x) / (gamma(b) * gamma(a + b + x))
    stays = (alpha + age) ** -(r + x)
    left = a / (b + x - 1) * (alpha + t_x) ** -(r + x)
    wanted = np.log(first * second * (stays + left))
    found = BgNbd(r=r, alpha=alpha, a=a, b=b).log_likelihood(histories([x], [t_x], [age]))
    assert found[0] == pytest.approx(wanted, rel=1e-12)


def test_what_a_fit_expects_comes_true() -> None:
    rng = np.random.default_rng(0)
    truth = BgNbd(r=0.8, alpha=5.0, a=0.7, b=3.0)
    seen = simulated(truth, 4000, 50.0, rng)
    found = fit_bg_nbd(seen)
    assert found.log_likelihood(seen).sum() >= truth.log_likelihood(seen).sum()
    later = found.expected_purchases(seen, 25.0)
    assert later.sum() == pytest.approx(truth.expected_purchases(seen, 25.0).sum(), rel=0.05)
    assert (later >= 0).all()


def test_the_unit_of_time_does_not_matter() -> None:
    weeks = simulated(PUBLISHED, 500, 40.0, np.random.default_rng(1))
    days = PurchaseHistories(
        num_repeats=weeks.num_repeats, last_repeat=7 * weeks.last_repeat, age=7 * weeks.age
    )
    by_week, by_day = fit_bg_nbd(weeks), fit_bg_nbd(days)
    assert by_day.alpha == pytest.approx(7 * by_week.alpha, rel=1e-3)
    np.testing.assert_allclose(
        by_day.expected_purchases(days, 70), by_week.expected_purchases(weeks, 10), rtol=1e-3
    )


@given(
    st.integers(0, 40),
    st.floats(0.1, 1.0),
    st.floats(1.0, 300.0),
    st.sampled_from([0.3, 1.0, 1.7]),
)
def test_probabilities_and_expectations_stay_in_range(
    num_repeats: int, share: float, age: float, a: float
) -> None:
    model = BgNbd(r=0.5, alpha=6.0, a=a, b=2.0)
    one = histories([num_repeats], [share * age if num_repeats else 0.0], [age])
    assert 0 <= model.probability_alive(one)[0] <= 1
    soon, later = (model.expected_purchases(one, time)[0] for time in (10.0, 20.0))
    assert 0 <= soon <= later
    assert model.expected_purchases(one, 0)[0] == pytest.approx(0, abs=1e-9)


def test_silence_makes_a_frequent_customer_less_likely_alive() -> None:
    many = histories([8, 8, 0], [38.0, 10.0, 0.0], [39.0, 39.0, 39.0])
    just_now, long_ago, never = PUBLISHED.probability_alive(many)
    assert just_now > 0.8 > 0.2 > long_ago
    assert never == 1


def test_spend_is_learned_and_pulled_to_the_mean() -> None:
    rng = np.random.default_rng(2)
    num_repeats = rng.integers(1, 9, 6000)
    scale = rng.gamma(SPEND.q, 1 / SPEND.v, 6000)
    mean_spend = rng.gamma(SPEND.p * num_repeats, 1 / (num_repeats * scale))
    found = fit_gamma_gamma(num_repeats, mean_spend)
    everyone = SPEND.p * SPEND.v / (SPEND.q - 1)
    assert found.p * found.v / (found.q - 1) == pytest.approx(everyone, rel=0.05)
    once, often = found.expected_spend(np.array([1, 30]), np.array([100.0, 100.0]))
    assert everyone < once < often < 100
    (new,) = found.expected_spend(np.array([0]), np.array([np.nan]))
    assert new == pytest.approx(found.p * found.v / (found.q - 1))


def test_a_mean_that_does_not_exist_is_not_a_number() -> None:
    model = GammaGamma(p=1.0, q=0.5, v=10.0)
    assert np.isnan(model.expected_spend(np.array([0]), np.array([0.0]))[0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([1], [5.0], [4.0]), "last_repeat <= age"),
        (([0], [1.0], [4.0]), "without repeats"),
        (([-1], [0.0], [4.0]), "num_repeats >= 0"),
        (([1, 2], [1.0], [4.0]), "one length"),
    ],
)
def test_impossible_histories_are_refused(rows: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        histories(*rows)


def test_too_few_customers_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="20 customers"):
        fit_bg_nbd(histories([1] * 19, [1.0] * 19, [2.0] * 19))
    with pytest.raises(NotEnoughDataError, match="one came back"):
        fit_bg_nbd(histories([0] * 30, [0.0] * 30, [2.0] * 30))
    with pytest.raises(NotEnoughDataError, match="there are 0"):
        fit_gamma_gamma(np.zeros(30), np.full(30, np.nan))
