"""Problem details for every error of the HTTP interface.

Source: RFC 9457. `type` is a URN of this project; `instance` names the request.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_MAX_SHOWN = 80
_TITLES = {
    "bad-request": "The request cannot be read",
    "bundle-refused": "The bundle cannot go live",
    "body-too-large": "The body is too large",
    "forbidden": "The key does not allow this",
    "internal-error": "The server failed",
    "invalid-request": "The request breaks the contract",
    "malformed-json": "The body is no JSON",
    "method-not-allowed": "This method is not supported here",
    "not-found": "There is nothing here",
    "not-taking": "The server takes nothing in",
    "not-written": "Nothing was kept",
    "not-ready": "The server cannot answer yet",
    "timeout": "The request came too slowly",
    "too-many-requests": "The key asks too often",
    "unauthorized": "A key is needed",
    "unknown-bundle": "There is no such bundle",
    "unknown-item": "There is no such item",
    "unknown-page": "There is no such page",
    "unknown-user": "Nothing is known of this user",
    "unsupported-media-type": "The body has the wrong media type",
}
_SLUGS = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
}


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str = Field(description="Path of the field, such as `filters.category`.")
    message: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 describes them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldProblem] | None = Field(None, description="Offending fields; with 422 only.")


class ProblemError(Exception):
    """An error with a place in the HTTP interface.

    Args:
        status: HTTP status code.
        slug: Last part of the problem's type, a key of the titles of this module.
        detail: What was wrong with this request, and what to do.
        errors: Offending fields.
        headers: To send with the answer.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        assert slug in _TITLES, slug
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = errors
        self.headers = headers

    @classmethod
    def of_status(
        cls, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> "ProblemError":
        """Give an error that the framework raised its place."""
        slug = _SLUGS.get(HTTPStatus(status), "bad-request")
        return cls(status, slug, detail, headers=headers)

    def response(self, request_id: str) -> Response:
        """Write the error as an HTTP response."""
        details = ProblemDetails(
            type=f"urn:sentirec:problem:{self.slug}",
            title=_TITLES[self.slug],
            status=self.status,
            detail=self.detail,
            instance=f"urn:sentirec:request:{request_id}",
            request_id=request_id,
            errors=self.errors,
        )
        return Response(
            orjson.dumps(details.model_dump(exclude_none=True)),
            status_code=self.status,
            media_type=MEDIA_TYPE,
            headers=None if self.headers is None else dict(self.headers),
        )


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a problem with its details."""
    assert isinstance(error, ProblemError)
    return error.response(request.state.request_id)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what the framework found wrong with problem details."""
    assert isinstance(error, HTTPException)
    detail = f"{error.detail}: {request.method} {request.url.path}"
    problem = ProblemError.of_status(error.status_code, detail, error.headers)
    return problem.response(request.state.request_id)


def invalid_request(error: ValidationError, model: type[BaseModel]) -> ProblemError:
    """Turn what pydantic found in a request into a 422 that names every offending field."""
    problems = [_field_problem(dict(found), model) for found in error.errors(include_url=False)]
    shown = "; ".join(f"{problem.field}: {problem.message}" for problem in problems[:3])
    rest = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return ProblemError(422, "invalid-request", shown + rest, errors=problems)


def _field_problem(found: dict[str, Any], model: type[BaseModel]) -> FieldProblem:
    place = found["loc"]
    name = ".".join(str(part) for part in place) or "body"
    if found["type"] == "extra_forbidden":
        known = ", ".join(_fields(model, place[:-1]))
        return FieldProblem(field=name, message=f"unknown field; known ones are {known}")
    message = found["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    seen = found["input"]
    if isinstance(seen, str | int | float | bool):
        shown = repr(seen)
        message += f", not {shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + '…'}"
    return FieldProblem(field=name, message=message)


def _fields(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields of the model at a place inside another."""
    for part in place:
        field = model.model_fields.get(str(part))
        inner = None if field is None else field.annotation
        for choice in (inner, *getattr(inner, "__args__", ())):
            if isinstance(choice, type) and issubclass(choice, BaseModel):
                model = choice
    return sorted(model.model_fields)
