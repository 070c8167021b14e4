"""One visible world in dense form: everything a fit may know, and what it is asked to find."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.felt_purchases import felt_purchases
from features.histories import browse_history, browse_log, purchase_history
from features.profiles import item_profiles, user_profiles, visible_state
from features.text_vectors import centred_text, item_text_vectors, text_centre
from features.visibility import Visible
from recsys.grades import BOUGHT, DISLIKED, LOVED
from recsys.interactions import IdMap, Interactions, concat_ranges
from recsys.item_features import ItemFeatures
from recsys.query import Population, browsing_interactions


@dataclass(frozen=True, kw_only=True)
class ShopTables:
    """The tables of a shop, as they lie in the store.

    Attributes:
        items: `features.schema.Items`.
        events: `features.schema.Events`.
        reviews: `sentiment.schema.Reviews`.
        signals: `sentiment.schema.ReviewSignals` of one model version.
        item_texts: `item_id, language, embedding` of titles and descriptions, or None.
    """

    items: pl.DataFrame
    events: pl.DataFrame
    reviews: pl.DataFrame
    signals: pl.DataFrame
    item_texts: pl.DataFrame | None = None


@dataclass(frozen=True, kw_only=True)
class World:
    """A shop as far as it is visible.

    Attributes:
        items: Item ids and indices; the whole catalogue, visible or not.
        population: Users with their visible histories.
        browse_log: Every visible browse event; `sentiment` carries its strength.
        features: Item features from visible profiles.
        text: Centred unit text vectors, float32, shape (I, D).
        text_centre: What was taken from them, shape (D,).
        item_profiles: The profile frame the features came from.
        user_profiles: Profiles of users with any visible row.
        asked: User indices that are asked about, int64, shape (B,).
        target_indptr: Targets of asked[b] are target_item[indptr[b]:indptr[b + 1]].
        target_item: Item indices to be found, int64.
        target_grade: How each of these purchases went, see `recsys.grades`, int8.
    """

    items: IdMap
    population: Population
    browse_log: Interactions
    features: ItemFeatures
    text: np.ndarray
    text_centre: np.ndarray
    item_profiles: pl.DataFrame
    user_profiles: pl.DataFrame
    asked: np.ndarray
    target_indptr: np.ndarray
    target_item: np.ndarray
    target_grade: np.ndarray

    def asking(self, rows: np.ndarray) -> "World":
        """Return the same world with only some of its questions, rows of `asked`, ascending."""
        counts = np.diff(self.target_indptr)[rows]
        targets = concat_ranges(self.target_indptr[rows], self.target_indptr[rows + 1])
        return replace(
            self,
            asked=self.asked[rows],
            target_indptr=np.concatenate([[0], np.cumsum(counts)]),
            target_item=self.target_item[targets],
            target_grade=self.target_grade[targets],
        )

    def asking_about(self, targets: pl.DataFrame, tables: ShopTables) -> "World":
        """Return the same world with other questions.

        Args:
            targets: `user_id, item_id`; rows of unknown users or items are left out.
            tables: By which it is told how the targets went.
        """
        asked, indptr, items, grades = _questions(
            _graded(targets, tables), self.population.users, self.items
        )
        return replace(
            self, asked=asked, target_indptr=indptr, target_item=items, target_grade=grades
        )


def build_world(tables: ShopTables, visible: Visible) -> World:
    """Build profiles, histories and features from visible rows only.

    How targets went is told by all rows of the tables: cut those at what may be learned from.
    """
    items = IdMap.of(tables.items["item_id"])
    users = IdMap.of([*tables.events["user_id"].unique(), *tables.reviews["user_id"].unique()])
    signals = tables.signals.lazy()
    state = visible_state(tables.items.lazy(), visible, signals)
    of_items = item_profiles(tables.items.lazy(), state, visible.as_of)
    of_users = user_profiles(state, visible.as_of)
    texts = None if tables.item_texts is None else tables.item_texts.lazy()
    said = item_text_vectors(items.ids.tolist(), visible, signals, texts)
    centre = text_centre(said)
    text = centred_text(said, centre)
    log = browse_log(visible)
    population = Population.from_frames(
        purchase_history(visible, signals),
        browse_history(log),
        of_users,
        users=users,
        items=items,
    )
    asked, indptr, targets, grades = _questions(_graded(visible.targets, tables), users, items)
    return World(
        items=items,
        population=population,
        browse_log=browsing_interactions(log, users=users, items=items, repeats=True),
        features=ItemFeatures.from_profiles(of_items, text, items),
        text=text,
        text_centre=centre,
        item_profiles=of_items,
        user_profiles=of_users,
        asked=asked,
        target_indptr=indptr,
        target_item=targets,
        target_grade=grades,
    )


def _graded(targets: pl.DataFrame, tables: ShopTables) -> pl.DataFrame:
    """Add `grade` to `user_id, item_id`."""
    pair = ["user_id", "item_id"]
    wanted = targets.lazy().select(pair)
    felt = felt_purchases(
        tables.events.lazy().join(wanted, on=pair, how="semi"),
        tables.reviews.lazy().join(wanted, on=pair, how="semi"),
        tables.items.lazy(),
        tables.signals.lazy(),
    )
    grade = pl.col("satisfied").replace_strict({0: DISLIKED, 1: LOVED}, return_dtype=pl.Int8)
    return targets.join(
        felt.select(*pair, grade=grade), on=pair, how="left", maintain_order="left"
    ).with_columns(pl.col("grade").fill_null(BOUGHT))


def _questions(
    targets: pl.DataFrame, users: IdMap, items: IdMap
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    user_idx, item_idx = users.index(targets["user_id"]), items.index(targets["item_id"])
    known = (user_idx >= 0) & (item_idx >= 0)
    user_idx, item_idx = user_idx[known], item_idx[known]
    order = np.argsort(user_idx, kind="stable")
    asked, counts = np.unique(user_idx[order], return_counts=True)
    grade = targets["grade"].to_numpy()[known][order]
    return asked, np.concatenate([[0], np.cumsum(counts)]), item_idx[order], grade
