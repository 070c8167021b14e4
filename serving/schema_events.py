"""What goes over the wire when something happened: events and reviews."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from serving.schema_types import (
    WHOLE,
    AnswerModel,
    Id,
    PriceCents,
    RequestModel,
    some_of,
)

MAX_EVENTS = 1000
MAX_TEXT_CHARACTERS = 20_000
MAX_QUANTITY = 1_000_000
_YEARS = (1990, 2100)

EventType = Literal[
    "view",
    "search",
    "cart",
    "wishlist",
    "purchase",
    "return",
    "impression",
    "click",
    "dismiss",
    "reason_feedback",
]


def _microseconds(value: object) -> object:
    """Read an RFC 3339 time with a zone as microseconds since the epoch."""
    if not isinstance(value, str):
        raise ValueError("give a time such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("give a time such as 2026-01-31T12:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError("the time has no zone: end it with Z or an offset")
    # Before the zone is changed: the last hours of the calendar have no time in other zones.
    if not _YEARS[0] <= moment.year < _YEARS[1]:
        raise ValueError(f"the year must be within {_YEARS[0]}..{_YEARS[1] - 1}")
    return round(moment.astimezone(UTC).timestamp() * 1e6)


Time = Annotated[
    int,
    BeforeValidator(_microseconds),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": r"^(199|20\d)\d-"}),
]
_TIME_HELP = "When it happened, RFC 3339 with a zone; default: now."


def _if_type(event_type: str, then: dict[str, Any], **other: dict[str, Any]) -> dict[str, Any]:
    kind = {"properties": {"event_type": {"const": event_type}}}
    return {"if": kind, "then": then, **other}


_RULES: Any = [
    _if_type("search", some_of(query="string")[0], **{"else": some_of(item_id="string")[0]}),
    _if_type(
        "reason_feedback",
        {"anyOf": some_of(because_item_id="string", quoted_review_id="string")},
    ),
]


class Event(RequestModel):
    """One thing a user did, or said of a recommendation."""

    model_config = ConfigDict(json_schema_extra={"allOf": _RULES})

    event_id: Id = Field(
        description="Of the shop; sent again for the same user, the event counts once."
    )
    user_id: Id
    event_type: EventType
    item_id: Id | None = Field(None, description="What it is about; null for a search alone.")
    event_time: Time | None = Field(None, description=_TIME_HELP)
    session_id: Id | None = None
    query: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="The words of a search."
    )
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), WHOLE] | None = None
    price_cents: PriceCents | None = Field(None, description="Of one unit.")
    surface: Id | None = None
    rank: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = None
    experiment: Id | None = None
    variant: Id | None = None
    propensity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    recommendation_id: Id | None = Field(None, description="Of the answer that led to it.")
    because_item_id: Id | None = Field(
        None,
        description="With reason_feedback: the item that was given as a reason and is none. It "
        "counts no longer as the user's taste.",
    )
    quoted_review_id: Id | None = Field(
        None, description="With reason_feedback: the review that is not to be quoted again."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "Event":
        if self.event_type == "search":
            if self.query is None:
                raise ValueError("a search has a query")
        elif self.item_id is None:
            raise ValueError(f"a {self.event_type} has an item_id")
        named = self.because_item_id is not None or self.quoted_review_id is not None
        if self.event_type == "reason_feedback" and not named:
            raise ValueError("reason_feedback has a because_item_id or a quoted_review_id")
        return self


class EventsRequest(RequestModel):
    """What happened; all of it is kept or nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "event_id": "e-9f21",
                            "user_id": "u00042",
                            "event_type": "view",
                            "item_id": "i00017",
                            "event_time": "2026-01-31T12:00:00Z",
                        }
                    ]
                }
            ]
        }
    )

    events: Annotated[list[Event], Field(min_length=1, max_length=MAX_EVENTS)]


class EventsResponse(AnswerModel):
    """What became of the events, which are on the disk now."""

    request_id: str
    model_version: str | None
    added: int = Field(description="New ones.")
    known: int = Field(description="Sent before.")
    erased: int = Field(description="Of people who were erased; nothing is kept of them.")


_SAYS_SOMETHING: Any = some_of(rating="number", title="string", text="string")


class ReviewRequest(RequestModel):
    """A review, or another text a user wrote."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": _SAYS_SOMETHING,
            "examples": [
                {
                    "review_id": "r-77",
                    "user_id": "u00042",
                    "item_id": "i00017",
                    "rating": 5,
                    "text": "Holds the pitch for a whole evening.",
                }
            ],
        }
    )

    review_id: Id
    user_id: Id
    item_id: Id | None = Field(None, description="What it is about; null for a support message.")
    rating: Annotated[float, Field(ge=1, le=5, allow_inf_nan=False)] | None = Field(
        None, description="Stars."
    )
    title: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] | None = None
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] | None = None
    source: Literal["review", "question", "support", "survey", "social"] = "review"
    thread_id: Id | None = None
    verified: bool | None = None
    event_time: Time | None = Field(None, description=_TIME_HELP)

    @model_validator(mode="after")
    def _says_something(self) -> "ReviewRequest":
        if self.rating is None and not self.words:
            raise ValueError("a review has a rating, a title or a text")
        return self

    @property
    def words(self) -> str:
        """Title and text as one, empty where there is neither."""
        return "\n".join(part for part in (self.title, self.text) if part and part.strip())


class ReviewResponse(AnswerModel):
    """What became of the review, which is on the disk now."""

    request_id: str
    model_version: str | None
    outcome: Literal["added", "known", "erased"]
    polarity: float | None = Field(description="From -1 to 1; null where it was not scored.")
    degraded: Literal["not_scored"] | None = Field(
        description="`not_scored`: it is kept, and will be scored by the next batch."
    )
