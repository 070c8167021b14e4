"""Who writes a review, how many stars they give and what they say.

Let X be `sentiment_effect` and rho = X / (X + 0.5). What is said of an aspect has the polarity

    (1 - rho) (star_mood + 0.7 noise) + rho (1.3 felt[a] + 0.2 + 0.35 noise)

cut into five levels; the whole is told alike from `latent`, within what the stars allow. At X = 0
all that a text says, and how, is drawn given the stars, the department and the language only;
aspects are then mentioned at random. The numbers that decide how it is said are drawn apart from
everything. Shapes: N purchases, R reviews, A aspects.
"""

from dataclasses import dataclass

import numpy as np

from jobs.sample_shop.catalogue import DEPARTMENT_ASPECTS
from jobs.sample_shop.chinese import CHINESE
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.departments import ASPECTS, DEPARTMENTS
from jobs.sample_shop.english import ENGLISH
from jobs.sample_shop.experience import Experience
from jobs.sample_shop.grammar import Composed, Telling, compose

_CUTS = np.array([-1.0, -0.3, 0.3, 1.0])
# Indexed by stars, 1 to 5; index 0 is unused.
_STAR_MOOD = np.array([0.0, -1.5, -0.8, 0.05, 0.8, 1.5])
# Nobody gives one star and says that all is well, or five and says that it is bad.
_LEAST_OVERALL = np.array([0, 0, 0, 1, 2, 2])
_MOST_OVERALL = np.array([0, 1, 2, 3, 4, 4])
_WISH_SHARE = np.array([0.0, 0.08, 0.25, 0.35, 0.28, 0.08])
_OVERALL_SHARE = np.array([0.0, 0.9, 0.75, 0.65, 0.7, 0.85])
_NUM_OPINIONS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [0.35, 0.40, 0.18, 0.07],
        [0.20, 0.45, 0.25, 0.10],
        [0.15, 0.40, 0.32, 0.13],
        [0.28, 0.40, 0.23, 0.09],
        [0.45, 0.33, 0.16, 0.06],
    ]
)
_NUM_FACTS = np.array([0.38, 0.36, 0.20, 0.06])
_NUM_UNIFORMS = 64


@dataclass(frozen=True, kw_only=True)
class Reviewing:
    """Who reviews what, and when."""

    purchase: np.ndarray
    """int[R]: row of the purchase."""
    stars: np.ndarray
    """int[N]: what each buyer would give, 1 to 5, for all purchases."""
    time_s: np.ndarray
    """int[R]: seconds since 1970."""


def give_stars(
    config: ShopConfig,
    latent: np.ndarray,
    generosity: np.ndarray,
    always_five: np.ndarray,
) -> np.ndarray:
    """Squeeze what was felt into stars: kind, coarse and noisy, int[N].

    Args:
        config: settings.
        latent: what was felt, float[N].
        generosity: of the buyers, float[N].
        always_five: of the buyers, bool[N].
    """
    rng = generator(config, "reviewing")
    shown = latent + generosity + 0.45 * rng.normal(size=len(latent))
    stars = 1 + np.searchsorted([-0.5, -0.2, 0.2, 0.9], shown)
    return np.where(always_five & (latent > -1.2), 5, stars)


def pick_reviewers(
    config: ShopConfig,
    stars: np.ndarray,
    talkative: np.ndarray,
    is_first: np.ndarray,
    purchase_s: np.ndarray,
) -> Reviewing:
    """Choose exactly `num_reviews` purchases, the loved and the hated a little more often.

    Raises:
        ValueError: too few purchases can still be reviewed within the window.
    """
    rng = generator(config, "reviewing").spawn(1)[0]
    delay_s = np.maximum(86400.0, 86400 * np.exp(np.log(8) + 0.7 * rng.normal(size=len(stars))))
    time_s = purchase_s + delay_s.astype(np.int64)
    keen = talkative + np.array([0, 0.6, 0.2, -0.2, 0.0, 0.2])[stars] + rng.gumbel(size=len(stars))
    can = is_first & (time_s < config.start_s + config.days * 86400)
    if can.sum() < config.num_reviews:
        raise ValueError(
            f"only {can.sum()} purchases can be reviewed in the window, wanted "
            f"{config.num_reviews}: raise days or num_items, or lower num_reviews"
        )
    order = np.argsort(np.where(can, -keen, np.inf), kind="stable")[: config.num_reviews]
    order = order[np.argsort(time_s[order], kind="stable")]
    return Reviewing(purchase=order, stars=stars, time_s=time_s[order])


