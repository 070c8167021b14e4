"""`POST /v1/events` and `POST /v1/reviews`: on the disk before they are acknowledged."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from features.errors import EventLogError
from features.event_log import Outcome, Record
from sentiment.cleaning import review_text
from serving.json_body import read_json
from serving.openapi import STATUSES, needs, problems, request_body
from serving.schema_events import (
    Event,
    EventsRequest,
    EventsResponse,
    ReviewRequest,
    ReviewResponse,
)
from serving.service import Service, json_response, microseconds, not_written

_FEEDBACK = ("dismiss", "reason_feedback")

_logger = logging.getLogger(__name__)


def add_event_routes(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    @app.post(
        "/v1/events",
        summary="Tell what users did",
        response_model=EventsResponse,
        responses=problems(*STATUSES),
        openapi_extra=needs("write") | request_body(EventsRequest),
    )
    async def events(request: Request) -> Response:
        """Keep events, all of them or none; answered once they are on the disk.

        The same `event_id` counts once, however often it is sent. Whoever is in them sees it in the
        next answer: what was bought or dismissed is not recommended again.
        """
        caller = service.caller(request, "write")
        asked = await read_json(request, EventsRequest)
        for event in asked.events:
            caller.check_user(event.user_id)
        now = microseconds(service.clock())
        outcomes = await _append(service, [_record(event, service, now) for event in asked.events])
        return json_response(
            {
                "request_id": request.state.request_id,
                "model_version": service.model_version(),
                **{name: outcomes.count(name) for name in ("added", "known", "erased")},
            }
        )

    @app.post(
        "/v1/reviews",
        summary="Tell what a user wrote",
        response_model=ReviewResponse,
        responses=problems(*STATUSES),
        openapi_extra=needs("write") | request_body(ReviewRequest),
    )
    async def reviews(request: Request) -> Response:
        """Keep a review, read how its author felt, and let that count in the author's next answer.

        The review is on the disk before it is read: where that fails, the answer says so, and the
        next batch reads it.
        """
        caller = service.caller(request, "write")
        asked = await read_json(request, ReviewRequest)
        caller.check_user(asked.user_id)
        user_id, now = service.name_of(asked.user_id), microseconds(service.clock())
        row = asked.model_dump(exclude_none=True)
        row |= {"user_id": user_id, "event_time": asked.event_time or now, "source": asked.source}
        if service.pseudonyms is not None:
            named = {name: row[name] for name in ("review_id", "thread_id") if name in row}
            row |= service.pseudonyms.named_values(named)
        review = _logged("review", row["review_id"], user_id, now, row)
        (outcome,) = await _append(service, [review])
        polarity, is_scored = None, True
        text = review_text(asked.title, asked.text)
        if outcome != "erased" and text:
            polarity = await _score(service, text)
            is_scored = polarity is not None
        if polarity is not None:
            service.metrics.scored(polarity)
            felt = {"item_id": asked.item_id, "polarity": polarity}
            await _append(service, [_logged("signals", row["review_id"], user_id, now, felt)])
        return json_response(
            {
                "request_id": request.state.request_id,
                "model_version": service.model_version(),
                "outcome": outcome,
                "polarity": polarity,
                "degraded": None if is_scored else "not_scored",
            }
        )


def _record(event: Event, service: Service, now: int) -> Record:
    user_id = service.name_of(event.user_id)
    row = event.model_dump(exclude_none=True)
    row |= {"user_id": user_id, "event_time": event.event_time or now}
    if service.pseudonyms is not None:
        named = {name: row[name] for name in ("event_id", "session_id") if name in row}
        row |= service.pseudonyms.named_values(named)
        if event.quoted_review_id is not None:
            quoted = service.pseudonyms.named_values({"review_id": event.quoted_review_id})
            row["quoted_review_id"] = quoted["review_id"]
    kind = "feedback" if event.event_type in _FEEDBACK else "event"
    return _logged(kind, row["event_id"], user_id, now, row)


def _logged(kind: Any, key: str, user_id: str, now: int, content: dict[str, Any]) -> Record:
    written = orjson.dumps(content)
    return Record(kind=kind, key=key, user_id=user_id, received_at=now, content=written)


async def _append(service: Service, records: Sequence[Record]) -> list[Outcome]:
    log = service.taking()
    try:
        return await asyncio.wrap_future(log.submit(records))
    except EventLogError as error:
        _logger.exception("the event log cannot be written")
        raise not_written(error) from error


async def _score(service: Service, text: str) -> float | None:
    if service.score_review is None:
        return None
    try:
        signals = await service.score_review(text)
    except Exception:
        # Whatever fails there, the review itself is kept.
        _logger.exception("a review could not be scored")
        return None
    return float(signals["polarity"])
