"""What is known of one item, and said of it. A pure function that knows no HTTP."""

import math
from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

from serving.snapshot import Snapshot

MAX_ASPECTS = 50
MAX_NEEDS = 20


def item_insight(item: int, snapshot: Snapshot) -> dict[str, Any]:
    """Tell what is known of an item, in the shape of `InsightResponse` without its head.

    Nothing is quoted of authors who were erased since the tables were made; figures that they are
    part of are made anew by the next build.
    """
    catalogue, facts = snapshot.catalogue, snapshot.facts
    profile = {name: _finite(value) for name, value in facts.profile(item).items()}
    erased = frozenset() if snapshot.live is None else snapshot.live.erased
    item_id, as_of = catalogue.item_ids[item], profile["as_of"]
    return {
        "item_id": item_id,
        "title": catalogue.titles[item],
        "brand": catalogue.brands[item],
        "categories": facts.categories[item].to_list() or [],
        "price_cents": catalogue.price_cents[item],
        "in_stock": facts.in_stock(item),
        "as_of": None if as_of is None else as_of.isoformat(),
        "popularity": {
            "num_purchases": profile["num_purchases"],
            "num_purchases_30d": profile["num_purchases_30d"],
            "num_views": profile["num_views"],
            "num_views_30d": profile["num_views_30d"],
            "place": float(catalogue.popularity_I[item]),
            "purchase_trend": profile["purchase_trend"],
            "return_rate": profile["return_rate"],
        },
        "satisfaction": _satisfaction(facts.satisfaction.of_item(item)),
        "opinion": {
            "num_reviews": profile["num_reviews"],
            "stars_mean": profile["stars_mean"],
            "stars": _level(profile, "stars_smoothed"),
            "polarity_mean": profile["polarity_mean"],
            "polarity": _level(profile, "polarity_smoothed"),
            "negative_share": _level(profile, "negative_share"),
            "polarity_trend": profile["polarity_trend"],
            "polarity_drift": profile["polarity_drift"],
        },
        "aspects": _aspects(facts.aspects.of_item(item)),
        "needs": _needs(facts.needs.of_item(item), erased),
        "quotes": {
            "praise": [
                quote._asdict()
                for author, quote in snapshot.quotes.on(item_id)
                if author not in erased
            ],
            "complaints": [
                {
                    "text": row["quote"],
                    "review_id": row["review_id"],
                    "aspect": row["aspect"],
                    "polarity": row["polarity"],
                }
                for row in facts.complaints.of_item(item)
                if row["user_id"] not in erased
            ],
        },
    }


def _finite(value: Any) -> Any:
    """Return a value as JSON has it: what is no number is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _level(values: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    if values[name] is None:
        return None
    ends = {end: values[f"{name}_{end}"] for end in ("low", "high")}
    return {"value": values[name], **ends}


def _satisfaction(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not rows or rows[0]["satisfaction"] is None:
        return None
    row = rows[0]
    return {
        "index": row["satisfaction"],
        "low": row["satisfaction_low"],
        "high": row["satisfaction_high"],
        "num_opinions": row["num_opinions"],
        "num_purchases": row["num_purchases"],
        "num_returned": row["num_returned"],
        "own_share": row["own_share"],
        "is_small": row["is_small"],
    }


def _aspects(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = sorted(rows, key=lambda row: (-row["num_mentions"], row["aspect"]))[:MAX_ASPECTS]
    return [
        {
            "aspect": row["aspect"],
            "num_mentions": row["num_mentions"],
            "polarity": _level(row, "polarity"),
        }
        for row in rows
    ]


def _needs(rows: list[dict[str, Any]], erased: Container[str]) -> dict[str, Any]:
    """Put needs in the same words together, whatever their capitals; the last of them is shown."""
    rows = [row for row in rows if row["user_id"] not in erased]
    authors: dict[tuple[str, str], set[str]] = {}
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["need"].casefold(), row["kind"])
        authors.setdefault(key, set()).add(row["user_id"])
        last.setdefault(key, row)
    # The latest come first, and stay so among equals.
    frequent = sorted(last, key=lambda key: -len(authors[key]))[:MAX_NEEDS]
    return {
        "num_needs": len(rows),
        "by_kind": dict(Counter(row["kind"] for row in rows)),
        "voiced": [
            {
                "text": last[key]["need"],
                "kind": last[key]["kind"],
                "count": len(authors[key]),
                "review_id": last[key]["review_id"],
            }
            for key in frequent
        ],
    }