def plan_tellings(
    config: ShopConfig,
    stars: np.ndarray,
    department: np.ndarray,
    weight: np.ndarray,
    experience: Experience,
) -> list[Telling]:
    """Decide what each review says.

    Args:
        config: settings.
        stars: given stars, int[R].
        department: of the item, int[R].
        weight: what the writer cares for, float[R, A], sums to 1 over the department.
        experience: what the writer felt, R rows.
    """
    rng = generator(config, "writing")
    num_rows = len(stars)
    rho = config.sentiment_effect / (config.sentiment_effect + 0.5)
    shape = (num_rows, len(ASPECTS))
    mood = _STAR_MOOD[stars]
    star_told = mood[:, None] + 0.7 * rng.normal(size=shape)
    felt_told = 1.3 * experience.felt + 0.2 + 0.35 * rng.normal(size=shape)
    level = np.searchsorted(_CUTS, (1 - rho) * star_told + rho * felt_told)
    overall_star = mood + 0.35 * rng.normal(size=num_rows)
    overall_felt = 1.5 * experience.latent + 0.3 + 0.2 * rng.normal(size=num_rows)
    overall = np.searchsorted(_CUTS, (1 - rho) * overall_star + rho * overall_felt)
    overall = np.clip(overall, _LEAST_OVERALL[stars], _MOST_OVERALL[stars])

    allowed = DEPARTMENT_ASPECTS[department]
    even = allowed / allowed.sum(axis=1, keepdims=True)
    care = weight * (0.3 + np.abs(experience.felt - 0.2)) * allowed
    care /= care.sum(axis=1, keepdims=True)
    mention = np.log((1 - rho) * even + rho * care + 1e-12) + rng.gumbel(size=shape)
    order = np.argsort(-mention, axis=1, kind="stable")
    steps = np.cumsum(_NUM_OPINIONS[stars], axis=1)
    num_opinions = 1 + (rng.random(num_rows)[:, None] > steps[:, :-1]).sum(axis=1)
    # A wish names what is cared for and felt bad, or anything at all where nothing is told.
    want = np.log((1 - rho) * even + rho * weight * np.exp(-experience.felt) * allowed + 1e-12)
    wish = np.argmax(want + rng.gumbel(size=shape), axis=1)
    wishes = rng.random(num_rows) < _WISH_SHARE[stars]
    says_overall = rng.random(num_rows) < _OVERALL_SHARE[stars]
    num_facts = np.searchsorted(np.cumsum(_NUM_FACTS)[:-1], rng.random(num_rows))
    num_facts = np.minimum(num_facts, 8 - num_opinions - wishes - says_overall)
    return [
        Telling(
            opinions=tuple((ASPECTS[a], int(level[r, a])) for a in order[r, : num_opinions[r]]),
            overall=int(overall[r]),
            says_overall=bool(says_overall[r]),
            wish=ASPECTS[wish[r]] if wishes[r] else None,
            num_facts=int(num_facts[r]),
            is_plural=DEPARTMENTS[department[r]].plural,
        )
        for r in range(num_rows)
    ]


def write_texts(
    config: ShopConfig, tellings: list[Telling], is_chinese: np.ndarray
) -> list[Composed]:
    """Put the tellings into words."""
    rng = generator(config, "writing").spawn(1)[0]
    uniforms = rng.random((len(tellings), _NUM_UNIFORMS)).tolist()
    return [
        compose(CHINESE if chinese else ENGLISH, telling, row)
        for telling, chinese, row in zip(tellings, is_chinese, uniforms, strict=True)
    ]
