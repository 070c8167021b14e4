"""What goes over the wire for recommendations: requests and answers, version 1."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from recsys.feature_groups import GROUPS
from serving.schema_types import (
    DEFAULT_K,
    MAX_K,
    WHOLE,
    AnswerModel,
    Id,
    Ids,
    Names,
    PriceCents,
    RequestModel,
    Share,
    some_of,
)

MAX_SESSION_ITEMS = 100
MAX_QUERY_CHARACTERS = 500
MAX_WISHES = 20
GREATEST_BOOST = 100.0
MAX_BATCH = 100
MAX_BATCH_ITEMS = 5000
MAX_TOKEN_CHARACTERS = 65_536

Degraded = Literal[
    "no_user_id",
    "unknown_user",
    "no_history",
    "no_item_matches_filters",
    "filters_relaxed",
    "everything_bought",
    "no_ranker",
    "no_index",
    "deadline",
    "session_only",
    "segment_only",
    "stale",
    "nothing_relevant",
]


class Filters(RequestModel):
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


class Session(RequestModel):
    """What is known of a visit: the items looked at, the search, the page."""

    session_id: Id | None = Field(None, description="Kept with what was shown.")
    item_ids: Annotated[list[Id], Field(max_length=MAX_SESSION_ITEMS)] | None = Field(
        None,
        description="Items looked at in this visit, the latest last; unknown ones are ignored.",
    )
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)] | None = Field(
        None, description="What was searched for; matched with titles, brands and categories."
    )
    category: Names | None = Field(
        None,
        description="Of the page; decides where nothing else is known of the visitor.",
    )
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] | None = Field(
        None,
        description="Of the visitor (ISO 639-1): where nothing else is known, what is popular "
        "among those who write in it comes first.",
    )


_SOME_ITEMS: Any = [
    *some_of(item_ids="array", brand="string", category="string"),
    *some_of(brand="array", category="array"),
]


class Wish(RequestModel):
    """Which items are to be moved, and how far; an item that any of the three names."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _SOME_ITEMS})

    item_ids: Ids | None = None
    brand: Names | None = None
    category: Names | None = None

    @model_validator(mode="after")
    def _about_something(self) -> "Wish":
        if not (self.item_ids or self.brand or self.category):
            raise ValueError("name item_ids, brand or category")
        return self


class Boost(Wish):
    """Items whose relevance is multiplied."""

    factor: Annotated[float, Field(ge=1, le=GREATEST_BOOST, allow_inf_nan=False)] = 2.0


class Bury(Wish):
    """Items whose relevance is diminished; 0 takes them out."""

    factor: Share = 0.5


AspectWishes = Annotated[list[Id], Field(max_length=MAX_WISHES)]


class RecommendationRequest(RequestModel):
    """Whom to recommend to, what may be recommended, and how the list is to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u00042",
                    "k": 5,
                    "surface": "home",
                    "filters": {"category": "Guitars", "max_price_cents": 50000},
                    "prefer_aspects": ["durability"],
                },
                {"session": {"item_ids": ["i00003"], "query": "travel guitar"}, "k": 10},
            ]
        }
    )

    user_id: Id | None = Field(
        None, description="The shop's id of the user; left out for a visitor nobody knows."
    )
    session: Session | None = None
    k: Annotated[int, Field(ge=1, le=MAX_K), WHOLE] = Field(
        DEFAULT_K, description="How many items at most."
    )
    surface: Id | None = Field(
        None, description="Where they are shown; experiments run by surface, exposures tell it."
    )
    filters: Filters | None = None
    strict_filters: bool = Field(
        False,
        description="Where nothing passes the filters: true answers nothing, false leaves out "
        "category, brand, price and include_item_ids, and says so.",
    )
    diversity: Share | None = Field(
        None,
        description="0 shows by relevance alone, 1 by unlikeness; left out, as the shop wants it.",
    )
    novelty: Share = Field(
        0.0, description="How much of its relevance the most bought item of all loses."
    )
    min_relevance: Share = Field(
        0.0,
        description="Items whose score is below it are left out; there is no next page then, as "
        "scores are comparable within one answer only.",
    )
    prefer_aspects: AspectWishes | None = Field(
        None, description='What matters to the user, such as "durability".'
    )
    avoid_aspects: AspectWishes | None = Field(
        None, description='What buyers must not complain of, such as "loud fan".'
    )
    boost: Annotated[list[Boost], Field(max_length=MAX_WISHES)] | None = None
    bury: Annotated[list[Bury], Field(max_length=MAX_WISHES)] | None = None
    explain: bool = Field(True, description="Whether each item comes with a reason.")
    debug: bool = Field(
        False, description="Whether each item comes with what its sources and features say."
    )
    contributions: bool = Field(
        False,
        description="Whether each item comes with what each group of features adds to its score; "
        "its reason then names the group that adds most. Takes longer.",
    )
    validate_only: bool = Field(False, description="Check the request and answer nothing.")


class BatchRequest(RequestModel):
    """Several requests at once. Each counts as one for the limit of a key."""

    requests: Annotated[list[RecommendationRequest], Field(min_length=1, max_length=MAX_BATCH)]

    @model_validator(mode="after")
    def _bounded(self) -> "BatchRequest":
        total = sum(request.k for request in self.requests)
        if total > MAX_BATCH_ITEMS:
            raise ValueError(f"the k of all requests add up to {total}, above {MAX_BATCH_ITEMS}")
        if any(request.debug for request in self.requests):
            raise ValueError("debug is for single requests")
        if any(request.contributions for request in self.requests):
            raise ValueError("contributions are for single requests")
        return self


class NextRequest(RequestModel):
    """The next page of an answer."""

    token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARACTERS)] = Field(
        description="The `next_token` of the page before."
    )


class Quote(AnswerModel):
    """A sentence from another user's review of the item, verbatim."""

    text: str
    review_id: str
    aspect: str | None = Field(description="What the sentence is about.")
    polarity: float = Field(description="Of what it says of the aspect, from -1 to 1.")


