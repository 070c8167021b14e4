"""All that an answer needs, of one moment: a bundle and side tables, never changed in place."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from features.pseudonyms import Pseudonyms
from recsys.aspect_wishes import ItemAspects
from recsys.bought_together import BoughtTogether
from recsys.bundle_manifest import Manifest
from recsys.interactions import IdMap
from recsys.query import Population, Query
from recsys.recommender import Recommended, Recommender, Reranking
from recsys.rerank import Shelf
from recsys.rerank_config import GREATEST_FACTOR, RerankConfig
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from recsys.similar_items import SimilarItems
from recsys.trends import Trends, item_trends
from recsys.user_complaints import UserComplaints
from sentiment.aspects import AspectList
from serving.catalogue import Catalogue
from serving.deferred_indexes import DeferredIndexes
from serving.errors import NothingToServeError
from serving.item_facts import ItemFacts
from serving.item_hashes import ItemHashes
from serving.live_query import with_live
from serving.live_users import LiveUser, LiveUsers
from serving.ranking import RERANK, Budget, Question, Ranked, at_once, rank_within
from serving.reasons import Quotes
from serving.schema_types import MAX_K
from serving.segments import Segment, segments_by_language
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
        quotes: Sentences of reviews by item.
        versions: Versions of the side tables this was made of.
        pseudonyms: Under which the tables know users; None for plain ids.
        live: What users did since the side tables were made; None without an event log.
        popular: The ranking of a stranger who filters nothing, ready made: it is the same for all
            of them.
        segments: How strangers are answered of whom the language is known, by language.
        offered: Items that the shop's rules do not take out, bool, shape (I,); None for all.
        shelf: What reranking knows of the catalogue.
        aspects: What is said of aspects of items.
        complaints: What users complained of.
        item_hashes: Under which pages remember items.
        rerank: How lists are rearranged where a request does not say.
        polarity_mean: Mean polarity of users' reviews, NaN where there is none.
        deferred: What single routes need alone; still being made just after a start.
        profiles: Of users, as the last build wrote them.
        profile_row_U: Row of each user among them, -1 for none, int32.
        facts: What is known of items beside what recommendations need.
        together: What is bought with an item.
        trends: How items are bought of late.
    """

    recommender: Recommender
    deep: Recommender
    manifest: Manifest
    catalogue: Catalogue
    population: Population
    user_index: dict[str, int]
    quotes: Quotes
    versions: Versions
    popular: Ranked
    segments: Mapping[str, Segment]
    shelf: Shelf
    aspects: ItemAspects
    complaints: UserComplaints
    item_hashes: ItemHashes
    offered: np.ndarray | None
    rerank: RerankConfig
    polarity_mean: float
    deferred: DeferredIndexes
    profiles: pl.DataFrame
    profile_row_U: np.ndarray
    facts: ItemFacts
    together: BoughtTogether
    trends: Trends
    pseudonyms: Pseudonyms | None = None
    live: LiveUsers | None = None

    @classmethod
    def of(
        cls,
        recommender: Recommender,
        manifest: Manifest,
        tables: SideTables,
        pseudonyms: Pseudonyms | None = None,
        rerank: RerankSection = RERANK_DEFAULTS,
        live: LiveUsers | None = None,
        before: "Snapshot | None" = None,
    ) -> "Snapshot":
        """Join a bundle with side tables and what happened since they were made.

        What depends on the bundle alone is taken over from a snapshot of the same one: while it is
        made anew, other requests wait. Without a snapshot before, nobody is answered yet: what
        single routes need alone goes on being made after it is there.
        """
        same = before if before is not None and before.recommender is recommender else None
        snapshot = cls._joined(recommender, manifest, tables, pseudonyms, rerank, live, same)
        if before is not None:
            snapshot.deferred.wait()
        return snapshot

    @classmethod
    def _joined(
        cls,
        recommender: Recommender,
        manifest: Manifest,
        tables: SideTables,
        pseudonyms: Pseudonyms | None,
        rerank: RerankSection,
        live: LiveUsers | None,
        same: "Snapshot | None",
    ) -> "Snapshot":
        """Return the snapshot; `same` is one of the same bundle."""
        of_users = (tables.purchases, tables.browsing, tables.profiles)
        users = IdMap.of_columns([frame["user_id"] for frame in of_users])
        items = recommender.items
        shelf = recommender.shelf(rerank.shop_rules()) if same is None else same.shelf
        offered = None if shelf.factor.all() else shelf.factor > 0
        deep = _deepened(recommender)
        catalogue = Catalogue.of(items, recommender.item_profiles, tables.in_stock)
        population = Population.from_frames(
            tables.purchases, tables.browsing, tables.profiles, users=users, items=items
        )
        profile_row_U = _rows_of(users.index(tables.profiles["user_id"]), len(users))
        aspects = ItemAspects.of(tables.item_aspects, catalogue.index, AspectList.load())
        shelf = replace(
            shelf,
            aspects=aspects.matrix(len(catalogue)),
            demoted=_demoted(tables.item_demotions, items),
        )
        snapshot = cls(
            recommender=recommender,
            deep=deep,
            manifest=manifest,
            catalogue=catalogue,
            population=population,
            user_index=users.places,
            quotes=Quotes.of(tables.quotes),
            versions=tables.versions,
            popular=(
                rank_within(deep, Query.of_stranger(offered), Budget())
                if same is None
                else same.popular
            ),
            segments=segments_by_language(
                deep, population.bought, _languages(tables.profiles, profile_row_U), offered
            ),
            shelf=shelf,
            aspects=aspects,
            complaints=UserComplaints.of(tables.user_complaints, aspects.places),
            item_hashes=ItemHashes.of(catalogue.item_ids) if same is None else same.item_hashes,
            offered=offered,
            rerank=rerank.rerank_config(),
            polarity_mean=_mean(tables.profiles["polarity_mean"]),
            profiles=tables.profiles,
            profile_row_U=profile_row_U,
            facts=ItemFacts.of(items, recommender.item_profiles, tables),
            together=BoughtTogether.of(recommender, population.bought),
            trends=item_trends(population.bought),
            pseudonyms=pseudonyms,
            live=live,
            deferred=DeferredIndexes(recommender) if same is None else same.deferred,
        )
        # What cannot answer must not go live.
        found = snapshot.recommend(None, MAX_K, None, now=0, seed=0)
        asked = snapshot.recommend(Query.of_stranger(), 1, None, now=0, seed=0)
        if found.ranked.lacking or asked.ranked.lacking:
            raise NothingToServeError(
                f"the bundle {manifest.version} cannot answer whole: "
                f"{found.ranked.lacking or asked.ranked.lacking}"
            )
        return snapshot

    def rearranged(self, rerank: RerankSection) -> "Snapshot":
        """Return the same with other wishes of the shop."""
        shelf = self.recommender.shelf(rerank.shop_rules())
        shelf = replace(shelf, aspects=self.shelf.aspects, demoted=self.shelf.demoted)
        offered = None if shelf.factor.all() else shelf.factor > 0
        return replace(
            self,
            shelf=shelf,
            offered=offered,
            popular=rank_within(self.deep, Query.of_stranger(offered), Budget()),
            segments=segments_by_language(
                self.deep,
                self.population.bought,
                _languages(self.profiles, self.profile_row_U),
                offered,
            ),
            rerank=rerank.rerank_config(),
        )

    @property
    def similar(self) -> SimilarItems:
        """Items like an item; waits for them just after a start."""
        return self.deferred.similar

    def showable(self) -> np.ndarray | None:
        """Return what a list for nobody may show, bool, shape (I,); None for everything.

        Not what is known to be out of stock, nor what the shop's rules take out.
        """
        sold_out_I = self.catalogue.sold_out_I
        if not sold_out_I.any():
            return self.offered
        return ~sold_out_I if self.offered is None else self.offered & ~sold_out_I

    def known_as(self, user_id: str | None) -> str | None:
        """Return the name under which the tables know a user."""
        if user_id is None or self.pseudonyms is None:
            return user_id
        return self.pseudonyms.of(user_id)

    def live_user(self, user_id: str | None) -> LiveUser | None:
        """Return what a user did since the side tables were made, or None for nothing."""
        return None if self.live is None else self.live.of(user_id)

    def profile_of(self, user_id: str | None) -> dict[str, Any]:
        """Return a user's profile as the last build wrote it; empty where there is none."""
        user_idx = None if user_id is None else self.user_index.get(user_id)
        row = -1 if user_idx is None else int(self.profile_row_U[user_idx])
        return {} if row < 0 else self.profiles.row(row, named=True)

    def query(self, user_id: str | None) -> Query | None:
        """Return the question of a user, or None for an unknown one.

        `user_id` is a name of the tables, see `known_as`. Who was erased is unknown.
        """
        if user_id is None or (self.live is not None and self.live.is_erased(user_id)):
            return None
        user_idx, live = self.user_index.get(user_id), self.live_user(user_id)
        if user_idx is not None:
            query = self.population.query(np.array([user_idx]))
        elif live is not None:
            query = Query.of_stranger()
        else:
            return None
        return query if live is None else with_live(query, live, self.catalogue.index)

    def recommend(
        self,
        query: Query | None,
        k: int,
        allowed: np.ndarray | None,
        *,
        now: int,
        seed: int,
        budget: Budget | None = None,
    ) -> "Found":
        """Return what `recommending` returns, ranked at once."""
        return at_once(self.recommending(query, k, allowed, now=now, seed=seed, budget=budget))

    def recommending(
        self,
        query: Query | None,
        k: int,
        allowed: np.ndarray | None,
        *,
        diversity: float | None = None,
        factor: np.ndarray | None = None,
        min_relevance: float = 0.0,
        now: int,
        seed: int,
        budget: Budget | None = None,
        segment: Segment | None = None,
        name: str | None = None,
        with_causes: bool = True,
    ) -> Generator[Question, Ranked, "Found"]:
        """Recommend; asks for what has to be ranked, and goes on with what it is sent.

        Returns the best k allowed items for a query, or for a stranger where it is None.

        Args:
            query: Of one user.
            k: How many items at most.
            allowed: Which items may be offered, bool, shape (I,); None for all.
            diversity: Of this answer, 0 to 1; None as the shop wants it.
            factor: What the request makes of each item's relevance, shape (I,); None for nothing.
            min_relevance: Items that are left with less are not shown.
            now: The moment of asking, microseconds since the epoch.
            seed: Of the exploration.
            budget: The time it may take; None for any.
            segment: Of a stranger; None where it is unknown.
            name: Of the user in the tables, whose complaints count; None for nobody's.
            with_causes: Whether what speaks for each item is looked for.
        """
        budget = budget or Budget()
        config = self.rerank if diversity is None else replace(self.rerank, diversity=diversity)
        shelf = self.shelf
        if factor is not None:
            shelf = replace(shelf, factor=np.minimum(shelf.factor * factor, GREATEST_FACTOR))
        complaints = self.complaints.of_user(name, now, config.half_life_days)
        reranking = Reranking(
            config=config,
            shelf=shelf,
            now=now,
            seed=seed,
            min_relevance=min_relevance,
            complaints=complaints,
            with_causes=with_causes,
        )
        if self.offered is not None:
            allowed = self.offered if allowed is None else self.offered & allowed
        asked = replace(query or Query.of_stranger(), allowed=allowed)
        recommender = self.deep if segment is None else segment.recommender
        if allowed is not None and not allowed.any():
            return Found(shown=Recommended.nothing(), ranked=self.popular, is_ready_made=True)
        is_ready_made = query is None and allowed is self.offered and factor is None
        if is_ready_made:
            ranked = self.popular if segment is None else segment.popular
        else:
            is_capped = config.brand_cap is not None or config.category_cap is not None
            if segment is None and k <= self.recommender.config.candidates.num_candidates:
                recommender = self.deep if is_capped or factor is not None else self.recommender
            ranked = yield Question(recommender=recommender, query=asked, budget=budget)
        with budget.times.stage(RERANK):
            shown = recommender.shown(asked, (ranked.candidates, ranked.scores), k, reranking)
        return Found(shown=shown, ranked=ranked, is_ready_made=is_ready_made)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found for one user.

    Attributes:
        shown: Best first.
        ranked: All that could have been shown, and what was left out in ranking it.
        is_ready_made: Whether nothing had to be ranked.
    """

    shown: Recommended
    ranked: Ranked
    is_ready_made: bool

    @property
    def num_candidates(self) -> int:
        """How many items could have been shown."""
        return int(np.isfinite(self.ranked.scores).sum())


def _demoted(demotions: pl.DataFrame, items: IdMap) -> np.ndarray | None:
    """Return how much of its relevance each item loses, shape (I,); None where none does.

    Items that the bundle does not have are not shown anyhow.
    """
    idx = items.index(demotions["item_id"])
    if not (idx >= 0).any():
        return None
    demoted_I = np.zeros(len(items))
    demoted_I[idx[idx >= 0]] = demotions["amount"].to_numpy()[idx >= 0]
    return demoted_I


def _rows_of(user_idx: np.ndarray, num_users: int) -> np.ndarray:
    """Return the row of each user, -1 for none, int32, shape (num_users,)."""
    rows_U = np.full(num_users, -1, dtype=np.int32)
    rows_U[user_idx] = np.arange(len(user_idx), dtype=np.int32)
    return rows_U


def _languages(profiles: pl.DataFrame, row_U: np.ndarray) -> pl.Series:
    """Return the language of each user, null where it is unknown."""
    if "language" not in profiles.columns:
        return pl.Series([None] * len(row_U), dtype=pl.String)
    rows = pl.Series(row_U).set(pl.Series(row_U < 0), None)
    return profiles["language"].gather(rows.cast(pl.UInt32))


def _mean(values: pl.Series) -> float:
    mean = values.cast(pl.Float64).mean()
    return float(mean) if isinstance(mean, float) else float("nan")


def _deepened(recommender: Recommender) -> Recommender:
    config = recommender.config
    candidates = replace(
        config.candidates,
        num_candidates=max(MAX_K, config.candidates.num_candidates),
        depth=max(MAX_K, config.candidates.depth),
    )
    return replace(recommender, config=replace(config, candidates=candidates))
