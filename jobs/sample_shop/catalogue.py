"""The shelves: items, brands, prices, hidden quality and what goes well together.

Shapes: I items, S subcategories, M longest shelf, A aspects, B brands, C companions.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.departments import (
    ASPECTS,
    BRAND_ENDINGS,
    BRAND_STEMS,
    COLOURS,
    DEPARTMENTS,
)

STYLE_DIM = 4
BRANDS = tuple(stem + ending for ending in BRAND_ENDINGS for stem in BRAND_STEMS)
SHELVES = tuple(shelf for department in DEPARTMENTS for shelf in department.subcategories)
SHELF_DEPARTMENT = np.array(
    [d for d, department in enumerate(DEPARTMENTS) for _ in department.subcategories]
)
DEPARTMENT_ASPECTS = np.array(
    [[aspect in department.aspects for aspect in ASPECTS] for department in DEPARTMENTS]
)


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The items, as arrays for the simulation and as the frame the shop publishes."""

    items: pl.DataFrame
    shelf: np.ndarray
    """int[I]: index into `SHELVES`."""
    brand: np.ndarray
    """int[I]: index into `BRANDS`."""
    price_cents: np.ndarray
    """int[I]."""
    price_band: np.ndarray
    """float[I]: standardised log price within the shelf."""
    created_day: np.ndarray
    """int[I]: days from the first day; negative where older than the window."""
    appeal: np.ndarray
    """float[I]: log popularity that has nothing to do with quality."""
    style: np.ndarray
    """float[I, STYLE_DIM]: matters of taste, again not of quality."""
    trend_day: np.ndarray
    """float[I]: day at which the item is fashionable for some weeks."""
    quality: np.ndarray
    """float[I, A]: hidden quality, about N(0, 1); 0 where the aspect does not apply."""
    excellence: np.ndarray
    """float[I]: mean quality over the aspects that apply."""
    members: np.ndarray
    """int[S, M]: items of each shelf, -1 where the shelf is shorter."""
    companions: np.ndarray
    """int[I, C]: items often bought after this one, -1 where there are fewer."""

    @property
    def department(self) -> np.ndarray:
        """Department index of every item, int[I]."""
        return SHELF_DEPARTMENT[self.shelf]


def build_catalogue(config: ShopConfig) -> Catalogue:
    """Fill the shelves. Quality is drawn apart from price, popularity and style."""
    rng = generator(config, "catalogue")
    num_items, num_shelves = config.num_items, len(SHELVES)
    shelf = np.sort(np.arange(num_items) % num_shelves)
    brand = _brands(rng, shelf)
    price_band = rng.normal(size=num_items)
    median = np.array([SHELVES[s].price_cents for s in shelf])
    price_cents = np.round(median * np.exp(0.45 * price_band) / 100).astype(np.int64) * 100
    price_cents = np.maximum(price_cents, 300) - rng.choice([1, 5, 10, 50], size=num_items)
    created_day = _created_days(rng, shelf, config.days)
    brand_style = rng.normal(size=(len(BRANDS), STYLE_DIM))
    style = 0.6 * brand_style[brand] + 0.8 * rng.normal(size=(num_items, STYLE_DIM))
    applies = DEPARTMENT_ASPECTS[SHELF_DEPARTMENT[shelf]]
    brand_quality = 0.3 * rng.normal(size=(len(BRANDS), 1)) + 0.55 * rng.normal(
        size=(len(BRANDS), len(ASPECTS))
    )
    own_quality = 0.25 * rng.normal(size=(num_items, 1)) + 0.75 * rng.normal(
        size=(num_items, len(ASPECTS))
    )
    quality = (brand_quality[brand] + own_quality) * applies
    members = _members(shelf, num_shelves)
    return Catalogue(
        items=_items_frame(rng, config, shelf, brand, price_cents, created_day),
        shelf=shelf,
        brand=brand,
        price_cents=price_cents,
        price_band=price_band,
        created_day=created_day,
        appeal=_zipf_appeal(rng, members, num_items),
        style=style,
        trend_day=rng.uniform(0, config.days, size=num_items),
        quality=quality,
        excellence=quality.sum(axis=1) / applies.sum(axis=1),
        members=members,
        companions=_companions(rng, members, shelf, brand),
    )


