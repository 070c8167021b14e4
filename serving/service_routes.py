"""The service itself: whether it lives, what it answers with, what it measures."""

import asyncio

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from features.errors import FeaturesError
from recsys.bundle_versions import earlier_version, promote, rollback
from recsys.errors import BundleError
from serving.errors import ServingError
from serving.json_body import read_json
from serving.openapi import STATUSES, needs, problems, request_body
from serving.problems import ProblemError
from serving.schema_service import Health, ModelInfo, PromoteRequest, Switched
from serving.service import Service, json_response


def add_service_routes(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    @app.get("/healthz", summary="Whether the process lives", response_model=Health)
    async def healthz() -> Response:
        """Always ok, also before anything is loaded."""
        return json_response({"status": "ok"})

    @app.get(
        "/readyz",
        summary="Whether the server can answer",
        response_model=Health,
        responses=problems(503, is_open=True),
    )
    async def readyz() -> Response:
        """Ready once a bundle and the side tables are loaded; 503 before."""
        service.ready()
        return json_response({"status": "ready"})

    @app.get(
        "/metrics",
        summary="What is measured",
        response_class=PlainTextResponse,
        responses=problems(500),
        openapi_extra=needs("read"),
    )
    async def metrics(request: Request) -> Response:
        """Counts and times of all processes of this machine, for Prometheus."""
        service.caller(request, "read").check_any_user()
        content, media_type = service.metrics.page(service.state.snapshot)
        return Response(content, media_type=media_type)

    @app.get(
        "/v1/model",
        summary="What is answering",
        response_model=ModelInfo,
        responses=problems(500, 503),
        openapi_extra=needs("read"),
    )
    async def model(request: Request) -> Response:
        """The live bundle, its metrics, and the versions of the side tables."""
        service.caller(request, "read").check_any_user()
        snapshot = service.ready()
        manifest = snapshot.manifest
        return json_response(
            {
                "version": manifest.version,
                "created_at": manifest.created_at,
                "metrics": manifest.metrics,
                "side_tables": snapshot.versions,
                "experiments": service.state.experiments(),
                "reload_error": service.state.reload_error,
            }
        )

    @app.post(
        "/v1/model/promote",
        summary="Make a bundle live",
        response_model=Switched,
        responses=problems(404, 409, *STATUSES),
        openapi_extra=needs("admin") | request_body(PromoteRequest),
    )
    async def promote_bundle(request: Request) -> Response:
        """Switch to a bundle that lies in the store, its hashes checked first.

        This process answers with it from now on, others within their poll interval. No request
        fails over it. The gate of `sentirec publish` is not asked.
        """
        service.caller(request, "admin")
        version = (await read_json(request, PromoteRequest)).version
        if not (service.state.bundles / version / "manifest.json").is_file():
            raise ProblemError(404, "unknown-bundle", f"there is no bundle {version!r} here")
        return await _switch(service, request, version)

    @app.post(
        "/v1/model/rollback",
        summary="Make the bundle before live again",
        response_model=Switched,
        responses=problems(409, 500, 503),
        openapi_extra=needs("admin"),
    )
    async def rollback_bundle(request: Request) -> Response:
        """Switch back to what was live before the present bundle."""
        service.caller(request, "admin")
        return await _switch(service, request, None)


async def _switch(service: Service, request: Request, version: str | None) -> Response:
    """Try a bundle out, switch the link to it, then answer with it here.

    Args:
        service: Of this process.
        request: Asks for it.
        version: None for the one before the live one.

    Raises:
        ProblemError: 409 where the bundle cannot answer, or there is none before.
    """
    state, previous = service.state, service.model_version()

    def switch() -> str:
        wanted = version or earlier_version(state.bundles)
        state.try_out(wanted)
        if version is None:
            rollback(state.bundles)
        else:
            promote(state.bundles, version)
        state.refresh()
        return wanted

    try:
        wanted = await asyncio.to_thread(switch)
    except (BundleError, FeaturesError, ServingError) as error:
        raise ProblemError(409, "bundle-refused", f"nothing was switched: {error}") from error
    if service.model_version() != wanted:
        raise ProblemError(
            409, "bundle-refused", f"{wanted} is live, and not in use here: {state.reload_error}"
        )
    return json_response(
        {
            "request_id": request.state.request_id,
            "model_version": wanted,
            "previous_version": previous,
        }
    )
