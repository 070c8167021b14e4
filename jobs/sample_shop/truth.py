"""What is really so in a sample shop, and what no model may see.

Satisfaction is 1 / (1 + exp(-1.5 latent)); `experience` says what latent is made of.
"""

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from jobs.sample_shop.experience import BASE, squash


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The hidden side of a shop, as frames that are written to truth/*.parquet."""

    item_quality: pl.DataFrame
    """item_id, aspect, quality (about N(0, 1)): only aspects that apply to the item."""
    user_preferences: pl.DataFrame
    """user_id, aspect, weight: positive, sums to 1 a user over all aspects. For an item, weights
    are scaled to sum to 1 over the aspects that apply to it."""
    user_traits: pl.DataFrame
    """user_id, strictness, generosity, always_five, aspect-free sides of a person."""
    purchases: pl.DataFrame
    """event_id, user_id, item_id, stars (what the buyer would give, reviewed or not), satisfaction
    (0 to 1), expected (satisfaction without the noise of this purchase)."""
    reviews: pl.DataFrame
    """review_id, event_id of the purchase, overall (polarity told of the whole, -1 to 1)."""
    opinions: pl.DataFrame
    """review_id, aspect, polarity (-1, -0.5, 0, 0.5 or 1), start, end: characters of the text."""
    needs: pl.DataFrame
    """review_id, aspect, start, end: wishes in the text."""
    incidents: pl.DataFrame
    """item_id, kind (bad_batch, drift or review_bombing), aspect, start, end (times between which
    what was sold is bad, or the bombing goes on), first_review_at (the first review that comes of
    it, null for none), num_reviews (that do)."""

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return every frame by its name; of incidents, if there are any."""
        frames = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: frame for name, frame in frames.items() if name != "incidents" or len(frame)}


def expected_satisfaction(truth: Truth) -> pl.DataFrame:
    """Return what every user can expect of every item.

    Args:
        truth: of the shop.

    Returns:
        One row a user, in the order of `user_traits`: user_id, then one Float64 column an item_id,
        in the order of `item_quality`; satisfaction without noise, 0 to 1.
    """
    quality = truth.item_quality.pivot(
        on="aspect", index="item_id", values="quality", maintain_order=True
    )
    aspects = [name for name in quality.columns if name != "item_id"]
    weight = truth.user_preferences.pivot(
        on="aspect", index="user_id", values="weight", maintain_order=True
    )
    weight_UA = weight.select(aspects).to_numpy()
    quality_IA = quality.select(aspects).to_numpy()
    applies_IA = ~np.isnan(quality_IA.astype(np.float64))
    fit_UI = weight_UA @ np.where(applies_IA, quality_IA, 0.0).T / (weight_UA @ applies_IA.T)
    strictness_U = truth.user_traits["strictness"].to_numpy()
    satisfaction_UI = squash(BASE + fit_UI - strictness_U[:, None])
    return pl.DataFrame(
        {"user_id": weight["user_id"]}
        | {item: satisfaction_UI[:, i] for i, item in enumerate(quality["item_id"])}
    )
