"""The HTTP interface as an ASGI application over a `Service`. It does not know Ray."""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from serving.event_routes import add_event_routes
from serving.item_routes import ANSWERS as ITEM_ANSWERS
from serving.item_routes import add_item_routes
from serving.openapi import document
from serving.plain_routes import PlainRoute
from serving.problems import ProblemDetails, ProblemError, on_http_exception, on_problem
from serving.recommend_routes import add_recommend_routes
from serving.request_guard import RequestGuard
from serving.schema import (
    BatchRequest,
    BatchResponse,
    NextRequest,
    RecommendationRequest,
    RecommendationResponse,
)
from serving.schema_events import EventsRequest, ReviewRequest
from serving.schema_service import PromoteRequest
from serving.service import Service
from serving.service_routes import add_service_routes
from serving.user_routes import add_user_routes

TITLE = "sentirec"
API_VERSION = "1"
_DESCRIPTION = """Recommendations that know how people felt about what they bought.

Errors are problem details (RFC 9457) of the media type `application/problem+json`. Requests carry a
key: `Authorization: Bearer KEY`; the scope that a route needs stands at its `security`."""
_BY_THEMSELVES = (
    # Read by their routes, or with nulls that FastAPI's own description would drop.
    BatchRequest,
    BatchResponse,
    EventsRequest,
    NextRequest,
    ProblemDetails,
    PromoteRequest,
    RecommendationRequest,
    RecommendationResponse,
    ReviewRequest,
)


def build_app(service: Service) -> FastAPI:
    """Build the application.

    Args:
        service: What to answer with; its state may still be empty, then answers are 503.

    Returns:
        An ASGI application.
    """
    # What is measured stands on `/metrics`.
    app = FastAPI(
        title=TITLE,
        version=API_VERSION,
        description=_DESCRIPTION,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = PlainRoute
    app.add_middleware(RequestGuard, on_answer=service.metrics.answered)
    if service.cors_origins:
        # Outside of the guard: answers to bad requests are readable by pages, too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "Idempotency-Key"],
            expose_headers=["Retry-After"],
        )
    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http_exception)
    add_recommend_routes(app, service)
    add_item_routes(app, service)
    add_event_routes(app, service)
    add_user_routes(app, service)
    add_service_routes(app, service)
    document(app, *_BY_THEMSELVES, *ITEM_ANSWERS)
    return app
