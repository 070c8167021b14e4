"""One user as the profiles see them, with the sentences behind what they care about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from features.affinity import KINDS
from features.aspect_profiles import AspectConfig
from features.errors import StoreError
from features.opinion import JUDGING_SOURCES
from features.store import Store
from sentiment.cleaning import review_text
from sentiment.sentences import sentence_spans

NUM_ASPECTS, NUM_SENTENCES, NUM_VALUES = 5, 3, 3


@dataclass(frozen=True, kw_only=True)
class UserCard:
    """What is known of a user.

    Attributes:
        profile: Their row of `user_profiles`.
        affinities: By kind (`features.affinity.KINDS`) the strongest values and their shares.
        aspects: The aspects they stress most, of those they wrote about more than once where there
            are any: rows of `user_aspects`, each with `sentences`: rows of `review_id, item_id,
            event_time, polarity, sentence`, the latest first.
    """

    profile: dict[str, Any]
    affinities: dict[str, dict[str, float]]
    aspects: list[dict[str, Any]]


def user_card(store: Store, user_id: str, *, version: str) -> UserCard:
    """Read what the side tables hold of a user.

    Args:
        store: Where the tables are.
        user_id: As the tables name the user.
        version: Model version of the signals.

    Raises:
        StoreError: If a table is missing, or has no row of the user.
    """
    profile = _own(store, "user_profiles", user_id).to_dicts()
    if not profile:
        raise StoreError(f"{store.root} has no profile of this user")
    affinities = _own(store, "user_affinities", user_id).sort(
        ["kind", "share", "value"], descending=[False, True, False]
    )
    stressed = _own(store, "user_aspects", user_id).sort(
        ["emphasis", "aspect"], descending=[True, False]
    )
    stressed = stressed.filter(pl.col("emphasis") > 0)
    often = stressed.filter(pl.col("num_mentions") > 1)
    stressed = (often if len(often) else stressed).head(NUM_ASPECTS)
    as_of = profile[0]["as_of"]
    opinions = _opinions(store, user_id, version, as_of) if len(stressed) else []
    return UserCard(
        profile=profile[0],
        affinities={
            kind: dict(
                affinities.filter(kind=kind).head(NUM_VALUES).select("value", "share").iter_rows()
            )
            for kind in KINDS
        },
        aspects=[
            row | {"sentences": _sentences(opinions, row["aspect"])} for row in stressed.to_dicts()
        ],
    )


def _own(store: Store, table: str, user_id: str) -> pl.DataFrame:
    return store.scan(table).filter(pl.col("user_id") == user_id).drop("user_id").collect()


def _opinions(store: Store, user_id: str, version: str, as_of: datetime) -> list[dict[str, Any]]:
    """Return the opinions that `aspect_mentions` counts, with their sentences, the latest first."""
    written = store.scan("reviews").filter(
        pl.col("user_id") == user_id,
        pl.col("event_time") < as_of,
        pl.col("source").is_in(JUDGING_SOURCES),
    )
    signals = store.scan("review_signals").filter(pl.col("model_version") == version)
    rows = (
        written.join(signals.select("review_id", "aspects"), on="review_id")
        .sort("event_time", "seq", "review_id", descending=True)
        .collect()
    )
    found = []
    for row in rows.to_dicts():
        text = review_text(row["title"], row["text"])
        sentences = sentence_spans(text)
        for opinion in row["aspects"]:
            if opinion["confidence"] < AspectConfig().least_confidence:
                continue
            span = next((s for s in sentences if s[0] <= opinion["start"] < s[1]), None)
            if span is not None:
                said = {name: row[name] for name in ("review_id", "item_id", "event_time")}
                sentence = text[slice(*span)]
                found.append(
                    said | {"aspect": opinion["aspect"], "polarity": opinion["polarity"]}
                    | {"sentence": sentence}
                )  # fmt: skip
    return found


def _sentences(opinions: list[dict[str, Any]], aspect: str) -> list[dict[str, Any]]:
    """Return the first sentences on an aspect, each once; what differs by a plural s is one."""
    found: dict[str, dict[str, Any]] = {}
    for opinion in opinions:
        if opinion["aspect"] in (aspect, f"{aspect}s"):
            said = {name: value for name, value in opinion.items() if name != "aspect"}
            found.setdefault(opinion["sentence"], said)
    return list(found.values())[:NUM_SENTENCES]
