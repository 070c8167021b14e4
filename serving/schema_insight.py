"""What goes over the wire about one item: how it sells, how it pleases, what is said of it."""

from typing import Literal

from pydantic import ConfigDict, Field

from serving.schema import Quote
from serving.schema_types import AnswerModel

NeedKind = Literal["missing_feature", "improvement", "other_product", "question"]


class Level(AnswerModel):
    """A level, pulled towards what is known of like items where little is known of the item."""

    value: float
    low: float | None = Field(description="Lower end of the 95% interval.")
    high: float | None = Field(description="Upper end of the 95% interval.")


class Popularity(AnswerModel):
    """How an item sells."""

    num_purchases: int | None
    num_purchases_30d: int | None = Field(description="On the last 30 days and that of `as_of`.")
    num_views: int | None
    num_views_30d: int | None
    place: float = Field(description="Share of items that are bought less often, from 0 to 1.")
    purchase_trend: float | None = Field(
        description="Log ratio of the purchases of the last 30 days to a month's of the 60 before."
    )
    return_rate: float | None = Field(description="Returns per purchase, at most 1.")


class Satisfaction(AnswerModel):
    """How satisfied buyers are: what they said and whether they kept it, in one index."""

    index: float = Field(description="From 0 to 100, for comparison; no share of buyers.")
    low: float = Field(description="Lower end of the 95% interval.")
    high: float = Field(description="Upper end of the 95% interval.")
    num_opinions: int
    num_purchases: int
    num_returned: int
    own_share: float = Field(
        description="How much of it is the item's own, from 0 to 1; the rest is that of all items."
    )
    is_small: bool = Field(description="Whether few opinions stand behind it.")


class Opinion(AnswerModel):
    """What is said of an item on the whole."""

    num_reviews: int | None
    stars_mean: float | None = Field(description="As given; null without any.")
    stars: Level | None = Field(description="Stars to be expected, from 1 to 5.")
    polarity_mean: float | None = Field(description="Of the words; null without any.")
    polarity: Level | None = Field(description="Polarity to be expected, from -1 to 1.")
    negative_share: Level | None = Field(description="Negative reviews to be expected, 0 to 1.")
    polarity_trend: float | None = Field(
        description="Mean polarity of the last 90 days less that before; null without either."
    )
    polarity_drift: float | None = Field(
        description="The trend over its standard error: below -2 it is hardly chance."
    )


class AspectOpinion(AnswerModel):
    """What is said of an aspect of an item."""

    aspect: str
    num_mentions: int
    polarity: Level = Field(description="To be expected, from -1 to 1.")


class VoicedNeed(AnswerModel):
    """A wish that buyers voiced in the same words."""

    text: str
    kind: NeedKind
    count: int = Field(description="People who voiced it.")
    review_id: str = Field(description="Of the last of them.")


class Needs(AnswerModel):
    """What buyers miss or wish for, in the last 100 needs they voiced."""

    num_needs: int
    by_kind: dict[NeedKind, int]
    voiced: list[VoicedNeed] = Field(description="The most frequent first, at most 20.")


class Quotes(AnswerModel):
    """Sentences of reviews, verbatim."""

    praise: list[Quote]
    complaints: list[Quote]


_EXAMPLE_INSIGHT = {
    "request_id": "5d1c4f0f0b6c4c0e8c7e0f9f3d0f1a2b",
    "model_version": "20260102T030405-1a2b3c4d",
    "item_id": "i00017",
    "title": "Clip-on tuner",
    "brand": "Tonewell",
    "categories": ["Musical Instruments", "Tuners"],
    "price_cents": 1499,
    "in_stock": True,
    "as_of": "2026-01-02T00:00:00+00:00",
    "popularity": {
        "num_purchases": 181,
        "num_purchases_30d": 22,
        "num_views": 1204,
        "num_views_30d": 130,
        "place": 0.94,
        "purchase_trend": 0.31,
        "return_rate": 0.03,
    },
    "satisfaction": {
        "index": 81.2,
        "low": 74.9,
        "high": 87.5,
        "num_opinions": 46,
        "num_purchases": 181,
        "num_returned": 5,
        "own_share": 0.83,
        "is_small": False,
    },
    "opinion": {
        "num_reviews": 46,
        "stars_mean": 4.4,
        "stars": {"value": 4.3, "low": 4.0, "high": 4.6},
        "polarity_mean": 0.61,
        "polarity": {"value": 0.58, "low": 0.47, "high": 0.69},
        "negative_share": {"value": 0.11, "low": 0.03, "high": 0.19},
        "polarity_trend": None,
        "polarity_drift": 0.0,
    },
    "aspects": [
        {
            "aspect": "tuning",
            "num_mentions": 31,
            "polarity": {"value": 0.72, "low": 0.58, "high": 0.86},
        }
    ],
    "needs": {
        "num_needs": 1,
        "by_kind": {"missing_feature": 1},
        "voiced": [
            {
                "text": "I wish it had a light",
                "kind": "missing_feature",
                "count": 1,
                "review_id": "r000312",
            }
        ],
    },
    "quotes": {
        "praise": [
            {
                "text": "It holds the pitch for a whole evening.",
                "review_id": "r000181",
                "aspect": "tuning",
                "polarity": 0.93,
            }
        ],
        "complaints": [],
    },
}


class InsightResponse(AnswerModel):
    """What is known of an item and said of it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_INSIGHT]})

    request_id: str
    model_version: str
    item_id: str
    title: str | None
    brand: str | None
    categories: list[str] = Field(description="From the widest to the narrowest.")
    price_cents: int | None
    in_stock: bool | None = Field(description="Null where nobody says.")
    as_of: str | None = Field(description="When these figures were made, RFC 3339.")
    popularity: Popularity
    satisfaction: Satisfaction | None = Field(
        description="Null where nobody bought the item or said anything of it."
    )
    opinion: Opinion
    aspects: list[AspectOpinion] = Field(description="The most mentioned first, at most 50.")
    needs: Needs
    quotes: Quotes
