"""A user's declared features as of now: the state that profiles are built from, and the log.

The state lies in tables of the store and is read for one user when somebody asks; answers do not
need it (`serving.live_query` holds what they do).
"""

import threading
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from features.kept_state import own_rows, user_prior
from features.live_profile import ACTS, PRIORS, SAID, live_features
from features.shrinkage import GroupPrior
from features.store import Store
from serving.catalogue import Catalogue
from serving.live_users import ACT_COLUMNS, LiveUser

_JUST_AFTER = timedelta(microseconds=1)


class LiveProfiles:
    """Reads users of one store; of any thread.

    Args:
        store: Where the state is kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._priors: tuple[datetime, dict[str, GroupPrior]] | None = None

    def features(
        self,
        user_id: str,
        live: LiveUser,
        catalogue: Catalogue,
        *,
        built_as_of: datetime,
        now: datetime,
    ) -> dict[str, Any] | None:
        """Return features by name; None where the state is not that of the profiles' last build.

        Args:
            user_id: As the tables name the user.
            live: What they did since.
            catalogue: Tells list prices.
            built_as_of: Of the profiles that `live` goes on from.
            now: Reference of windows and ages; what is told to happen later counts as now.

        Raises:
            StoreError: If the state cannot be read.
        """
        kept = own_rows(self._store, user_id)
        if kept is None or kept.until != built_as_of:
            return None
        return live_features(
            kept,
            _acts(live, catalogue, now),
            _frame(list(live.said.values()), SAID, now),
            self._known_priors(built_as_of),
            as_of=now + _JUST_AFTER,
        )

    def _known_priors(self, built_as_of: datetime) -> dict[str, GroupPrior]:
        with self._lock:
            if self._priors is None or self._priors[0] != built_as_of:
                priors = {level.name: user_prior(self._store, level) for level in PRIORS}
                self._priors = (built_as_of, priors)
            return self._priors[1]


def _acts(live: LiveUser, catalogue: Catalogue, now: datetime) -> pl.DataFrame:
    def list_price(item_id: str | None) -> int | None:
        idx = None if item_id is None else catalogue.index.get(item_id)
        return None if idx is None else catalogue.price_cents[idx]

    acts = (dict(zip(ACT_COLUMNS, act, strict=True)) for act in live.acts)
    rows = [act | {"list_price_cents": list_price(act["item_id"])} for act in acts]
    return _frame(rows, ACTS, now)


def _frame(rows: list[dict[str, Any]], schema: pl.Schema, now: datetime) -> pl.DataFrame:
    raw = pl.DataFrame(rows, schema=dict(schema) | {"event_time": pl.Int64()})
    time = pl.from_epoch("event_time", "us").dt.replace_time_zone("UTC")
    # A review's text may be read before the review itself is: it counts as soon as that is there.
    return raw.drop_nulls("event_time").with_columns(
        event_time=pl.min_horizontal(time, pl.lit(now))
    )
