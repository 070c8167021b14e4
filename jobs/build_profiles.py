"""Write profiles, histories and quotes as of a time: the side tables that serving polls."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features.aspect_profiles import aspect_mentions, item_aspects, user_aspects, user_complaints
from features.event_log.coverage import (
    covered_position,
    drained_position,
    position_before,
    write_coverage,
)
from features.histories import browse_history, browse_log, purchase_history
from features.item_needs import item_needs
from features.kept_state import rebuild, update
from features.profiles import item_profiles, user_affinities, user_profiles
from features.quotes import item_complaints, item_quotes
from features.satisfaction_index import satisfaction_index
from features.store import Store
from features.taste_vectors import item_vectors, user_taste_vectors
from features.text_vectors import item_text_vectors
from features.visibility import everything
from jobs.load_shop import load_shop

SIDE_TABLES = (
    "user_profiles",
    "item_profiles",
    "user_affinities",
    "user_aspects",
    "item_aspects",
    "item_satisfaction",
    "item_needs",
    "user_vectors",
    "item_vectors",
    "purchase_history",
    "browse_history",
    "quotes",
    "complaints",
    "user_complaints",
)


@dataclass(frozen=True, kw_only=True)
class ProfilesReport:
    """Rows written to each side table, and the time they are as of."""

    as_of: datetime
    rows: dict[str, int]


def profiles(
    store: Store,
    *,
    version: str,
    as_of: datetime,
    since: bool = False,
    event_log: str | None = None,
) -> ProfilesReport:
    """Build and write all side tables from rows strictly before `as_of`.

    Args:
        store: Where the tables are.
        version: Model version of the signals.
        as_of: Nothing at or after this time is used.
        since: Sum up only what came in since the last build, instead of everything.
        event_log: Address of the store's event log; None for a file in the store.

    Raises:
        StoreError: If a table is missing, or what came in cannot be told.
        BadInputError: If reviews lack signals of this version.
        EventLogError: If the event log cannot be read.
    """
    # Before the tables are read: what is drained meanwhile may be missing from them.
    drained = drained_position(store, event_log)
    shop = load_shop(store, version)
    visible = everything(shop.events, shop.reviews, as_of=as_of)
    signals, items = shop.signals.lazy(), shop.items.lazy()
    reviews = visible.reviews.lazy()
    mentions = aspect_mentions(visible, signals)
    purchases = purchase_history(visible, signals)
    ids = shop.items["item_id"].to_list()
    texts = None if shop.item_texts is None else shop.item_texts.lazy()
    vectors = item_vectors(ids, item_text_vectors(ids, visible, signals, texts))
    with store.lock("profiles"):
        state = (update if since else rebuild)(store, version=version, as_of=as_of)
    affinities = user_affinities(items, state, as_of)
    tables: dict[str, pl.DataFrame] = {
        "user_profiles": user_profiles(state, as_of, affinities),
        "user_affinities": affinities,
        "item_profiles": item_profiles(items, state, as_of),
        "user_aspects": user_aspects(mentions, visible.reviews),
        "item_aspects": item_aspects(mentions),
        "item_satisfaction": satisfaction_index(items, visible, signals, by=["item_id"]),
        "item_needs": item_needs(reviews, signals),
        "user_vectors": user_taste_vectors(purchases, visible, signals, vectors),
        "item_vectors": vectors,
        "purchase_history": purchases,
        "browse_history": browse_history(browse_log(visible)),
        "quotes": item_quotes(reviews, signals),
        "complaints": item_complaints(reviews, signals),
        "user_complaints": user_complaints(mentions),
    }
    is_whole = len(visible.events) == len(shop.events) and len(visible.reviews) == len(shop.reviews)
    covered = drained
    if not is_whole:
        covered = position_before(store, as_of, drained=drained, event_log=event_log)
    write_coverage(store, min(covered, covered_position(store)))
    for name in SIDE_TABLES:
        store.overwrite(name, tables[name])
    write_coverage(store, covered)
    return ProfilesReport(as_of=as_of, rows={name: len(tables[name]) for name in SIDE_TABLES})
