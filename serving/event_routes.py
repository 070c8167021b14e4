"""`POST /v1/events` and `POST /v1/reviews`: on the disk before they are acknowledged."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from features.errors import EventLogError
from features.event_log import MAX_AHEAD_S, EventLog, Outcome, Record
from sentiment.cleaning import review_text
from serving.json_body import read_json
from serving.openapi import STATUSES, needs, problems, request_body
from serving.problems import FieldProblem, ProblemError
from serving.quoted_reviews import QuotedReviews
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
    quoted = QuotedReviews()

    @app.post(
        "/v1/events",
        summary="Tell what users did",
        response_model=EventsResponse,
        responses=problems(*STATUSES),
        openapi_extra=needs("write") | request_body(EventsRequest),
    )
    async def events(request: Request) -> Response:
        """Keep events, all of them or none; answered once they are on the disk.

        The same `event_id` of a user counts once, however often it is sent. Whoever is in them sees
        it in the next answer: what was bought or dismissed is not recommended again. An
        `event_time` up to five minutes ahead, of a clock that is fast, counts as now; one that is
        further ahead is refused.
        """
        caller = service.caller(request, "write")
        asked = await read_json(request, EventsRequest)
        for event in asked.events:
            caller.check_user(event.user_id)
        now = microseconds(service.clock())
        _refuse_future(
            {f"events.{n}.event_time": event.event_time for n, event in enumerate(asked.events)},
            now,
        )
        records = [_record(event, service, quoted, now) for event in asked.events]
        outcomes = await _append(service, records)
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
        next batch reads it. The same `review_id` of a user counts once: what was kept first stays,
        and is told again where the same is sent again.
        """
        caller = service.caller(request, "write")
        asked = await read_json(request, ReviewRequest)
        caller.check_user(asked.user_id)
        user_id, now = service.name_of(asked.user_id), microseconds(service.clock())
        _refuse_future({"event_time": asked.event_time}, now)
        row = asked.model_dump(exclude_none=True)
        time = min(asked.event_time or now, now)
        row |= {"user_id": user_id, "event_time": time, "source": asked.source}
        if service.pseudonyms is not None:
            named = {name: row[name] for name in ("review_id", "thread_id") if name in row}
            row |= service.pseudonyms.named_values(named)
        review = _logged("review", row["review_id"], user_id, now, row)
        (outcome,) = await _append(service, [review])
        polarity, is_scored = None, True
        text = review_text(asked.title, asked.text)
        kept = _Kept(is_same=outcome == "added", polarity=None)
        if outcome == "known" and text:
            kept = await _kept(service, review)
        if kept.polarity is not None:
            polarity = kept.polarity
        elif kept.is_same and text:
            felt = await _score(service, text)
            is_scored = felt is not None
            if felt is not None:
                polarity = felt["polarity"]
                content = felt | {"item_id": asked.item_id}
                signals = _logged("signals", row["review_id"], user_id, now, content)
                if await _append(service, [signals]) == ["added"]:
                    service.metrics.scored(polarity)
        return json_response(
            {
                "request_id": request.state.request_id,
                "model_version": service.model_version(),
                "outcome": outcome,
                "polarity": polarity,
                "degraded": None if is_scored else "not_scored",
            }
        )


def _refuse_future(times: Mapping[str, int | None], now: int) -> None:
    """Refuse times that lie too far ahead of the clock, by the fields that they stand in.

    Raises:
        ProblemError: 422 that names every offending field.
    """
    latest = now + MAX_AHEAD_S * 1_000_000
    told = datetime.fromtimestamp(now / 1e6, UTC).isoformat(timespec="seconds")
    message = f"more than {MAX_AHEAD_S // 60} minutes ahead of the server's clock, {told}"
    wrong = [
        FieldProblem(field=field, message=message)
        for field, time in times.items()
        if time is not None and time > latest
    ]
    if wrong:
        fields = ", ".join(problem.field for problem in wrong[:3])
        rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ProblemError(422, "invalid-request", f"{fields}{rest}: {message}", errors=wrong)


def _record(event: Event, service: Service, quoted: QuotedReviews, now: int) -> Record:
    user_id = service.name_of(event.user_id)
    row = event.model_dump(exclude_none=True)
    row |= {"user_id": user_id, "event_time": min(event.event_time or now, now)}
    if service.pseudonyms is not None:
        named = {name: row[name] for name in ("event_id", "session_id") if name in row}
        row |= service.pseudonyms.named_values(named)
        if event.quoted_review_id is not None:
            row["quoted_review_id"] = quoted.name_of(event.quoted_review_id, service)
    kind = "feedback" if event.event_type in _FEEDBACK else "event"
    return _logged(kind, row["event_id"], user_id, now, row)


def _logged(kind: Any, own_id: str, user_id: str, now: int, content: dict[str, Any]) -> Record:
    """Return a record under a key of the user's own: nobody takes or finds the ids of others."""
    # An id has no control characters, so that the two cannot run into each other.
    key = hashlib.blake2b(f"{user_id}\x00{own_id}".encode(), digest_size=16).hexdigest()
    written = orjson.dumps(content)
    return Record(kind=kind, key=key, user_id=user_id, received_at=now, content=written)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What is held under the id of a review.

    Attributes:
        is_same: Whether it is this one, and no table knows yet how its author felt.
        polarity: How it was read, null where the log does not know.
    """

    is_same: bool
    polarity: float | None


async def _kept(service: Service, review: Record) -> _Kept:
    log, snapshot = service.taking(), service.state.snapshot
    live = None if snapshot is None else snapshot.live
    covered = 0 if live is None else live.covered
    try:
        return await asyncio.to_thread(_find_kept, log, review, covered)
    except EventLogError as error:
        _logger.exception("the event log cannot be read")
        raise not_written(error) from error


def _find_kept(log: EventLog, review: Record, covered: int) -> _Kept:
    found = {
        entry.kind: entry for entry in log.entries_of(review.user_id) if entry.key == review.key
    }
    first, signals = found.get("review"), found.get("signals")
    if first is None or _said(first) != _said(review):
        return _Kept(is_same=False, polarity=None)
    polarity = None if signals is None else orjson.loads(signals.content)["polarity"]
    return _Kept(is_same=first.position > covered, polarity=polarity)


def _said(review: Record) -> dict[str, Any]:
    """Return what a review says; when it was sent may differ."""
    return orjson.loads(review.content) | {"event_time": None}


async def _append(service: Service, records: Sequence[Record]) -> list[Outcome]:
    log = service.taking()
    try:
        return await asyncio.wrap_future(log.submit(records))
    except EventLogError as error:
        _logger.exception("the event log cannot be written")
        raise not_written(error) from error


async def _score(service: Service, text: str) -> dict[str, Any] | None:
    """Return what profiles count of a text; None where it cannot be read."""
    if service.score_review is None:
        return None
    try:
        signals = await service.score_review(text)
    except Exception:
        # Whatever fails there, the review itself is kept.
        _logger.exception("a review could not be scored")
        return None
    felt = {name: signals[name] for name in ("emotions", "num_needs") if name in signals}
    return felt | {"polarity": float(signals["polarity"])}
