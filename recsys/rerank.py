"""From a ranked list to what is shown: bad experiences, drift, rules, diversity, caps, exploration.

The ranker says how likely an item is to be taken next. What is shown follows it, less what this
user was burnt by (the item itself is never offered again; then its brand, then what they complained
of), less what others have come to like less or what an alert is about, more or less what the shop
wants; no two alike where diversity is asked for.
Everything here is arithmetic on one list: what a user or an item is like comes in as arrays.

Shape suffixes: I items, K candidates, D vector width, C categories, A aspects.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from recsys import rerank_kernels as kernels
from recsys.interactions import Histories, IdMap
from recsys.item_features import ItemFeatures
from recsys.rerank_config import GREATEST_FACTOR, RerankConfig, Rule

_DAY_US = 86_400_000_000
_NEVER = np.iinfo(np.int64).max
# Below this many standard errors the change of an item's polarity is hardly chance.
DRIFTING = -2.0


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What reranking knows of the catalogue.

    Attributes:
        brand_idx: 0 is "no brand", int32, shape (I,).
        category: The rarest category of each item, -1 for none, int64, shape (I,).
        vectors: Unit vectors by which items are alike, float32, shape (I, D).
        drifting: Whether reviews of an item have turned for the worse, bool, shape (I,).
        known_since: When an item became known, microseconds since the epoch, the greatest int64
            where that is not told, int64, shape (I,).
        factor: Product of the rules, float64, shape (I,).
        aspects: Expected polarity of each aspect of each item, 0 where nothing is said, in [-1, 1],
            shape (I, A).
        demoted: Share of relevance that an alert takes from each item, in [0, 1], float64, shape
            (I,); None for nothing.
    """

    brand_idx: np.ndarray
    category: np.ndarray
    vectors: np.ndarray
    drifting: np.ndarray
    known_since: np.ndarray
    factor: np.ndarray
    aspects: sp.csr_matrix
    demoted: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        items: IdMap,
        profiles: pl.DataFrame,
        features: ItemFeatures,
        item_vectors: np.ndarray,
        *,
        rules: Sequence[Rule] = (),
        aspects: sp.csr_matrix | None = None,
    ) -> "Shelf":
        """Build from what a bundle holds.

        Args:
            items: The catalogue.
            profiles: Item profiles in its order.
            features: Of the same items.
            item_vectors: Item tower output with the bias in its last column, shape (I, D + 1).
            rules: Wishes of the shop; factors of several multiply.
            aspects: See `Shelf`; None where nothing is known.
        """
        vectors = item_vectors[:, :-1]
        lengths = np.sqrt(np.einsum("id,id->i", vectors, vectors))[:, None]
        age_us = (pl.col("age_days") * _DAY_US).cast(pl.Int64)
        since = profiles.select(pl.col("as_of").dt.epoch("us") - age_us).to_series()
        drift = profiles["polarity_drift"].cast(pl.Float64).fill_null(0.0).to_numpy()
        return cls(
            brand_idx=features.brand_idx,
            category=_rarest_category(features),
            vectors=np.divide(vectors, np.maximum(lengths, 1e-9), dtype=np.float32),
            drifting=drift < DRIFTING,
            known_since=since.fill_null(_NEVER).to_numpy(),
            factor=_rule_factors(rules, items, profiles),
            aspects=sp.csr_matrix((len(items), 0)) if aspects is None else aspects,
        )

    def fresh(self, now: int, days: float) -> np.ndarray:
        """Return which items have been known for at most so many days, bool, shape (I,)."""
        return (self.known_since <= now) & (now - self.known_since <= days * _DAY_US)


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What one user went through.

    Attributes:
        bought: Of one user; `sentiment` tells how each purchase was felt about.
        now: The moment of asking, microseconds since the epoch; ages are counted in days of UTC.
        complaints: How badly each aspect was spoken of, decayed, in [0, 1], shape (A,); None where
            the user complained of nothing.
    """

    bought: Histories
    now: int
    complaints: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Reranked:
    """What is shown, first place first.

    Attributes:
        item_idx: int64, shape (k,), fewer where fewer are left.
        place: Of each among the candidates, -1 for what was explored beyond them, int64, (k,).
        relevance: In 0..1 before boosts, float64, shape (k,); 0 for what was explored beyond the
            candidates.
        explored: Whether the place was given away by luck, bool, shape (k,).
        propensity: Chance that this item came to this place, given those above it, in (0, 1],
            float64, shape (k,).
    """

    item_idx: np.ndarray
    place: np.ndarray
    relevance: np.ndarray
    explored: np.ndarray
    propensity: np.ndarray

    @classmethod
    def by_relevance(
        cls, item_idx: np.ndarray, place: np.ndarray, relevance: np.ndarray
    ) -> "Reranked":
        """Return a list in which nothing is explored."""
        return cls(
            item_idx=item_idx,
            place=place,
            relevance=relevance,
            explored=np.zeros(len(place), dtype=bool),
            propensity=np.ones(len(place)),
        )


def rerank(
    item_idx: np.ndarray,
    score: np.ndarray,
    k: int,
    shelf: Shelf,
    experience: Experience,
    config: RerankConfig,
    *,
    explorable: np.ndarray | None = None,
    min_relevance: float = 0.0,
    seed: int | Sequence[int] = 0,
) -> Reranked:
    """Rearrange one user's candidates.

    Diversity is maximal marginal relevance: the next item is that of the greatest
    (1 - diversity) x relevance - diversity x likeness to the nearest item above.
    Source: Carbonell and Goldstein 1998, "The use of MMR".

    Args:
        item_idx: Candidates, each once, shape (K,).
        score: Of the ranker, higher is better, shape (K,); relevance is where it lies between the
            least and the greatest, from 0.05 to 1.
        k: Places.
        shelf: The catalogue.
        experience: The user.
        config: What is wanted.
        explorable: Items that may be explored if they are fresh and nothing speaks against them;
            None for the candidates.
        min_relevance: Items that are left with less relevance are not shown.
        seed: Of the exploration: the same seed shows the same list.
    """
    kept = kept_relevance(item_idx, shelf, experience, config)
    relevance = kernels.relevance_of(score) * kept
    is_plain = not config.diversity and config.brand_cap is None and config.category_cap is None
    if is_plain and not config.exploration:
        best = kernels.most_relevant(item_idx, relevance, shelf.factor, min_relevance, k)
        return Reranked.by_relevance(item_idx[best].astype(np.int64), best, relevance[best])
    is_enough = relevance.astype(np.float32) >= np.float32(min_relevance)
    offered = (shelf.factor[item_idx] > 0) & is_enough
    place = np.flatnonzero(offered)
    item_idx, relevance = item_idx[place].astype(np.int64), relevance[place]
    fresh = np.zeros(0, dtype=np.int64)
    if config.exploration > 0:
        pool = item_idx if explorable is None else explorable
        pool = pool[shelf.fresh(experience.now, config.fresh_days)[pool]]
        unmarred = kept_relevance(pool, shelf, experience, config) >= shelf.factor[pool]
        fresh = pool[unmarred & (shelf.factor[pool] > 0)]
    if is_plain and not len(fresh):
        best = np.argsort(-relevance, kind="stable")[:k]
        return Reranked.by_relevance(item_idx[best], place[best], relevance[best])
    rng = np.random.default_rng(seed)
    return _fill(item_idx, place, relevance, fresh, k, shelf, config, rng)


def kept_relevance(
    item_idx: np.ndarray, shelf: Shelf, experience: Experience, config: RerankConfig
) -> np.ndarray:
    """Return what each item keeps of its relevance, times the rules, 0 and above, shape (K,)."""
    bought = experience.bought
    kept = kernels.kept_relevance(
        item_idx,
        shelf.brand_idx,
        shelf.drifting,
        shelf.factor,
        bought.item_idx,
        bought.sentiment,
        bought.event_time,
        experience.now,
        config.half_life_days,
        config.suppress_brand,
        config.demote_drifting,
    )
    if shelf.demoted is not None:
        kept *= 1 - shelf.demoted[item_idx]
    if experience.complaints is not None:
        said = shelf.aspects
        of_aspect = kernels.found_wanting(
            item_idx, said.indptr, said.indices, said.data, experience.complaints
        )
        kept *= 1 - config.suppress_aspect * of_aspect
    return kept


def complaints_of(
    aspect: np.ndarray,
    polarity: np.ndarray,
    age_days: np.ndarray,
    num_aspects: int,
    half_life: float,
) -> np.ndarray:
    """Return how badly each aspect was spoken of by one user, in [0, 1], shape (A,).

    Praise makes up for complaint: it is the decayed sum that counts.

    Args:
        aspect: Aspect of each mention, shape (M,).
        polarity: Of each mention, in [-1, 1], shape (M,).
        age_days: Of each mention, shape (M,).
        num_aspects: A.
        half_life: Days after which a mention weighs half.

    >>> aspect, polarity = np.array([0, 1, 1]), np.array([-0.5, -1.0, 1.0])
    >>> complaints_of(aspect, polarity, np.zeros(3), 3, 30.0).tolist()
    [0.5, 0.0, 0.0]
    """
    weighed = polarity * 0.5 ** (age_days / half_life)
    return np.clip(0.0 - np.bincount(aspect, weighed, minlength=num_aspects), 0.0, 1.0)


def _fill(
    candidates: np.ndarray,
    place: np.ndarray,
    relevance: np.ndarray,
    fresh: np.ndarray,
    k: int,
    shelf: Shelf,
    config: RerankConfig,
    rng: np.random.Generator,
) -> Reranked:
    """Fill place after place; see `rerank`."""
    beyond = np.setdiff1d(fresh, candidates)
    item_idx = np.concatenate([candidates, beyond])
    num = len(candidates)
    is_fresh = np.isin(item_idx, fresh)
    brand, category = shelf.brand_idx[item_idx], shelf.category[item_idx]
    likeness = np.zeros(num)
    vectors = shelf.vectors[candidates] if config.diversity else None
    free = np.ones(len(item_idx), dtype=bool)
    shown: list[int] = []
    explored: list[bool] = []
    propensity: list[float] = []
    while len(shown) < k and free[:num].any():
        marginal = (1 - config.diversity) * relevance - config.diversity * likeness
        best = int(np.where(free[:num], marginal, -np.inf).argmax())
        pool = np.flatnonzero(free & is_fresh)
        chance = config.exploration if len(pool) else 0.0
        is_lucky = bool(chance) and rng.random() < chance
        taken = int(rng.choice(pool)) if is_lucky else best
        by_rank = (1 - chance) * (taken == best)
        by_luck = chance / len(pool) if is_fresh[taken] else 0.0
        shown.append(taken)
        explored.append(is_lucky)
        propensity.append(by_rank + by_luck)
        free[taken] = False
        free &= _below_cap(brand, brand[shown], config.brand_cap, uncounted=0)
        free &= _below_cap(category, category[shown], config.category_cap, uncounted=-1)
        if vectors is not None:
            alike = vectors @ shelf.vectors[item_idx[taken]]
            likeness = np.maximum(likeness, alike)
    return Reranked(
        item_idx=item_idx[shown],
        place=np.concatenate([place, np.full(len(beyond), -1)])[shown],
        relevance=np.concatenate([relevance, np.zeros(len(beyond))])[shown],
        explored=np.array(explored, dtype=bool),
        propensity=np.array(propensity),
    )


def _below_cap(
    key: np.ndarray, shown: np.ndarray, cap: int | None, *, uncounted: int
) -> np.ndarray | bool:
    """Return which items may still be shown, given the keys of those that are."""
    if cap is None:
        return True
    last = shown[-1]
    if last == uncounted or (shown == last).sum() < cap:
        return True
    return key != last


def _rarest_category(features: ItemFeatures) -> np.ndarray:
    """Return the rarest category of each item, the first of equals, -1 for none, shape (I,)."""
    return kernels.rarest_category(
        features.category_indptr, features.category_idx, features.category_rarity
    )


def _rule_factors(rules: Sequence[Rule], items: IdMap, profiles: pl.DataFrame) -> np.ndarray:
    factor = np.ones(len(items))
    for rule in rules:
        found = items.index(list(rule.item_ids))
        meant = np.zeros(len(items), dtype=bool)
        meant[found[found >= 0]] = True
        meant |= profiles["brand"].is_in(list(rule.brands)).fill_null(False).to_numpy()
        named = pl.element().is_in(list(rule.categories)).any()
        meant |= profiles["categories"].list.eval(named).list.first().fill_null(False).to_numpy()
        factor[meant] *= rule.factor
    return np.minimum(factor, GREATEST_FACTOR)
