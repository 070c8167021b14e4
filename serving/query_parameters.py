"""Query parameters under the rules of bodies: unknown ones and repeated ones are errors."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from serving.problems import FieldProblem, ProblemError, invalid_request

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_query(request: Request, model: type[ModelT]) -> ModelT:
    """Read the query parameters of a request.

    Args:
        request: Of HTTP.
        model: Flat; what is no text is made of one by its validators.

    Raises:
        ProblemError: 422 that names every offending parameter.
    """
    given = request.query_params.multi_items()
    values = dict(given)
    if len(values) < len(given):
        names = [name for name, _ in given]
        repeated = sorted({name for name in names if names.count(name) > 1})
        errors = [FieldProblem(field=name, message="given more than once") for name in repeated]
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
        raise ProblemError(422, "invalid-request", detail, errors=errors)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error, model) from error


def query_parameters(model: type[BaseModel]) -> dict[str, Any]:
    """Return the part of a route's description that names the parameters of a flat model."""
    fields = model.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": field.is_required(),
                "description": field.description,
                "schema": _plain(fields[name]),
            }
            for name, field in model.model_fields.items()
        ]
    }


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without what is said elsewhere, and without null, which no query has."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "description")}
    choices = kept.pop("anyOf", None)
    if choices is None:
        return kept
    kept.pop("default", None)
    (choice,) = (choice for choice in choices if choice != {"type": "null"})
    return kept | choice
