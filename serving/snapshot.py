"""All that an answer needs, of one moment: a bundle and side tables, never changed in place."""

from dataclasses import dataclass, replace

import numpy as np

from features.pseudonyms import Pseudonyms
from recsys.bundle import Manifest
from recsys.candidates import Candidates
from recsys.interactions import IdMap
from recsys.query import Population, Query
from recsys.recommender import Recommended, Recommender, Reranking
from recsys.rerank import Shelf
from recsys.rerank_config import RerankConfig
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.catalogue import Catalogue
from serving.reasons import Quotes, quotes_by_item
from serving.schema import MAX_K
from serving.side_tables import SideTables, Versions


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One consistent state.

    Attributes:
        recommender: Of the live bundle.
        deep: The same, with candidates enough for the longest answer a request may ask for.
        manifest: Of the live bundle.
        catalogue: Items as they are shown and filtered.
        population: All users with their histories.
        user_index: User index by external id.
        quotes: Quotes by item id.
        versions: Versions of the side tables this was made of.
        pseudonyms: Under which the tables know users; None for plain ids.
        popular: The ranking of a stranger who filters nothing, ready made: it is the same for all
            of them.
        offered: Items that the shop's rules do not take out, bool, shape (I,); None for all.
        shelf: What reranking knows of the catalogue.
        rerank: How lists are rearranged where a request does not say.
    """

    recommender: Recommender
    deep: Recommender
    manifest: Manifest
    catalogue: Catalogue
    population: Population
    user_index: dict[str, int]
    quotes: Quotes
    versions: Versions
    popular: tuple[Candidates, np.ndarray]
    shelf: Shelf
    offered: np.ndarray | None
    rerank: RerankConfig
    pseudonyms: Pseudonyms | None = None

    @classmethod
    def of(
        cls,
        recommender: Recommender,
        manifest: Manifest,
        tables: SideTables,
        pseudonyms: Pseudonyms | None = None,
        rerank: RerankSection = RERANK_DEFAULTS,
    ) -> "Snapshot":
        """Join a bundle with side tables."""
        user_ids = (tables.purchases, tables.browsing, tables.profiles)
        users = IdMap.of(
            user_id for frame in user_ids for user_id in frame["user_id"].unique().to_list()
        )
        items = recommender.items
        shelf = recommender.shelf(rerank.shop_rules())
        offered = None if shelf.factor.all() else shelf.factor > 0
        deep = _deepened(recommender)
        snapshot = cls(
            recommender=recommender,
            deep=deep,
            manifest=manifest,
            catalogue=Catalogue.of(items, recommender.item_profiles, tables.in_stock),
            population=Population.from_frames(
                tables.purchases, tables.browsing, tables.profiles, users=users, items=items
            ),
            user_index={user_id: idx for idx, user_id in enumerate(users.ids.tolist())},
            quotes=quotes_by_item(tables.quotes),
            versions=tables.versions,
            popular=deep.rank(Query.of_stranger(offered)),
            shelf=shelf,
            offered=offered,
            rerank=rerank.rerank_config(),
            pseudonyms=pseudonyms,
        )
        # What cannot answer must not go live.
        snapshot.recommend(None, MAX_K, None, now=0, seed=0)
        return snapshot

    def known_as(self, user_id: str | None) -> str | None:
        """Return the name under which the tables know a user."""
        if user_id is None or self.pseudonyms is None:
            return user_id
        return self.pseudonyms.of(user_id)

    def query(self, user_id: str | None, allowed: np.ndarray | None) -> Query | None:
        """Return the question of a user over the allowed items, or None for an unknown one.

        `user_id` is a name of the tables, see `known_as`.
        """
        user_idx = None if user_id is None else self.user_index.get(user_id)
        if user_idx is None:
            return None
        return self.population.query(np.array([user_idx]), allowed)

    def recommend(
        self,
        query: Query | None,
        k: int,
        allowed: np.ndarray | None,
        *,
        diversity: float | None = None,
        now: int,
        seed: int,
    ) -> Recommended:
        """Return the best k allowed items for a query, or for a stranger where it is None.

        Args:
            query: Of one user over the allowed items.
            k: How many items at most.
            allowed: Which items may be offered, bool, shape (I,); None for all.
            diversity: Of this answer, 0 to 1; None as the shop wants it.
            now: The moment of asking, microseconds since the epoch.
            seed: Of the exploration.
        """
        config = self.rerank if diversity is None else replace(self.rerank, diversity=diversity)
        reranking = Reranking(config=config, shelf=self.shelf, now=now, seed=seed)
        if query is None and allowed is None:
            return self.deep.shown(Query.of_stranger(self.offered), self.popular, k, reranking)
        is_capped = config.brand_cap is not None or config.category_cap is not None
        enough = k <= self.recommender.config.candidates.num_candidates and not is_capped
        recommender = self.recommender if enough else self.deep
        asked = Query.of_stranger(allowed) if query is None else query
        if self.offered is not None:
            allowed = self.offered if asked.allowed is None else self.offered & asked.allowed
            asked = replace(asked, allowed=allowed)
        return recommender.recommend(asked, k, reranking)


def _deepened(recommender: Recommender) -> Recommender:
    config = recommender.config
    candidates = replace(
        config.candidates,
        num_candidates=max(MAX_K, config.candidates.num_candidates),
        depth=max(MAX_K, config.candidates.depth),
    )
    return replace(recommender, config=replace(config, candidates=candidates))
