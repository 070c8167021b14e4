"""Parts of the OpenAPI pages that FastAPI does not write by itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from serving.problems import MEDIA_TYPE, ProblemDetails

_REF = "#/components/schemas/{model}"
STATUSES = {
    400: "The body is no JSON.",
    413: "The body is longer than 1 MiB.",
    415: "The body is not declared as JSON.",
    422: "A field is unknown or has a wrong value; `errors` names each.",
    500: "The server failed.",
    503: "No bundle is loaded yet.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that are problem details."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDetails.__name__)}}}
    return {status: {"description": STATUSES[status], "content": content} for status in statuses}


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the body of a route that reads it by itself."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def document(app: FastAPI, *models: type[BaseModel]) -> None:
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
