"""Two recommenders asked the same questions of the past, user by user.

Asked is who bought something new after a cut, on what was known before it; see `recsys.evaluation`
for ranks and `recsys.satisfaction_metrics` for how purchases are counted by how they were felt.

Shape suffixes: B asked users, T targets, K candidates.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.visibility import Visible
from recsys.evaluation import Evaluated, evaluate_lists, user_batches
from recsys.grades import BOUGHT, DISLIKED
from recsys.intervals import PairedDifference, paired_difference
from recsys.metrics import recall
from recsys.off_policy.recommender_policy import population_of
from recsys.recommender import Recommender
from recsys.satisfaction_metrics import regret, satisfaction_ndcg, satisfaction_of
from recsys.slices import Slice, by_history, by_user_group
from recsys.world import ShopTables, World

PLACES = 10
PAIRED = ("ndcg@10", "recall@10", "novelty@10", "satisfaction_ndcg@10", "regret@10")


@dataclass(frozen=True, kw_only=True)
class ChangedUser:
    """A user whose list changed.

    Attributes:
        user_id: Who.
        ndcg_a: NDCG@10 of A.
        ndcg_b: Of B.
        shared: Items that stand in both first tens.
        items_a: The first ten of A, best first.
        items_b: Of B.
        targets: What the user bought.
    """

    user_id: str
    ndcg_a: float
    ndcg_b: float
    shared: int
    items_a: list[str]
    items_b: list[str]
    targets: list[str]


@dataclass(frozen=True, kw_only=True)
class ReplayComparison:
    """B against A.

    Attributes:
        metrics: Of each, see `recsys.evaluation.Evaluated`.
        differences: B less A, of `PAIRED`, over the users a metric is defined for.
        num_users: Users behind each difference.
        by_history: NDCG@10 of B less that of A, by how much a user had bought: `ndcg` of a slice is
            the difference, with its paired bootstrap interval.
        by_mood: The same by how users spoke of what they had bought.
        changed: Users whose NDCG@10 or list changed most.
        num_changed: Users whose first ten differ at all.
    """

    metrics: dict[str, dict[str, float]]
    differences: dict[str, PairedDifference]
    num_users: dict[str, int]
    by_history: list[Slice]
    by_mood: list[Slice]
    changed: list[ChangedUser]
    num_changed: int


def replayed(
    world: World, shop: ShopTables, visible: Visible, recommender: Recommender
) -> Evaluated:
    """Ask a recommender about the targets of a world.

    Args:
        world: The questions; its catalogue may differ from the recommender's.
        shop: The tables it was built of.
        visible: What of them may be seen.
        recommender: Who is asked; items it does not know are not ranked.
    """
    population = population_of(shop, visible, recommender.items)
    own_user = population.users.index(
        pl.Series(world.population.users.ids.tolist(), dtype=pl.String)
    )
    to_world = world.items.index(pl.Series(recommender.items.ids.tolist(), dtype=pl.String))
    found_items, found_scores = [], []
    for part, _ in user_batches(world):
        candidates, scores = recommender.rank(population.query(own_user[world.asked[part]]))
        item = candidates.item_idx
        in_world = np.where(item >= 0, to_world[np.maximum(item, 0)], -1)
        # Two recommenders may offer different numbers of candidates; ten places both have.
        short = max(0, PLACES - in_world.shape[1])
        found_items.append(np.pad(in_world, ((0, 0), (0, short)), constant_values=-1))
        known = np.where(in_world >= 0, scores, -np.inf)
        found_scores.append(np.pad(known, ((0, 0), (0, short)), constant_values=-np.inf))
    return evaluate_lists(world, np.concatenate(found_items), np.concatenate(found_scores))


def compare_replayed(
    world: World, a: Evaluated, b: Evaluated, *, seed: int = 0, num_shown: int = 10
) -> ReplayComparison:
    """Compare two recommenders on the same questions.

    Args:
        world: The questions.
        a: The one that is.
        b: The one that may be.
        seed: Of resamples and signs.
        num_shown: Changed users to show.
    """
    differences, num_users = paired_differences(world, a, b, seed=seed)
    gain = replace(b, ndcg=b.ndcg - a.ndcg, recall_100=b.recall_100 - a.recall_100)
    changed, num_changed = _changed(world, a, b, num_shown)
    return ReplayComparison(
        metrics={"a": a.metrics, "b": b.metrics},
        differences=differences,
        num_users=num_users,
        by_history=by_history(world, gain),
        by_mood=by_user_group(world, gain, moods(world)),
        changed=changed,
        num_changed=num_changed,
    )


def paired_differences(
    world: World, a: Evaluated, b: Evaluated, *, seed: int = 0
) -> tuple[dict[str, PairedDifference], dict[str, int]]:
    """Return B less A, of each of `PAIRED` that is defined for anybody, and for how many users."""
    of_a, of_b = (per_user(world, found) for found in (a, b))
    differences, num_users = {}, {}
    for name in PAIRED:
        told = np.isfinite(of_a[name]) & np.isfinite(of_b[name])
        if told.any():
            differences[name] = paired_difference(of_b[name][told], of_a[name][told], seed=seed)
            num_users[name] = int(told.sum())
    return differences, num_users


def per_user(world: World, found: Evaluated) -> dict[str, np.ndarray]:
    """Return metrics of each asked user, NaN where one is not defined for them, shape (B,).

    Satisfaction NDCG and regret are of users of whom it is known how any of what they bought was.
    """
    cuts = world.target_indptr[1:-1]
    ranks, grades = np.split(found.ranks, cuts), np.split(world.target_grade, cuts)
    felt = [(r, g) if (g != BOUGHT).any() else None for r, g in zip(ranks, grades, strict=True)]
    bought = world.population.bought
    share = np.maximum(bought.popularity(), 0.5) / bought.num_users
    bits = np.where(found.lists >= 0, -np.log2(share)[np.maximum(found.lists, 0)], np.nan)
    num_shown = (found.lists >= 0).sum(1)
    novelty = np.where(num_shown > 0, np.nansum(bits, axis=1) / np.maximum(num_shown, 1), np.nan)
    return {
        "ndcg@10": found.ndcg,
        "recall@10": np.array([recall(r, PLACES) for r in ranks]),
        "novelty@10": novelty,
        "satisfaction_ndcg@10": np.array(
            [
                np.nan if f is None else satisfaction_ndcg(f[0], satisfaction_of(f[1]), PLACES)
                for f in felt
            ]
        ),
        "regret@10": np.array(
            [np.nan if f is None else regret(f[0][f[1] == DISLIKED], PLACES) for f in felt]
        ),
    }


def moods(world: World) -> pl.DataFrame:
    """Return `user_id, group`: content or unhappy by mean polarity; silent users have no row."""
    mood = pl.when(pl.col("polarity_mean") < 0).then(pl.lit("unhappy")).otherwise(pl.lit("content"))
    return world.user_profiles.drop_nulls("polarity_mean").select("user_id", group=mood)


def _changed(
    world: World, a: Evaluated, b: Evaluated, num_shown: int
) -> tuple[list[ChangedUser], int]:
    shared = np.array(
        [
            len(set(one[one >= 0].tolist()) & set(other[other >= 0].tolist()))
            for one, other in zip(a.lists, b.lists, strict=True)
        ]
    )
    differ = (a.lists != b.lists).any(1)
    order = np.lexsort((shared, -np.abs(b.ndcg - a.ndcg)))
    shown = [row for row in order.tolist() if differ[row]][:num_shown]

    def names(items: np.ndarray) -> list[str]:
        return world.items.ids[items[items >= 0]].tolist()

    return [
        ChangedUser(
            user_id=str(world.population.users.ids[world.asked[row]]),
            ndcg_a=float(a.ndcg[row]),
            ndcg_b=float(b.ndcg[row]),
            shared=int(shared[row]),
            items_a=names(a.lists[row]),
            items_b=names(b.lists[row]),
            targets=names(
                world.target_item[world.target_indptr[row] : world.target_indptr[row + 1]]
            ),
        )
        for row in shown
    ], int(differ.sum())
