"""What goes over the wire about lists of items that nobody is asked for: similar, trending ones."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from serving.schema_types import DEFAULT_K, MAX_K, AnswerModel, Id, RequestModel

Voice = Literal["text", "attributes", "viewed", "taste", "bought"]


def _number_in_text(value: object) -> object:
    """Read decimal digits, and nothing else that Python takes for a number."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch("-?[0-9]{1,18}", value):
        raise ValueError("give a whole number")
    return int(value)


QueryK = Annotated[int, Field(ge=1, le=MAX_K), BeforeValidator(_number_in_text)]
"""How many items, as a query parameter."""


class ItemsQuery(RequestModel):
    """How many items."""

    k: QueryK = Field(default=DEFAULT_K, description="How many items at most.")


class TrendingQuery(ItemsQuery):
    """How many items, and of what."""

    category: Id | None = Field(default=None, description="Only items of this category.")
    surface: Id | None = Field(
        default=None, description="Where they are shown; said back, and changes nothing."
    )


class ListedItem(AnswerModel):
    """An item in a list."""

    item_id: str
    rank: int = Field(description="Place in the answer, from 1.")
    title: str | None
    brand: str | None
    price_cents: int | None


class SimilarItem(ListedItem):
    """An item that is like another."""

    score: float = Field(
        description="Share of the votes that it could have had, from 0 to 1; comparable within one "
        "answer only."
    )
    like_in: list[Voice] = Field(
        description="What says so, the surest first. `text`: title, description and reviews; "
        "`attributes`: categories, brand and price; `viewed` and `bought`: by the same people; "
        "`taste`: what kind of buyer it appeals to."
    )


class SimilarResponse(AnswerModel):
    """Items like an item, the most alike first."""

    request_id: str
    model_version: str
    item_id: str
    degraded: Literal["nothing_known"] | None = Field(
        description="`nothing_known`: of the item there is neither text nor category, nor anybody "
        "who touched it, or nothing like it is in stock; `items` is empty."
    )
    items: list[SimilarItem]


class TogetherItem(ListedItem):
    """An item that is bought with another."""

    strength: float = Field(
        description="How closely the two go together, from 0 to 1, pulled towards 0 where few "
        "bought both."
    )
    num_buyers: int = Field(description="People who bought both, at least 2.")
    share: float = Field(description="Of the item's buyers, those who bought this too.")
    lift: float = Field(
        description="That share over the one among everybody who bought anything, above 1."
    )


class TogetherResponse(AnswerModel):
    """What the buyers of an item bought as well, the strongest first."""

    request_id: str
    model_version: str
    item_id: str
    degraded: Literal["nothing_known"] | None = Field(
        description="`nothing_known`: nothing is bought with the item more often than without it; "
        "`items` is empty."
    )
    items: list[TogetherItem]


class TrendingItem(ListedItem):
    """An item, and how it is bought of late."""

    is_rising: bool = Field(
        description="Whether its share of all purchases has grown for certain; the others are what "
        "is popular, and come last."
    )
    num_recent: int = Field(description="People who bought it first in the last `recent_days`.")
    num_before: int = Field(description="The same in the `before_days` before.")
    num_expected: float = Field(
        description="What `num_recent` would be, had its share of all purchases stayed the same."
    )
    rise: float = Field(
        description="Factor by which its share has grown, pulled towards 1 where numbers are small."
    )
    rise_low: float = Field(
        description="Lower bound of that factor, with a certainty of 80%; 0 where it has not grown."
    )


class TrendingResponse(AnswerModel):
    """Items that are bought more of late than before, the surest first; then what is popular."""

    request_id: str
    model_version: str
    surface: str | None
    category: str | None
    as_of: str | None = Field(
        description="The last purchase that is counted, RFC 3339; null before any."
    )
    recent_days: int
    before_days: int
    degraded: Literal["unknown_category", "nothing_rises"] | None = Field(
        description="`unknown_category`: no item is of the category, and `items` is empty. "
        "`nothing_rises`: all items are there because they are popular."
    )
    items: list[TrendingItem]
