"""`POST /v1/recommendations`, several at once, and the next page of one."""

import asyncio
import logging
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from features.event_log import Outcome
from serving.answering import Answered, Asked, Visitor, answering, visitor_of
from serving.experiments import Assignment, assign
from serving.exposures import exposure
from serving.json_body import read_json
from serving.openapi import STATUSES, needs, problems, request_body
from serving.paging import Page, read_token, write_token
from serving.path_ids import PathId
from serving.problems import ProblemError
from serving.ranking import Budget
from serving.ranking_lots import RankingLots
from serving.schema import (
    MAX_TOKEN_CHARACTERS,
    BatchRequest,
    BatchResponse,
    NextRequest,
    RecommendationRequest,
    RecommendationResponse,
)
from serving.service import Service, json_response
from serving.snapshot import Snapshot

# Longer lists say nothing of what the usual ones take.
_USUAL_ITEMS = 50
_logger = logging.getLogger(__name__)


def add_recommend_routes(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""
    recommending = _Recommending(service=service)

    @app.post(
        "/v1/recommendations",
        summary="Recommend items to a user",
        responses={200: {"model": RecommendationResponse}, **problems(*STATUSES)},
        openapi_extra=needs("read") | request_body(RecommendationRequest),
    )
    async def recommendations(request: Request) -> Response:
        """Items for one user or visit, best first.

        Never an item that the user has bought or dismissed. A user nobody knows gets what goes with
        the items of the session, or what is popular, and `degraded` says so.
        """
        caller = service.caller(request, "read")
        asked = await read_json(request, RecommendationRequest)
        caller.check_user(asked.user_id)
        state = request.state
        return json_response(await recommending.of(asked, state.request_id, started=state.started))

    @app.post(
        "/v1/recommendations:batch",
        summary="Recommend items to several users",
        responses={200: {"model": BatchResponse}, **problems(*STATUSES)},
        openapi_extra=needs("read") | request_body(BatchRequest),
    )
    async def batch(request: Request) -> Response:
        """Answers to several requests, in their order."""
        caller = service.caller(request, "read")
        asked = await read_json(request, BatchRequest)
        for each in asked.requests:
            caller.check_user(each.user_id)
        caller.charge(len(asked.requests) - 1)
        request_id = request.state.request_id
        snapshot = service.fresh()
        answers = []
        for number, each in enumerate(asked.requests):
            answers.append(await recommending.of(each, f"{request_id}.{number}", snapshot))
            # Others are waiting, too.
            await asyncio.sleep(0)
        return json_response(
            {
                "request_id": request_id,
                "model_version": snapshot.manifest.version,
                "answers": answers,
            }
        )

    @app.post(
        "/v1/recommendations/{recommendation_id}/next",
        summary="The next page of an answer",
        responses={200: {"model": RecommendationResponse}, **problems(404, *STATUSES)},
        openapi_extra=needs("read") | request_body(NextRequest),
    )
    async def following(recommendation_id: PathId, request: Request) -> Response:
        """More items, none of which was on a page before; any replica can answer.

        The question is that of the first page. What has happened since counts: an item that was
        bought meanwhile is not on the next page.
        """
        caller = service.caller(request, "read")
        token = (await read_json(request, NextRequest)).token
        page = read_token(token, service.token_key)
        if page.recommendation_id != recommendation_id:
            raise ProblemError(
                404, "unknown-page", f"the token is of the answer {page.recommendation_id}"
            )
        try:
            asked = RecommendationRequest.model_validate(page.request)
        except ValidationError as error:
            # Signed by us: of a version that knew other fields.
            raise ProblemError(
                404, "unknown-page", "the token is of another version: start with a first page"
            ) from error
        caller.check_user(asked.user_id)
        state = request.state
        return json_response(
            await recommending.of(asked, state.request_id, before=page, started=state.started)
        )


@dataclass(frozen=True, kw_only=True)
class _Recommending:
    service: Service
    lots: RankingLots = field(default_factory=RankingLots)

    async def of(
        self,
        request: RecommendationRequest,
        request_id: str,
        snapshot: Snapshot | None = None,
        before: Page | None = None,
        started: float | None = None,
    ) -> dict[str, Any]:
        """Answer one request.

        Args:
            request: What is asked.
            request_id: Carried into the answer.
            snapshot: What to answer from; None for what is live now.
            before: The page before.
            started: When the request arrived, by `time.perf_counter`; None for now.
        """
        service = self.service
        live = service.fresh() if snapshot is None else snapshot
        name = live.known_as(request.user_id)
        chosen, assignment = self._variant(request, live, name)
        budget = Budget(seconds=service.deadline_s, costs=service.costs)
        if started is not None:
            budget.started = started
        asked = Asked(
            request=request,
            request_id=request_id,
            now=service.clock(),
            before=before,
            assignment=assignment,
            budget=budget,
            is_stale=live.live is not None and live.live.is_stale,
        )
        session = request.session
        if session is not None and session.query is not None:
            await chosen.deferred.until_search()
        visitor = None
        if service.retriever is not None and not request.validate_only:
            visitor = await self._looked_up(visitor_of(asked, chosen), chosen)
        answered = await self.lots.through(answering(asked, chosen, visitor))
        self._count(answered, budget)
        self._keep(asked, answered, chosen, name)
        body = answered.body
        if answered.page is not None:
            token = write_token(answered.page, service.token_key)
            body["next_token"] = token if len(token) <= MAX_TOKEN_CHARACTERS else None
        return body

    async def _looked_up(self, visitor: Visitor, snapshot: Snapshot) -> Visitor:
        """Let the retriever look up what goes with what a visitor has bought and browsed."""
        query, retriever = visitor.query, self.service.retriever
        if retriever is None or query is None:
            return visitor
        version = snapshot.manifest.version
        near = await retriever.near(query, snapshot.recommender, version)
        return visitor if near is None else replace(visitor, query=replace(query, near=near))

    def _variant(
        self, request: RecommendationRequest, live: Snapshot, name: str | None
    ) -> tuple[Snapshot, Assignment | None]:
        """Return what to answer from, and the variant that it is; no variant that is not there."""
        service = self.service
        if not service.experiments:
            return live, None
        session = None if request.session is None else request.session.session_id
        unit = name if name is not None else session
        assignment = assign(service.experiments, request.surface, unit)
        if assignment is None:
            return live, None
        chosen = service.state.variant(assignment)
        return (live, None) if chosen is None else (chosen, assignment)

    def _count(self, answered: Answered, budget: Budget) -> None:
        found = answered.found
        if found is None:
            return
        is_ranked = not found.is_ready_made
        if is_ranked and len(answered.body["items"]) <= _USUAL_ITEMS:
            self.service.costs.learn(budget.times.seconds)
        self.service.metrics.recommended(
            answered.body["degraded"],
            found.num_candidates if is_ranked else 0,
            budget.times.seconds,
        )

    def _keep(self, asked: Asked, answered: Answered, snapshot: Snapshot, name: str | None) -> None:
        """Keep what was shown; the answer does not wait for the disk."""
        log, kept = self.service.log, self.service.exposures
        if log is None or kept == "none" or answered.found is None:
            return
        is_by_chance = bool((answered.found.shown.propensity < 1).any())
        if kept == "experiments" and asked.assignment is None and not is_by_chance:
            return
        record = exposure(asked, answered, snapshot.catalogue, name, self.service.pseudonyms)
        if record is not None:
            log.submit([record]).add_done_callback(_report)


def _report(done: "Future[list[Outcome]]") -> None:
    if error := done.exception():
        _logger.error("what was shown could not be kept: %s", error)
