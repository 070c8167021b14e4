"""Ids in paths, under the rules of ids in bodies."""

from typing import Annotated

from fastapi import Path
from pydantic import TypeAdapter, ValidationError

from serving.problems import FieldProblem, ProblemError
from serving.schema_types import ID_SCHEMA, Id

_ID = TypeAdapter(Id)
PathId = Annotated[str, Path(json_schema_extra=ID_SCHEMA)]
"""An id in the path of a route: described here, checked by `path_id`."""


def path_id(value: str, name: str) -> str:
    """Return an id of a path.

    Args:
        value: Percent-decoded.
        name: Of the path's parameter.

    Raises:
        ProblemError: 422 where it is too long or has control characters.
    """
    try:
        return _ID.validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        problem = FieldProblem(field=name, message=message)
        raise ProblemError(
            422, "invalid-request", f"{name}: {message}", errors=[problem]
        ) from error
