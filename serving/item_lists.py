"""Lists of items that nobody is asked for: similar, bought together, trending. Knows no HTTP."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from serving.catalogue import Catalogue
from serving.schema_items import TrendingQuery
from serving.snapshot import Snapshot


def similar_items(item: int, k: int, snapshot: Snapshot) -> dict[str, Any]:
    """Answer what is like an item, in the shape of `SimilarResponse` without its head."""
    found = snapshot.similar.like(item, k, snapshot.showable())
    told = [
        {"score": score, "like_in": voices}
        for score, voices in zip(found.score.tolist(), found.voices, strict=True)
    ]
    return {
        "item_id": snapshot.catalogue.item_ids[item],
        "degraded": None if told else "nothing_known",
        "items": _listed(found.item_idx, told, snapshot.catalogue),
    }


def bought_together(item: int, k: int, snapshot: Snapshot) -> dict[str, Any]:
    """Answer what goes with an item, in the shape of `TogetherResponse` without its head."""
    found = snapshot.together.with_item(item, k, snapshot.showable())
    columns = (found.strength, found.num_buyers, found.share, found.lift)
    told = [
        {"strength": strength, "num_buyers": num_buyers, "share": share, "lift": lift}
        for strength, num_buyers, share, lift in zip(*(c.tolist() for c in columns), strict=True)
    ]
    return {
        "item_id": snapshot.catalogue.item_ids[item],
        "degraded": None if told else "nothing_known",
        "items": _listed(found.item_idx, told, snapshot.catalogue),
    }


def trending_items(asked: TrendingQuery, snapshot: Snapshot) -> dict[str, Any]:
    """Answer what rises, in the shape of `TrendingResponse` without its head."""
    trends, allowed = snapshot.trends, snapshot.showable()
    degraded = None
    if asked.category is not None:
        if asked.category not in snapshot.catalogue.of_category:
            degraded = "unknown_category"
        allowed = snapshot.catalogue.only_of([asked.category], allowed)
    order = trends.order if allowed is None else trends.order[allowed[trends.order]]
    found = order[: asked.k]
    told = [
        {
            "is_rising": bool(trends.rises[idx]),
            "num_recent": int(trends.num_recent[idx]),
            "num_before": int(trends.num_before[idx]),
            "num_expected": float(trends.expected[idx]),
            "rise": float(trends.rise[idx]),
            "rise_low": float(trends.rise_low[idx]),
        }
        for idx in found.tolist()
    ]
    if degraded is None and not any(item["is_rising"] for item in told):
        degraded = "nothing_rises"
    end = datetime.fromtimestamp(trends.end / 1e6, UTC).isoformat() if trends.end else None
    return {
        "surface": asked.surface,
        "category": asked.category,
        "as_of": end,
        "recent_days": trends.recent_days,
        "before_days": trends.before_days,
        "degraded": degraded,
        "items": _listed(found, told, snapshot.catalogue),
    }


def _listed(
    item_idx: np.ndarray, told: Iterable[Mapping[str, Any]], catalogue: Catalogue
) -> list[dict[str, Any]]:
    return [
        {
            "item_id": catalogue.item_ids[idx],
            "rank": rank,
            "title": catalogue.titles[idx],
            "brand": catalogue.brands[idx],
            "price_cents": catalogue.price_cents[idx],
            **more,
        }
        for rank, (idx, more) in enumerate(zip(item_idx.tolist(), told, strict=True), start=1)
    ]
