"""Replay history with two bundles of a store: who would have shown what was bought next."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from features.store import Store
from features.visibility import before
from jobs.errors import BadInputError, NotDecidableError
from jobs.load_shop import load_shop
from recsys.bundle import load_bundle
from recsys.bundle_manifest import Manifest
from recsys.bundle_replay import ReplayComparison, compare_replayed, replayed
from recsys.bundle_versions import BUNDLES, bundle_folder
from recsys.errors import BundleError
from recsys.recommender import Recommender
from recsys.world import build_world

BETTER, WORSE, UNDECIDED = "better", "worse", "not decidable"


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """B against A on history.

    Attributes:
        a: Version of the one that is.
        b: Of the one that may be.
        split_at: Asked is what was bought at or after it.
        metric: That decides, of `recsys.bundle_replay.PAIRED`.
        verdict: `BETTER`, `WORSE` or `UNDECIDED`, of B.
        num_test_users: Users who bought something new after the split.
        cautions: What the reader must know.
        comparison: All figures.
        titles: Of the items that are shown, by id.
    """

    a: str
    b: str
    split_at: datetime
    metric: str
    verdict: str
    num_test_users: int
    cautions: list[str]
    comparison: ReplayComparison
    titles: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy."""
        told = {name: value for name, value in vars(self).items() if name != "comparison"}
        return told | {"split_at": self.split_at.isoformat()} | asdict(self.comparison)


def replay_bundles(
    store: Store,
    version_a: str,
    version_b: str,
    *,
    split_at: datetime | None,
    allow_seen: bool,
    metric: str,
    alpha: float,
    seed: int,
    num_shown: int,
) -> ReplayReport:
    """Compare two bundles on what was bought after a time.

    Args:
        store: Where tables and bundles are.
        version_a: The one that is.
        version_b: The one that may be.
        split_at: Asked is what was bought at or after it; None takes the first moment that neither
            bundle has seen.
        allow_seen: Go on where a bundle was made of rows after the split, with a caution.
        metric: That decides.
        alpha: Size of the randomisation test.
        seed: Of resamples and signs.
        num_shown: Changed users to show.

    Raises:
        BadInputError: If there is no such bundle, it is damaged, or it has seen the answers.
        NotDecidableError: If nobody bought anything new after the split.
    """
    (recommender_a, of_a), (recommender_b, of_b) = (
        _load(store, version) for version in (version_a, version_b)
    )
    seen_until = {m.version: datetime.fromisoformat(m.data["as_of"]) for m in (of_a, of_b)}
    split = split_at or max(seen_until.values())
    cautions = []
    for version, seen in seen_until.items():
        if seen > split:
            told = (
                f"bundle {version} was made of what was known on {seen.isoformat()}, after the "
                f"split at {split.isoformat()}: it has seen the answers"
            )
            if not allow_seen:
                raise BadInputError(f"{told}; split later, or say --allow-seen")
            cautions.append(told)
    shop = load_shop(store, of_b.data["model_version"])
    visible = before(shop.events, shop.reviews, as_of=split)
    if visible.targets.is_empty():
        raise NotDecidableError(
            f"nobody who had bought before {split.isoformat()} bought anything new since: nothing "
            "to replay; bring later purchases, or bundles made --as-of an earlier time"
        )
    world = build_world(shop, visible)
    found = [replayed(world, shop, visible, asked) for asked in (recommender_a, recommender_b)]
    comparison = compare_replayed(world, *found, seed=seed, num_shown=num_shown)
    shown = {
        item
        for user in comparison.changed
        for item in (*user.items_a, *user.items_b, *user.targets)
    }
    titles = shop.items.filter(pl.col("item_id").is_in(list(shown))).select("item_id", "title")
    return ReplayReport(
        a=version_a,
        b=version_b,
        split_at=split,
        metric=metric,
        verdict=_verdict(comparison, metric, alpha),
        num_test_users=len(world.asked),
        cautions=cautions,
        comparison=comparison,
        titles={item: title or item for item, title in titles.sort("item_id").iter_rows()},
    )


def _load(store: Store, version: str) -> tuple[Recommender, Manifest]:
    try:
        return load_bundle(bundle_folder(store.path(BUNDLES), version))
    except BundleError as error:
        raise BadInputError(str(error)) from error


def _verdict(comparison: ReplayComparison, metric: str, alpha: float) -> str:
    """Tell whether B is better; of regret less is."""
    found = comparison.differences.get(metric)
    if found is None or found.p_value >= alpha or found.low <= 0 <= found.high:
        return UNDECIDED
    return BETTER if (found.difference > 0) != metric.startswith("regret") else WORSE
