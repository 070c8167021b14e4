"""The HTTP interface as an ASGI application over a `ServingState`. It does not know Ray."""

from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from serving.answering import answer
from serving.json_body import read_json
from serving.openapi import STATUSES, document, problems, request_body
from serving.problems import ProblemDetails, ProblemError, on_http_exception, on_problem
from serving.request_guard import RequestGuard
from serving.schema import Health, ModelInfo, RecommendationRequest, RecommendationResponse
from serving.snapshot import Snapshot
from serving.state import ServingState

TITLE = "sentirec"
API_VERSION = "1"
_DESCRIPTION = """Recommendations that know how people felt about what they bought.

Errors are problem details (RFC 9457) of the media type `application/problem+json`."""


def build_app(state: ServingState) -> FastAPI:
    """Build the application.

    Args:
        state: What to answer from; may still be empty, then answers are 503.

    Returns:
        An ASGI application.
    """
    app = FastAPI(title=TITLE, version=API_VERSION, description=_DESCRIPTION)
    app.add_middleware(RequestGuard)
    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http_exception)

    @app.post(
        "/v1/recommendations",
        summary="Recommend items to a user",
        responses={
            200: {"model": RecommendationResponse},
            **problems(*STATUSES),
        },
        openapi_extra={"requestBody": request_body(RecommendationRequest)},
    )
    async def recommendations(request: Request) -> Response:
        """Items for one user, best first, each with a reason that quotes another buyer's review.

        Never an item that the user has bought. A user nobody knows gets what is popular, and
        `degraded` says so.
        """
        asked = await read_json(request, RecommendationRequest)
        snapshot = _ready(state)
        answered = answer(
            asked, snapshot, request_id=request.state.request_id, now=datetime.now(UTC)
        )
        return Response(answered.model_dump_json(), media_type="application/json")

    @app.get("/healthz", summary="Whether the process lives", response_model=Health)
    async def healthz() -> Health:
        """Always ok, also before anything is loaded."""
        return Health(status="ok")

    @app.get(
        "/readyz",
        summary="Whether the server can answer",
        response_model=Health,
        responses=problems(503),
    )
    async def readyz() -> Health:
        """Ready once a bundle and the side tables are loaded; 503 before."""
        _ready(state)
        return Health(status="ready")

    @app.get(
        "/v1/model",
        summary="What is answering",
        response_model=ModelInfo,
        responses=problems(503),
    )
    async def model() -> ModelInfo:
        """The live bundle, its metrics, and the versions of the side tables."""
        snapshot = _ready(state)
        manifest = snapshot.manifest
        return ModelInfo(
            version=manifest.version,
            created_at=manifest.created_at,
            metrics=manifest.metrics,
            side_tables=snapshot.versions,
            reload_error=state.reload_error,
        )

    document(app, RecommendationRequest, RecommendationResponse, ProblemDetails)
    return app


def _ready(state: ServingState) -> Snapshot:
    snapshot = state.snapshot
    if snapshot is None:
        raise ProblemError(
            503,
            "not-ready",
            "no bundle is loaded yet: ask again in a moment",
            headers={"Retry-After": "1"},
        )
    return snapshot
