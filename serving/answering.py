"""From a request and a snapshot to an answer: a pure function that knows no HTTP."""

import hashlib
from datetime import datetime

import numpy as np

from recsys.query import Query
from recsys.recommender import Recommended
from serving.filters import allowed_items
from serving.reasons import quote_from_another, reason_text
from serving.schema import (
    Degraded,
    Reason,
    RecommendationRequest,
    RecommendationResponse,
    RecommendedItem,
)
from serving.snapshot import Snapshot


def answer(
    request: RecommendationRequest, snapshot: Snapshot, *, request_id: str, now: datetime
) -> RecommendationResponse:
    """Recommend.

    A visitor of whom nothing is known gets what is popular, and the answer says so.

    Args:
        request: What is asked.
        snapshot: What to answer from.
        request_id: Carried into the answer; the same question under the same id on the same day and
            from the same snapshot is answered alike, also where it explores.
        now: The moment of asking.

    Returns:
        At most k items; none that was bought, none that a filter leaves out.
    """
    allowed = allowed_items(request.filters, snapshot.catalogue)
    name = snapshot.known_as(request.user_id)
    query = snapshot.query(name, allowed)
    degraded = _degraded(request.user_id, query)
    items: list[RecommendedItem] = []
    if allowed is None or allowed.any():
        found = snapshot.recommend(
            query,
            request.k,
            allowed,
            diversity=request.diversity,
            now=int(now.timestamp() * 1e6),
            seed=int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8]),
        )
        reasons = (
            _reasons(found, query, snapshot, name, is_personal=degraded is None)
            if request.explain
            else [None] * len(found.item_idx)
        )
        items = _items(found, snapshot, reasons)
    if not items:
        degraded = "everything_bought" if allowed is None else "no_item_matches_filters"
    return RecommendationResponse(
        request_id=request_id,
        model_version=snapshot.manifest.version,
        user_id=request.user_id,
        degraded=degraded,
        items=items,
    )


def _degraded(user_id: str | None, query: Query | None) -> Degraded | None:
    if user_id is None:
        return "no_user_id"
    if query is None:
        return "unknown_user"
    has_history = len(query.bought.item_idx) or len(query.browsed.item_idx)
    return None if has_history else "no_history"


def _items(
    found: Recommended, snapshot: Snapshot, reasons: list[Reason] | list[None]
) -> list[RecommendedItem]:
    catalogue = snapshot.catalogue
    return [
        RecommendedItem(
            item_id=catalogue.item_ids[idx],
            rank=place,
            score=score,
            propensity=propensity,
            title=catalogue.titles[idx],
            brand=catalogue.brands[idx],
            price_cents=catalogue.price_cents[idx],
            reason=reason,
        )
        for place, (idx, score, propensity, reason) in enumerate(
            zip(
                found.item_idx.tolist(),
                found.score.tolist(),
                found.propensity.tolist(),
                reasons,
                strict=True,
            ),
            start=1,
        )
    ]


def _reasons(
    found: Recommended,
    query: Query | None,
    snapshot: Snapshot,
    user_id: str | None,
    *,
    is_personal: bool,
) -> list[Reason]:
    catalogue = snapshot.catalogue
    felt: dict[int, float] = {}
    if query is not None:
        bought = query.bought
        felt.update(zip(bought.item_idx.tolist(), bought.sentiment.tolist(), strict=True))
    reasons = []
    for idx, source, cause in zip(
        found.item_idx.tolist(), found.source, found.because.tolist(), strict=True
    ):
        is_caused = cause >= 0
        reasons.append(
            Reason(
                text=reason_text(
                    source=source,
                    because=catalogue.name(cause) if is_caused else None,
                    felt=felt.get(cause, np.nan),
                    is_personal=is_personal,
                ),
                because_item_id=catalogue.item_ids[cause] if is_caused else None,
                quote=quote_from_another(snapshot.quotes, catalogue.item_ids[idx], user_id),
                source=source,
            )
        )
    return reasons
