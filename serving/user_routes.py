"""`GET /v1/users/{id}/profile` and `DELETE /v1/users/{id}`."""

import asyncio
import logging
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
from fastapi import FastAPI, Request, Response

from features.errors import EventLogError, FeaturesError
from recsys.interactions import Histories
from serving.live_users import LiveUser
from serving.openapi import needs, problems
from serving.path_ids import PathId, path_id
from serving.problems import ProblemError
from serving.schema_users import Erasure, UserProfile
from serving.service import Service, json_response, microseconds, not_written
from serving.snapshot import Snapshot

_MOST_ITEMS = 100
_logger = logging.getLogger(__name__)


def add_user_routes(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    @app.get(
        "/v1/users/{user_id}/profile",
        summary="What is known of a user",
        response_model=UserProfile,
        responses=problems(404, 422, 500, 503),
        openapi_extra=needs("read"),
    )
    async def profile(user_id: PathId, request: Request) -> Response:
        """The user's past as the next answer sees it, and the profile of the last build."""
        caller = service.caller(request, "read")
        user_id = path_id(user_id, "user_id")
        caller.check_user(user_id)
        snapshot = service.fresh()
        told = _profile(snapshot, user_id)
        if told is None:
            raise ProblemError(404, "unknown-user", "nothing is known of this user")
        told |= await asyncio.to_thread(_as_of_now, service, snapshot, user_id)
        head = {
            "request_id": request.state.request_id,
            "model_version": snapshot.manifest.version,
            "user_id": user_id,
        }
        return json_response(head | told)

    @app.delete(
        "/v1/users/{user_id}",
        summary="Forget a user",
        status_code=202,
        response_model=Erasure,
        responses=problems(422, 500, 503),
        openapi_extra=needs("admin"),
    )
    async def erase(user_id: PathId, request: Request) -> Response:
        """Forget a user at once in every answer; what is sent of them later is not kept.

        Tables and their older versions follow with the next `sentirec ingest --from-event-log`.
        """
        service.caller(request, "admin")
        user_id = path_id(user_id, "user_id")
        log, now = service.taking(), microseconds(service.clock())
        try:
            count = await asyncio.to_thread(log.erase, service.name_of(user_id), now)
        except EventLogError as error:
            raise not_written(error) from error
        body = {
            "request_id": request.state.request_id,
            "model_version": service.model_version(),
            "user_id": user_id,
            "state": "accepted",
            "erased_entries": count,
        }
        return json_response(body, status_code=202)


def _profile(snapshot: Snapshot, user_id: str) -> dict[str, Any] | None:
    name = snapshot.known_as(user_id)
    query, live = snapshot.query(name), snapshot.live_user(name)
    if query is None:
        return None
    return {
        "bought": _items(query.bought, snapshot, is_felt=True),
        "browsed": _items(query.browsed, snapshot, is_felt=False),
        "dismissed_item_ids": [] if live is None else sorted(live.dismissed),
    }


def _as_of_now(service: Service, snapshot: Snapshot, user_id: str) -> dict[str, Any]:
    """Return the profile of the last build, with what is declared of days and reviews as of now."""
    name, now = service.name_of(user_id), service.clock()
    row, live = snapshot.profile_of(name), snapshot.live_user(name) or LiveUser()
    as_of = row.pop("as_of", None)
    row.pop("user_id", None)
    fresh = None
    if as_of is not None:
        try:
            fresh = service.state.profiles.features(
                name, live, snapshot.catalogue, built_as_of=as_of, now=now
            )
        except FeaturesError:
            _logger.exception("the state of profiles cannot be read")
    told = row | (fresh or {})
    return {
        "as_of": None if as_of is None else as_of.isoformat(),
        "live_as_of": None if fresh is None else now.isoformat(),
        "profile": {name: _plain(value) for name, value in told.items()},
    }


def _items(rows: Histories, snapshot: Snapshot, *, is_felt: bool) -> list[dict[str, Any]]:
    catalogue = snapshot.catalogue
    latest_first = zip(
        rows.item_idx[::-1].tolist(),
        rows.event_time[::-1].tolist(),
        rows.sentiment[::-1].tolist(),
        strict=True,
    )
    told = [
        {
            "item_id": catalogue.item_ids[idx],
            "title": catalogue.titles[idx],
            "event_time": datetime.fromtimestamp(time / 1e6, UTC).isoformat(),
            "polarity": felt if is_felt and np.isfinite(felt) else None,
        }
        for idx, time, felt in latest_first
    ]
    return told[:_MOST_ITEMS]


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, pl.Series):
        return value.to_list()
    return value
