"""What was shown, as the event log keeps it: the table `exposures` of `features.schema`."""

import orjson

from features.event_log import Record
from features.pseudonyms import Pseudonyms
from serving.answering import Answered, Asked
from serving.catalogue import Catalogue

_KEPT = ("item_id", "rank", "score", "propensity")


def exposure(
    asked: Asked,
    answered: Answered,
    catalogue: Catalogue,
    user: str | None,
    pseudonyms: Pseudonyms | None = None,
) -> Record | None:
    """Return what is to be kept of an answer; None where it shows nothing.

    Args:
        asked: The request.
        answered: The answer to it.
        catalogue: What the answer is from.
        user: The user's name in the tables; None for a visitor nobody knows.
        pseudonyms: Under which the tables know sessions; None for plain ids.
    """
    body, found = answered.body, answered.found
    if body["recommendation_id"] is None or found is None:
        return None
    request, assignment = asked.request, asked.assignment
    session = None if request.session is None else request.session.session_id
    if session is not None and pseudonyms is not None:
        session = pseudonyms.named_values({"session_id": session})["session_id"]
    scores = found.ranked.scores[0]
    order = (-scores).argsort(kind="stable")[: int((scores > float("-inf")).sum())]
    candidates = found.ranked.candidates.item_idx[0, order].tolist()
    now = round(asked.now.timestamp() * 1e6)
    content = {
        "recommendation_id": body["recommendation_id"],
        "user_id": user,
        "session_id": session,
        "surface": request.surface,
        "experiment": body["experiment"],
        "variant": body["variant"],
        "policy_propensity": 1.0 if assignment is None else assignment.propensity,
        "model_version": body["model_version"],
        "degraded": body["degraded"],
        "items": [
            {name: item[name] for name in _KEPT} | {"source": source}
            for item, source in zip(body["items"], found.shown.source, strict=True)
        ],
        "candidates": [catalogue.item_ids[idx] for idx in candidates],
        "event_time": now,
    }
    return Record(
        kind="exposure",
        key=body["recommendation_id"],
        user_id=user or "",
        received_at=now,
        content=orjson.dumps(content),
    )
