"""Parts of the OpenAPI pages that FastAPI does not write by itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from features.api_keys import Scope
from serving.problems import MEDIA_TYPE, ProblemDetails

_REF = "#/components/schemas/{model}"
_MEANINGS = {
    400: "The body is no JSON.",
    401: "There is no valid key.",
    403: "The key has not the scope, or is of another user.",
    404: "There is nothing of that name.",
    408: "The body came too slowly.",
    409: "The bundle is damaged, or there is none before; nothing was switched.",
    413: "The body is longer than 1 MiB.",
    415: "The body is not declared as JSON.",
    422: "A field is unknown or has a wrong value; `errors` names each.",
    429: "The key asks too often; Retry-After says when to come again.",
    500: "The server failed.",
    503: "No bundle is loaded yet, or too much is asked; Retry-After says when to come again.",
}
STATUSES = (400, 408, 413, 415, 422, 500, 503)
"""Of a route that reads a body."""
_KEY = (401, 403, 429)
_SCHEME = "key"


def problems(*statuses: int, is_open: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that are problem details.

    Args:
        statuses: That it gives for reasons of its own.
        is_open: Whether it needs no key.
    """
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDetails.__name__)}}}
    return {
        status: {"description": _MEANINGS[status], "content": content}
        for status in sorted({*statuses, *(() if is_open else _KEY)})
    }


def needs(scope: Scope) -> dict[str, Any]:
    """Return the part of a route's description that names the scope of its key."""
    return {"security": [{_SCHEME: [scope]}]}


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the part of a route's description that names the body, which it reads by itself."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    # Where every field may be left out, so may the body.
    is_required = any(field.is_required() for field in model.model_fields.values())
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": is_required, "content": content}}


def document(app: FastAPI, *models: type[BaseModel]) -> None:
    """Add to the OpenAPI page keys, and the models that FastAPI does not see or describe right."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            page = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            parts = page.setdefault("components", {})
            parts["securitySchemes"] = {
                _SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `sentirec keys create`.",
                }
            }
            schemas = parts.setdefault("schemas", {})
            for model in models:
                schema = model.model_json_schema(ref_template=_REF)
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
            app.openapi_schema = page
        return app.openapi_schema

    app.openapi = openapi
