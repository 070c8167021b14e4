"""What goes over the wire: requests and answers of the HTTP interface, version 1.

Requests are strict: an unknown field, a number in quotes or a control character is an error.
"""

import unicodedata
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

MAX_K = 500
DEFAULT_K = 20
MAX_ID_CHARACTERS = 256
MAX_FILTER_IDS = 1000
MAX_FILTER_NAMES = 100
# Fits into the float64 in which prices are compared, exactly.
MAX_PRICE_CENTS = 2**53

Degraded = Literal[
    "no_user_id", "unknown_user", "no_history", "no_item_matches_filters", "everything_bought"
]


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
PriceCents = Annotated[int, Field(ge=0, le=MAX_PRICE_CENTS)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filters(_Request):
    """Which items may be recommended; an item must pass all filters that are given."""

    category: Names | None = Field(
        None, description="One category name or several; an item passes with any of them."
    )
    brand: Names | None = Field(
        None, description="One brand or several; an item passes with any of them."
    )
    min_price_cents: PriceCents | None = Field(
        None, description="Lowest price; items without a price do not pass."
    )
    max_price_cents: PriceCents | None = Field(
        None, description="Highest price; items without a price do not pass."
    )
    in_stock: bool | None = Field(
        None,
        description="true leaves out items known to be out of stock; false keeps only those.",
    )
    include_item_ids: Ids | None = Field(
        None, description="Only these items; ids that are not in the catalogue are ignored."
    )
    exclude_item_ids: Ids | None = Field(None, description="None of these items.")

    @model_validator(mode="after")
    def _prices_in_order(self) -> "Filters":
        low, high = self.min_price_cents, self.max_price_cents
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_price_cents is {low}, above max_price_cents, which is {high}")
        return self


class RecommendationRequest(_Request):
    """Whom to recommend to, and what may be recommended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u00042",
                    "k": 5,
                    "filters": {"category": "Guitars", "max_price_cents": 50000},
                },
                {"k": 10},
            ]
        }
    )

    user_id: Id | None = Field(
        None, description="The shop's id of the user; left out for a visitor nobody knows."
    )
    k: Annotated[int, Field(ge=1, le=MAX_K)] = Field(
        DEFAULT_K, description="How many items at most."
    )
    filters: Filters | None = None
    explain: bool = Field(True, description="Whether each item comes with a reason.")
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None,
        description="0 shows by relevance alone, 1 by unlikeness; left out, as the shop wants it.",
    )


class Quote(_Answer):
    """A sentence from another user's review of the item, verbatim."""

    text: str
    review_id: str
    polarity: float = Field(description="Of the whole review, from -1 to 1.")


class Reason(_Answer):
    """Why an item is recommended."""

    text: str = Field(description="One sentence for the user.")
    because_item_id: str | None = Field(
        description="What the user bought that speaks most for the item."
    )
    quote: Quote | None
    source: str = Field(
        description="The candidate source that ranked the item highest; `fresh` for a new item "
        "that is shown to learn how it does."
    )


class RecommendedItem(_Answer):
    """One item, best first."""

    item_id: str
    rank: int = Field(description="Place in the answer, from 1.")
    score: float = Field(
        description="What is left of the item's relevance; comparable within one answer only."
    )
    propensity: float = Field(
        description="Chance that the item came to this place, given those above it: to be logged "
        "with what is shown. 1 where nothing is explored."
    )
    title: str | None
    brand: str | None
    price_cents: int | None
    reason: Reason | None = Field(description="Null where the request says `explain: false`.")


_EXAMPLE_ANSWER = {
    "request_id": "5d1c4f0f0b6c4c0e8c7e0f9f3d0f1a2b",
    "model_version": "20260102T030405-1a2b3c4d",
    "user_id": "u00042",
    "degraded": None,
    "items": [
        {
            "item_id": "i00017",
            "rank": 1,
            "score": 0.93,
            "propensity": 1.0,
            "title": "Clip-on tuner",
            "brand": "Tonewell",
            "price_cents": 1499,
            "reason": {
                "text": "Because you liked Travel guitar",
                "because_item_id": "i00003",
                "quote": {
                    "text": "It holds the pitch for a whole evening.",
                    "review_id": "r000181",
                    "polarity": 0.93,
                },
                "source": "item_to_item",
            },
        }
    ],
}


class RecommendationResponse(_Answer):
    """Items to recommend; never one that the user has bought."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_ANSWER]})

    request_id: str
    model_version: str = Field(description="The bundle that answered.")
    user_id: str | None
    degraded: Degraded | None = Field(
        description=(
            "Null for a personal answer. `no_user_id`, `unknown_user` and `no_history`: what is "
            "popular instead. `no_item_matches_filters` and `everything_bought`: nothing is left "
            "to recommend and `items` is empty."
        )
    )
    items: list[RecommendedItem]


class Health(_Answer):
    """Whether the process lives, or can answer."""

    status: Literal["ok", "ready"]


class ModelInfo(_Answer):
    """What is answering."""

    version: str
    created_at: str = Field(description="When the bundle was made, ISO 8601, UTC.")
    metrics: dict[str, dict[str, float]] = Field(
        description="Held-out metrics by candidate source, baseline and `ranker`."
    )
    side_tables: dict[str, int | None] = Field(description="Version of each side table in use.")
    reload_error: str | None = Field(
        description="Why a newer bundle or table is not in use; null where nothing is wrong."
    )