class Reason(AnswerModel):
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


class SourceVoice(AnswerModel):
    """What a candidate source says of an item."""

    rank: int | None = Field(description="Place in the source's ranking, from 1; null beyond it.")
    score: float


class Debug(AnswerModel):
    """Where an item's place comes from."""

    ranker_score: float | None = Field(description="Null for an item that was explored.")
    sources: dict[str, SourceVoice]
    features: dict[str, float | None]
    contributions: dict[str, float] = Field(
        description="What each feature adds to the ranker's score (Shapley values); with `base`, "
        "of the order that the trees are blended with, and `start`, the same for all, they add up "
        "to it. Empty where there is no score."
    )


class ItemContributions(AnswerModel):
    """What an item's place among the candidates comes from."""

    groups: dict[str, float] = Field(
        description="What each group of features adds to the ranker's score, before the list is "
        "rearranged: " + ", ".join(f"`{group}`" for group in GROUPS) + ". `agreement` is of all "
        "sources together, `user` of the user alone."
    )
    start: float = Field(description="What is the same for all; with the groups it adds up.")
    named: str | None = Field(
        description="The group that the reason names: that which adds most, of those of which a "
        "true sentence can be said. Null where there is none, and the reason is of the source."
    )


class RecommendedItem(AnswerModel):
    """One item, best first."""

    item_id: str
    rank: int = Field(description="Place in the answer, from 1; goes on on the next page.")
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
    debug: Debug | None = Field(None, description="Only where the request says `debug: true`.")
    contributions: ItemContributions | None = Field(
        None,
        description="Only where the request says `contributions: true`; null of an item that was "
        "explored, and where the ranker did not answer.",
    )


_EXAMPLE_ANSWER = {
    "request_id": "5d1c4f0f0b6c4c0e8c7e0f9f3d0f1a2b",
    "model_version": "20260102T030405-1a2b3c4d",
    "recommendation_id": "rec_2f1b9d3c5a7e4f60",
    "user_id": "u00042",
    "experiment": None,
    "variant": None,
    "degraded": None,
    "degradations": [],
    "ignored_aspects": [],
    "next_token": None,
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
                    "aspect": "tuning",
                    "polarity": 0.93,
                },
                "source": "item_to_item",
            },
        }
    ],
}


class RecommendationResponse(AnswerModel):
    """Items to recommend; never one that the user has bought."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_ANSWER]})

    request_id: str
    model_version: str = Field(description="The bundle that answered.")
    recommendation_id: str | None = Field(
        description="Names this answer: give it with the events that it leads to. Null where "
        "nothing was recommended."
    )
    user_id: str | None
    experiment: str | None
    variant: str | None = Field(description="Which variant of the experiment the user is in.")
    degraded: Degraded | None = Field(
        description=(
            "Null for a personal answer. `no_user_id`, `unknown_user` and `no_history`: what is "
            "popular instead. `filters_relaxed`: nothing passed the filters. "
            "`no_item_matches_filters` and `everything_bought`: nothing is left to recommend and "
            "`items` is empty; `nothing_relevant`: nothing has `min_relevance`. `session_only`: "
            "nothing but the session is known. `segment_only`: nothing but the language. "
            "`no_ranker`, `no_index`, `deadline`: a part failed or took too long, and a simpler "
            "one answered. `stale`: what happened just now could not be read, and may be missing."
        )
    )
    degradations: list[Degraded] = Field(
        description="All that apply, the gravest first, which is `degraded`."
    )
    ignored_aspects: list[str] = Field(
        description="Of prefer_aspects and avoid_aspects, those that no buyer here speaks of."
    )
    next_token: str | None = Field(
        description="For the next page, which repeats none of these items; null where there is "
        "none, or where the request names more ids than a token can hold."
    )
    items: list[RecommendedItem]


class BatchResponse(AnswerModel):
    """Answers in the order of the requests."""

    request_id: str
    model_version: str
    answers: list[RecommendationResponse]
