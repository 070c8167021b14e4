"""Reading a JSON body into a strict model. Stricter than most: NaN and Infinity are no JSON."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from serving.problems import ProblemError, invalid_request

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """Read the body of a request.

    Raises:
        ProblemError: 415 for another media type, 400 for what is no JSON, 422 for what breaks the
            model; an empty body is an empty object.
    """
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        if body or media_type:
            raise ProblemError(
                415,
                "unsupported-media-type",
                f"send the body as Content-Type: application/json, not {media_type or 'none'}",
            )
        body = b"{}"
    try:
        content = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "malformed-json", f"the body is no JSON: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid_request(error, model) from error
