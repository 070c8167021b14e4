"""Types that all requests and answers are made of.

Requests are strict: an unknown field, a number in quotes or a control character is an error.
"""

import unicodedata
from typing import Annotated

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


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Id = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_CHARACTERS),
    AfterValidator(_without_control_characters),
]
Ids = Annotated[list[Id], Field(max_length=MAX_FILTER_IDS)]
_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
Names = Annotated[
    list[Id],
    Field(min_length=1, max_length=MAX_FILTER_NAMES),
    BeforeValidator(_one_or_many),
    WithJsonSchema(
        {
            "anyOf": [
                _NAME_SCHEMA,
                {
                    "type": "array",
                    "items": _NAME_SCHEMA,
                    "minItems": 1,
                    "maxItems": MAX_FILTER_NAMES,
                },
            ]
        }
    ),
]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PriceCents = Annotated[int, Field(ge=0, le=MAX_PRICE_CENTS)]


class RequestModel(BaseModel):
    """Part of a request: fields that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AnswerModel(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")
