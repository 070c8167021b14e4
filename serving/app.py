"""The HTTP interface as an ASGI application over a `ServingState`. It does not know Ray."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from serving.answering import answer
from serving.json_body import read_json
from serving.problems import MEDIA_TYPE, ProblemDetails, ProblemError
from serving.request_guard import RequestGuard
from serving.schema import Health, ModelInfo, RecommendationRequest, RecommendationResponse
from serving.snapshot import Snapshot
from serving.state import ServingState

TITLE = "sentirec"
API_VERSION = "1"
_REF = "#/components/schemas/{model}"
_DESCRIPTION = """Recommendations that know how people felt about what they bought.

Errors are problem details (RFC 9457) of the media type `application/problem+json`."""
_PROBLEMS = {
    400: "The body is no JSON.",
    413: "The body is longer than 1 MiB.",
    415: "The body is not declared as JSON.",
    422: "A field is unknown or has a wrong value; `errors` names each.",
    500: "The server failed.",
    503: "No bundle is loaded yet.",
}


def build_app(state: ServingState) -> FastAPI:
    """Build the application.

    Args:
        state: What to answer from; may still be empty, then answers are 503.

    Returns:
        An ASGI application.
    """
    app = FastAPI(title=TITLE, version=API_VERSION, description=_DESCRIPTION)
    app.add_middleware(RequestGuard)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)

    @app.post(
        "/v1/recommendations",
        summary="Recommend items to a user",
        responses={
            200: {"model": RecommendationResponse},
            **_problems(*_PROBLEMS),
        },
        openapi_extra={"requestBody": _request_body(RecommendationRequest)},
    )
    async def recommendations(request: Request) -> Response:
        """Items for one user, best first, each with a reason that quotes another buyer's review.

        Never an item that the user has bought. A user nobody knows gets what is popular, and
        `degraded` says so.
        """
        asked = await read_json(request, RecommendationRequest)
        snapshot = _ready(state)
        answered = answer(asked, snapshot, request_id=request.state.request_id)
        return Response(answered.model_dump_json(), media_type="application/json")

    @app.get("/healthz", summary="Whether the process lives", response_model=Health)
    async def healthz() -> Health:
        """Always ok, also before anything is loaded."""
        return Health(status="ok")

    @app.get(
        "/readyz",
        summary="Whether the server can answer",
        response_model=Health,
        responses=_problems(503),
    )
    async def readyz() -> Health:
        """Ready once a bundle and the side tables are loaded; 503 before."""
        _ready(state)
        return Health(status="ready")

    @app.get(
        "/v1/model",
        summary="What is answering",
        response_model=ModelInfo,
        responses=_problems(503),
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

    _document(app, RecommendationRequest, RecommendationResponse, ProblemDetails)
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


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response(request.state.request_id)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{error.detail}: {request.method} {request.url.path}"
    problem = ProblemError.of_status(error.status_code, detail, error.headers)
    return problem.response(request.state.request_id)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDetails.__name__)}}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in statuses}


def _request_body(model: type[RecommendationRequest]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _document(app: FastAPI, *models: type[BaseModel]) -> None:
    """Add to the OpenAPI page the models that FastAPI does not see, or whose nulls it drops."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            page = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            schemas = page.setdefault("components", {}).setdefault("schemas", {})
            for model in models:
                schema = model.model_json_schema(ref_template=_REF)
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
            app.openapi_schema = page
        return app.openapi_schema

    app.openapi = openapi
