"""The declared features of one user, kept rows and fresh ones together; the store is read outside.

What `features.profiles.user_features` says of everybody in a batch: the same measures, the same
features, for one user and as of any moment after the last build.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from features import behaviour, opinion
from features.day_state import DAY, day_state
from features.feature import Feature, Measure
from features.kept_state import OwnRows
from features.live import DaySums, LiveReader
from features.shrinkage import GroupPrior
from sentiment.emotions import SHOP_EMOTIONS
from sentiment.schema import UTC

_USER = "user"
_TIME = pl.Datetime("us", UTC)
ACTS = pl.Schema(
    {
        "event_type": pl.String(),
        "event_time": _TIME,
        "price_cents": pl.Int64(),
        "list_price_cents": pl.Int64(),
        "quantity": pl.Int64(),
    }
)
"""What is read of a fresh event."""
SAID = pl.Schema(
    {
        "event_time": _TIME,
        "rating": pl.Float32(),
        "polarity": pl.Float32(),
        "emotions": pl.Struct(dict.fromkeys(SHOP_EMOTIONS, pl.Float32())),
        "num_needs": pl.UInt32(),
    }
)
"""What is read of a fresh review."""
PRIORS = (opinion.POLARITY_LEVEL,)
"""Levels of users, whose priors `live_features` asks for."""


def live_features(
    kept: OwnRows,
    acts: pl.DataFrame,
    said: pl.DataFrame,
    priors: Mapping[str, GroupPrior],
    *,
    as_of: datetime,
) -> dict[str, Any]:
    """Return the features of behaviour and opinion by name.

    Args:
        kept: Of the user.
        acts: Events that are not in it, columns `ACTS`.
        said: Reviews that are not in it, columns `SAID`.
        priors: By name of each of `PRIORS`.
        as_of: Reference of windows and ages; all rows lie before it.
    """
    acted = _read(kept.days, acts, behaviour.MEASURES, behaviour.USER_BEHAVIOUR, {}, as_of)
    told = _read(kept.said, said, opinion.MEASURES, opinion.USER_OPINION, priors, as_of)
    return acted | told


def _read(
    kept: pl.DataFrame,
    fresh: pl.DataFrame,
    measures: Sequence[Measure],
    features: Sequence[Feature],
    priors: Mapping[str, GroupPrior],
    as_of: datetime,
) -> dict[str, Any]:
    rows = fresh.lazy().with_columns(pl.lit(_USER).alias(_USER))
    summed = day_state(rows, _USER, measures).drop(_USER).collect()
    reader = LiveReader(
        measures=measures,
        types={name: kind for name, kind in summed.schema.items() if name != DAY},
        features=features,
        levels=opinion.levels_of(features) if priors else (),
        priors=priors,
    )
    sums = DaySums.of(kept, measures).plus(DaySums.of(summed, measures), measures)
    return reader.read(sums, as_of)