def _brands(rng: np.random.Generator, shelf: np.ndarray) -> np.ndarray:
    """Draw a brand for every item: each department has 8 of its own and 3 guests."""
    per_department = len(BRANDS) // len(DEPARTMENTS)
    order = rng.permutation(len(BRANDS))
    own = order.reshape(len(DEPARTMENTS), per_department)
    guests = np.stack([rng.choice(len(BRANDS), 3, replace=False) for _ in DEPARTMENTS])
    pool = np.concatenate([own, guests], axis=1)
    share = 1.0 / np.arange(1, pool.shape[1] + 1) ** 0.5
    choice = rng.choice(pool.shape[1], size=len(shelf), p=share / share.sum())
    return pool[SHELF_DEPARTMENT[shelf], choice]


def _created_days(rng: np.random.Generator, shelf: np.ndarray, days: int) -> np.ndarray:
    """Days of creation: a fifth of every shelf is new within the window, the rest is older."""
    created = -rng.integers(5, 900, size=len(shelf))
    for s in np.unique(shelf):
        members = np.flatnonzero(shelf == s)
        fresh = rng.permutation(members)[: len(members) // 5]
        created[fresh] = rng.integers(0, int(0.8 * days), size=len(fresh))
    return created


def _zipf_appeal(rng: np.random.Generator, members: np.ndarray, num_items: int) -> np.ndarray:
    """Log popularity: the r-th item of a shelf is about r^-0.6 as popular as its first."""
    appeal = np.zeros(num_items)
    for row in members:
        row = row[row >= 0]
        appeal[row] = -0.6 * np.log(rng.permutation(len(row)) + 1.0)
    return appeal


def _members(shelf: np.ndarray, num_shelves: int) -> np.ndarray:
    longest = int(np.bincount(shelf, minlength=num_shelves).max())
    members = np.full((num_shelves, longest), -1)
    for s in range(num_shelves):
        row = np.flatnonzero(shelf == s)
        members[s, : len(row)] = row
    return members


def _companions(
    rng: np.random.Generator, members: np.ndarray, shelf: np.ndarray, brand: np.ndarray
) -> np.ndarray:
    """Two companions of every item on each of its complement shelves, own brand first."""
    index = {s.name: i for i, s in enumerate(SHELVES)}
    companions = np.full((len(shelf), 4), -1)
    for item, s in enumerate(shelf):
        found: list[int] = []
        for name in SHELVES[s].complements:
            row = members[index[name]]
            row = row[row >= 0]
            keen = rng.random(len(row)) + 0.5 * (brand[row] == brand[item])
            found += row[np.argsort(-keen, kind="stable")[:2]].tolist()
        companions[item, : len(found)] = found
    return companions


def _items_frame(
    rng: np.random.Generator,
    config: ShopConfig,
    shelf: np.ndarray,
    brand: np.ndarray,
    price_cents: np.ndarray,
    created_day: np.ndarray,
) -> pl.DataFrame:
    num_items = len(shelf)
    model = rng.integers(10, 99, size=num_items) * 10
    colour = rng.integers(len(COLOURS), size=num_items)
    feature = rng.integers(4, size=(num_items, 2))
    second_of_day = rng.integers(0, 86400, size=num_items)
    titles, descriptions, categories = [], [], []
    for i, s in enumerate(shelf):
        one, department = SHELVES[s].one, DEPARTMENTS[SHELF_DEPARTMENT[s]]
        titles.append(f"{BRANDS[brand[i]]} {model[i]} {one}, {COLOURS[colour[i]]}")
        chosen = dict.fromkeys(department.features[f] for f in feature[i])
        descriptions.append(
            f"{one} by {BRANDS[brand[i]]} in {COLOURS[colour[i]].lower()}. " + " ".join(chosen)
        )
        categories.append([department.name, SHELVES[s].name])
    created_s = config.start_s + created_day * 86400 + second_of_day
    # An item made in the window exists from the start of its day, so nothing is seen before it.
    created_s = np.where(created_day >= 0, config.start_s + created_day * 86400, created_s)
    return pl.DataFrame(
        {
            "item_id": [f"i{i:05d}" for i in range(num_items)],
            "title": titles,
            "description": descriptions,
            "categories": categories,
            "brand": [BRANDS[b] for b in brand],
            "price_cents": price_cents.astype(np.int64),
            "currency": ["USD"] * num_items,
            "in_stock": rng.random(num_items) < 0.96,
            "created_at": pl.Series(created_s * 1_000_000).cast(pl.Datetime("us", "UTC")),
        }
    )
