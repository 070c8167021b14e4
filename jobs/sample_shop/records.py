"""From choices to the event log: times, prices, queries, returns and the order of rows.

Shapes: N legs, P purchases.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from jobs.sample_shop.behaviour import Choices
from jobs.sample_shop.catalogue import SHELVES, Catalogue
from jobs.sample_shop.config import ShopConfig, generator
from jobs.sample_shop.people import People
from jobs.sample_shop.visits import MAX_VIEWS, Visits

KINDS = ("search", "view", "wishlist", "cart", "purchase", "return")
_SURFACES = ("search", "category", "home")
_ENDINGS = ("", "", "", " for beginners", " gift", " sale", " best")
_CHINESE_ENDINGS = ("", "", "", " 推荐", " 礼物", " 打折", " 性价比高")


@dataclass(frozen=True, kw_only=True)
class Records:
    """The event log, and which of its rows are purchases."""

    events: pl.DataFrame
    purchase_leg: np.ndarray
    """int[P]: leg of each purchase, in the order of the purchases in time."""
    purchase_row: np.ndarray
    """int[P]: row of each purchase in `events`."""


def record_events(
    config: ShopConfig,
    catalogue: Catalogue,
    people: People,
    visits: Visits,
    choices: Choices,
) -> Records:
    """Write down everything that happened, in order of time."""
    rng = generator(config, "visits").spawn(1)[0]
    num_legs = len(visits.user)
    # Slots of a leg, in order: search, views, wishlist, cart, purchase.
    happens = np.column_stack(
        [visits.searches, choices.viewed >= 0, visits.wishes, visits.carts, visits.buys]
    )
    kind = np.array([0] + [1] * MAX_VIEWS + [2, 3, 4])
    gap_s = 5 + rng.exponential(45.0, size=happens.shape).astype(np.int64) * happens
    gap_s = np.minimum(gap_s, 240)
    first_s = config.start_s + visits.day * 86400 + visits.start_s
    # A second leg begins fifteen minutes after the first: more than most legs take.
    time_s = (first_s + 1500 * visits.is_second)[:, None] + np.cumsum(gap_s, axis=1)
    target = np.repeat(choices.target[:, None], 4, axis=1)
    item = np.column_stack([np.full(num_legs, -1), choices.viewed, target[:, :3]])
    leg, slot = np.nonzero(happens)
    quantity = 1 + (rng.random(num_legs) < 0.25) + (rng.random(num_legs) < 0.08)
    quantity = np.where(_is_consumable(choices.shelf), quantity, 1)

    back = _returns(rng, config, visits, choices, time_s[:, -1])
    leg = np.concatenate([leg, back])
    kind = np.concatenate([kind[slot], np.full(len(back), KINDS.index("return"))])
    delay_s = (86400 * rng.uniform(3, 25, size=num_legs)).astype(np.int64)
    when = np.concatenate([time_s[leg[: len(slot)], slot], time_s[back, -1] + delay_s[back]])
    what = np.concatenate([item[leg[: len(slot)], slot], choices.target[back]])
    inside = when < config.start_s + config.days * 86400
    leg, kind, when, what = leg[inside], kind[inside], when[inside], what[inside]
    order = np.lexsort((kind, leg, when))
    leg, kind, when, what = leg[order], kind[order], when[order], what[order]
    is_purchase = kind == KINDS.index("purchase")
    priced = kind >= KINDS.index("cart")
    surface = np.where(visits.searches, 0, 1 + (rng.random(num_legs) < 0.35))
    queries = _queries(rng, catalogue, people, visits, choices)
    events = pl.DataFrame(
        {
            "event_id": [f"e{row:07d}" for row in range(len(leg))],
            "user_id": [f"u{u:05d}" for u in visits.user[leg]],
            "session_id": [
                None if k == 5 else f"s{s:06d}"
                for k, s in zip(kind, visits.session[leg], strict=True)
            ],
            "item_id": [f"i{i:05d}" if i >= 0 else None for i in what],
            "event_type": [KINDS[k] for k in kind],
            "query": [queries[n] if k == 0 else None for k, n in zip(kind, leg, strict=True)],
            "quantity": pl.Series(quantity[leg], dtype=pl.Int32)
            .to_frame()
            .select(pl.when(pl.Series(priced)).then(pl.first()))
            .to_series(),
            "price_cents": pl.Series(catalogue.price_cents[what], dtype=pl.Int64),
            "event_time": pl.Series(when * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "seq": np.arange(len(leg), dtype=np.int64),
            "surface": [
                _SURFACES[surface[n]] if k == 1 else None for k, n in zip(kind, leg, strict=True)
            ],
        }
    ).with_columns(
        pl.when(pl.Series(priced)).then(pl.col("price_cents")),
        rank=pl.lit(None, dtype=pl.Int32),
        experiment=pl.lit(None, dtype=pl.String),
        variant=pl.lit(None, dtype=pl.String),
        propensity=pl.lit(None, dtype=pl.Float64),
    )
    rows = np.flatnonzero(is_purchase)
    return Records(events=events, purchase_leg=leg[rows], purchase_row=rows)


def _is_consumable(shelf: np.ndarray) -> np.ndarray:
    return np.array([s.consumable for s in SHELVES])[shelf]


def _returns(
    rng: np.random.Generator,
    config: ShopConfig,
    visits: Visits,
    choices: Choices,
    bought_s: np.ndarray,
) -> np.ndarray:
    """Legs whose purchase goes back: the worse it felt, the likelier."""
    odds = np.exp(-2.9 - 1.7 * choices.experience.latent)
    return np.flatnonzero(visits.buys & (rng.random(len(odds)) < odds / (1 + odds)))


def _queries(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    visits: Visits,
    choices: Choices,
) -> list[str]:
    """What each leg would type: the shelf, sometimes with a brand or another word."""
    names_brand = rng.random(len(visits.user)) < 0.2
    ending = rng.integers(len(_ENDINGS), size=len(visits.user))
    brands = catalogue.items["brand"].to_list()
    queries = []
    for n, shelf in enumerate(choices.shelf):
        chinese = people.is_chinese[visits.user[n]]
        words = SHELVES[shelf].chinese if chinese else SHELVES[shelf].name.lower()
        if names_brand[n]:
            brand = brands[choices.target[n]]
            queries.append(f"{brand} {words}" if chinese else f"{brand.lower()} {words}")
        else:
            queries.append(words + (_CHINESE_ENDINGS if chinese else _ENDINGS)[ending[n]])
    return queries
