"""What goes wrong with items of a sample shop: bad batches, slow drifts, and bombings by reviews.

A bad batch is all that is sold of an item within some weeks: one aspect of it is broken, and the
whole feels worse. A drift gets there slowly and stays. A bombing is a burst of reviews by people
who never bought, made for it, in nearly the same words.
"""

from dataclasses import dataclass, replace

import numpy as np

from jobs.sample_shop.behaviour import Choices
from jobs.sample_shop.catalogue import DEPARTMENT_ASPECTS, Catalogue
from jobs.sample_shop.chinese import CHINESE
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.departments import ASPECTS, DEPARTMENTS
from jobs.sample_shop.english import ENGLISH
from jobs.sample_shop.grammar import Composed, Telling, compose
from jobs.sample_shop.visits import Visits

BAD_BATCH, DRIFT, BOMBING = "bad_batch", "drift", "review_bombing"
_BATCH_DAYS = (21, 36)
_DRIFT_DAYS = 56
# Where incidents begin, as shares of the window: late enough that there is a past.
_EARLIEST, _LATEST = 0.55, 0.85
_BROKEN = -3.0
_WORSE = 2.2
_BOMBS = (20, 41)
_BOMBING_DAYS = 2.5


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One thing that goes wrong.

    Attributes:
        kind: Of the three.
        item: Index.
        aspect: Index of the broken aspect, or of the one that bombs complain of.
        first_day: Day of the window on which it begins.
        last_day: And on which it ends.
    """

    kind: str
    item: int
    aspect: int
    first_day: int
    last_day: int


@dataclass(frozen=True, kw_only=True)
class Bomb:
    """One review of a bombing.

    Attributes:
        item: Index.
        time_s: When, seconds since 1970.
        signup_s: When its account was made, seconds since 1970.
        is_chinese: Of its text.
        composed: What it says.
    """

    item: int
    time_s: int
    signup_s: int
    is_chinese: bool
    composed: Composed


def plan_incidents(
    config: ShopConfig, catalogue: Catalogue, visits: Visits, choices: Choices
) -> list[Incident]:
    """Choose what goes wrong, each with another one of the items that are bought often.

    Raises:
        ValueError: There are more incidents than such items.
    """
    kinds = (
        [BAD_BATCH] * config.bad_batches
        + [DRIFT] * config.drifts
        + [BOMBING] * config.review_bombings
    )
    if not kinds:
        return []
    rng = generator(config, "incidents")
    bought = np.bincount(choices.target[visits.buys], minlength=config.num_items)
    busy = np.argsort(-bought, kind="stable")[: config.num_items // 3]
    if len(kinds) > len(busy):
        raise ValueError(
            f"{len(kinds)} incidents, wanted at most {len(busy)}, a third of num_items"
        )
    items = rng.choice(busy, size=len(kinds), replace=False)
    found = []
    for kind, item in zip(kinds, items.tolist(), strict=True):
        first = int(rng.integers(int(_EARLIEST * config.days), int(_LATEST * config.days)))
        length = {
            BAD_BATCH: int(rng.integers(*_BATCH_DAYS)),
            DRIFT: config.days,
            BOMBING: int(np.ceil(_BOMBING_DAYS)),
        }[kind]
        aspects = np.flatnonzero(DEPARTMENT_ASPECTS[catalogue.department[item]])
        found.append(
            Incident(
                kind=kind,
                item=item,
                aspect=int(rng.choice(aspects)),
                first_day=first,
                last_day=min(first + length, config.days) - 1,
            )
        )
    return found


def with_incidents(visits: Visits, choices: Choices, incidents: list[Incident]) -> Choices:
    """Return the choices with experiences made worse; bombings touch nobody who buys."""
    felt, latent = choices.experience.felt.copy(), choices.experience.latent.copy()
    for incident in incidents:
        if incident.kind == BOMBING:
            continue
        age = visits.day - incident.first_day
        hit = np.flatnonzero(
            visits.buys
            & (choices.target == incident.item)
            & (age >= 0)
            & (visits.day <= incident.last_day)
        )
        share = np.minimum(1.0, age[hit] / _DRIFT_DAYS) if incident.kind == DRIFT else 1.0
        own = felt[hit, incident.aspect]
        felt[hit, incident.aspect] = own + share * np.minimum(0.0, _BROKEN - own)
        latent[hit] -= share * _WORSE
    return replace(choices, experience=replace(choices.experience, felt=felt, latent=latent))


def plan_bombs(config: ShopConfig, catalogue: Catalogue, incidents: list[Incident]) -> list[Bomb]:
    """Write the reviews of all bombings, in order of time."""
    rng = generator(config, "incidents").spawn(1)[0]
    bombs = []
    for incident in incidents:
        if incident.kind != BOMBING:
            continue
        is_chinese = bool(rng.random() < config.chinese_share)
        count = int(rng.integers(*_BOMBS))
        start_s = config.start_s + 86400 * incident.first_day
        time_s = start_s + (86400 * _BOMBING_DAYS * rng.random(count)).astype(np.int64)
        time_s = np.minimum(time_s, config.start_s + 86400 * config.days - 1)
        signup_s = time_s - (86400 * rng.uniform(0.02, 3.0, size=count)).astype(np.int64)
        department = DEPARTMENTS[catalogue.department[incident.item]]
        recipe = rng.random(64)
        for n in range(count):
            # The same draws but for the last ones: the same words, with another sentence or two.
            telling = Telling(
                opinions=((ASPECTS[incident.aspect], 0),),
                overall=0,
                says_overall=True,
                wish=None,
                num_facts=int(rng.integers(0, 2)),
                is_plural=department.plural,
            )
            own = recipe.copy()
            own[8:] = rng.random(56)
            bombs.append(
                Bomb(
                    item=incident.item,
                    time_s=int(time_s[n]),
                    signup_s=int(signup_s[n]),
                    is_chinese=is_chinese,
                    composed=compose(CHINESE if is_chinese else ENGLISH, telling, own.tolist()),
                )
            )
    return sorted(bombs, key=lambda bomb: bomb.time_s)
