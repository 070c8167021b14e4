"""What users are shown, measured: the ranker's lists as a shop wants them rearranged.

The ranker's own order is what it was fitted for; people see what `recsys.rerank` makes of it. Here
each asked user's candidates are rearranged as an answer would be at the time of their question:
experiences, complaints and what is said of aspects are those visible in the world. Stock and alerts
are of today and take no part; what a rule takes out leaves its place to the next candidate.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.aspect_profiles import aspect_mentions, item_aspects, user_complaints
from features.visibility import Visible
from recsys.aspect_wishes import ItemAspects
from recsys.candidates import Candidates
from recsys.evaluation import Evaluated, evaluate_lists
from recsys.recommender import Recommender, Reranking
from recsys.rerank import Shelf
from recsys.rerank_config import RerankConfig, Rule
from recsys.user_complaints import UserComplaints
from recsys.world import World
from sentiment.aspects import AspectList


@dataclass(frozen=True, kw_only=True)
class ShopWishes:
    """How a shop wants all lists rearranged.

    Attributes:
        config: Suppression, diversity, caps, exploration.
        rules: Boosts, burials, items taken out.
    """

    config: RerankConfig
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What rearranging needs to know beside the candidates.

    Attributes:
        shelf: The catalogue, without rules.
        complaints: What users complained of.
        asked_at: When each asked user's question is put, microseconds since the epoch, shape (B,).
    """

    shelf: Shelf
    complaints: UserComplaints
    asked_at: np.ndarray

    @classmethod
    def of(
        cls, recommender: Recommender, world: World, visible: Visible, signals: pl.LazyFrame
    ) -> "Circumstances":
        """Return them as far as they are visible.

        Args:
            recommender: Fitted on the world.
            world: The questions.
            visible: What the world was built from.
            signals: `sentiment.schema.ReviewSignals` of one model version.
        """
        mentions = aspect_mentions(visible, signals)
        of_items = ItemAspects.of(item_aspects(mentions), world.items.places, AspectList.load())
        return cls(
            shelf=replace(recommender.shelf(), aspects=of_items.matrix(len(world.items))),
            complaints=UserComplaints.of(user_complaints(mentions), of_items.places),
            asked_at=asked_at(world, visible),
        )


def asked_at(world: World, visible: Visible) -> np.ndarray:
    """Return when each asked user's question is put, microseconds since the epoch, shape (B,).

    That is the user's first target, or the cut where it is before that.
    """
    firsts = visible.targets.group_by("user_id").agg(pl.col("event_time").min())
    asked = pl.DataFrame({"user_id": world.population.users.ids[world.asked].tolist()})
    at = asked.join(firsts, on="user_id", how="left", maintain_order="left")["event_time"]
    cut = int(pl.Series([visible.as_of]).dt.epoch("us").item())
    return at.dt.epoch("us").fill_null(cut).clip(upper_bound=cut).to_numpy()


def shown_to_all(
    recommender: Recommender,
    world: World,
    ranked: tuple[Candidates, np.ndarray],
    circumstances: Circumstances,
    wishes: ShopWishes,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Return what each asked user is shown of all their candidates, best first.

    Users are taken one after the other, as in serving; beside the result nothing is kept of them.

    Args:
        recommender: What ranked.
        world: The questions.
        ranked: Candidates of all asked users, (B, K), and the ranker's scores.
        circumstances: Of the same users.
        wishes: Of the shop.
        seed: Of the exploration.

    Returns:
        Item indices, -1 where fewer are shown, int32, shape (B, K).
    """
    candidates, scores = ranked
    shelf = circumstances.shelf
    if wishes.rules:
        shelf = replace(shelf, factor=recommender.shelf(wishes.rules).factor)
    users, days = world.population.users.ids, wishes.config.half_life_days
    num_asked, k = candidates.item_idx.shape
    shown = np.full((num_asked, k), -1, dtype=np.int32)
    for row, (user, now) in enumerate(zip(world.asked, circumstances.asked_at, strict=True)):
        reranking = Reranking(
            config=wishes.config,
            shelf=shelf,
            now=int(now),
            seed=(seed, row),
            complaints=circumstances.complaints.of_user(str(users[user]), int(now), days),
            with_causes=False,
        )
        one = slice(row, row + 1)
        found = recommender.shown(
            world.population.query(np.array([user])),
            (candidates.of_users(one), scores[one]),
            k,
            reranking,
        ).item_idx
        shown[row, : len(found)] = found
    return shown


def evaluate_shown(world: World, shown: np.ndarray) -> Evaluated:
    """Measure lists as they are shown, shape (B, K), -1 for padding."""
    places = np.broadcast_to(-np.arange(shown.shape[1], dtype=np.float64), shown.shape)
    return evaluate_lists(world, shown, places)
