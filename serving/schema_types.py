"""Types that all requests and answers are made of.

Requests are strict: an unknown field, a number in quotes or a control character is an error.
"""

import unicodedata
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

MAX_K = 500
DEFAULT_K = 20
MAX_ID_CHARACTERS = 256
MAX_FILTER_IDS = 1000
MAX_FILTER_NAMES = 100
# Fits into the float64 in which prices are compared, exactly.
MAX_PRICE_CENTS = 2**53


def _without_control_characters(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("control characters are not allowed")
    return text


def _whole_number(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_PRICE_CENTS:
        return int(value)
    return value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


_NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f-\u009f]*$"
ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_CHARACTERS,
    "pattern": _NO_CONTROL_CHARACTERS,
}
"""How ids are described; pydantic says it in words of its own."""
Id = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_CHARACTERS),
    AfterValidator(_without_control_characters),
    WithJsonSchema(ID_SCHEMA),
]
Ids = Annotated[list[Id], Field(max_length=MAX_FILTER_IDS)]
Names = Annotated[
    list[Id],
    Field(min_length=1, max_length=MAX_FILTER_NAMES),
    BeforeValidator(_one_or_many),
    WithJsonSchema(
        {
            "anyOf": [
                ID_SCHEMA,
                {
                    "type": "array",
                    "items": ID_SCHEMA,
                    "minItems": 1,
                    "maxItems": MAX_FILTER_NAMES,
                },
            ]
        }
    ),
]
WHOLE = BeforeValidator(_whole_number)
"""Of an integer, after its limits: 3.0 is one, too, as in JSON Schema."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PriceCents = Annotated[int, Field(ge=0, le=MAX_PRICE_CENTS), WHOLE]


def some_of(**kinds: str) -> list[dict[str, Any]]:
    """Return the choices of a JSON schema of which one at least must hold.

    Args:
        kinds: JSON type by name of a field that must not be null; an array must not be empty, a
            text not blank.
    """
    more: dict[str, dict[str, Any]] = {"array": {"minItems": 1}, "string": {"pattern": r"\S"}}
    return [
        {"required": [name], "properties": {name: {"type": kind, **more.get(kind, {})}}}
        for name, kind in kinds.items()
    ]


class RequestModel(BaseModel):
    """Part of a request: fields that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AnswerModel(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
