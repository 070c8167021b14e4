"""What can be known of a user as of a moment: profile columns, sums of what they did and wrote.

Each model says itself: `says()` is the value in words, `told()` is canonical JSON types.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from features.schema import EVENT_TYPES
from recsys.segments.parts import Days, Moment, Names, Part, joined, listed, one_of
from sentiment.emotions import SHOP_EMOTIONS
from sentiment.needs import NEED_KINDS

EventType = Annotated[str, AfterValidator(one_of(EVENT_TYPES))]
EventTypes = Annotated[list[EventType], BeforeValidator(listed), Field(min_length=1)]


class Window(Part):
    """Of rows: by time and by item.

    Attributes:
        last_days: Rows of so many days before the moment; absent, all before it.
        since: Rows at or after it.
        until: Rows before it; never later than the moment that is asked about.
        item: Of one of these items.
        brand: Of items of one of these brands.
        category: Of items with one of these categories, of any level.
    """

    last_days: Days | None = None
    since: Moment | None = None
    until: Moment | None = None
    item: Names | None = None
    brand: Names | None = None
    category: Names | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> "Window":
        if self.last_days is not None and self.since is not None:
            raise ValueError("last_days and since both say where to begin: give one of them")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("until must be after since")
        return self

    def window_says(self) -> str:
        """Return the window in words, beginning with a blank; empty where all rows count."""
        said = [
            f" of {name} {joined(values)}"
            for name in ("item", "brand", "category")
            if (values := getattr(self, name))
        ]
        if self.last_days is not None:
            said.append(f" in the last {self.last_days:g} days")
        if self.since is not None:
            said.append(f" since {self.since.isoformat()}")
        if self.until is not None:
            said.append(f" before {self.until.isoformat()}")
        return "".join(said)


class ProfileValue(Part):
    """A column of `user_profiles`."""

    profile: str

    def says(self) -> str:
        """Return it in words."""
        return self.profile


class UserValue(Part):
    """What the shop knows of a person; nothing that names or reaches them."""

    user: Literal["country", "language", "signup_days"]

    def says(self) -> str:
        """Return it in words."""
        return {"signup_days": "days since signing up"}.get(self.user, self.user)


OUTCOMES = {
    "purchase": "purchase_probability",
    "churn": "churn_probability",
    "alive": "probability_alive",
    "purchases": "expected_purchases",
    "value": "expected_cents",
    "satisfaction": "satisfaction_probability",
}
"""What `sentirec outcomes` tells, and its columns."""


class OutcomeValue(Part):
    """What a user is expected to do; `satisfaction` of a category, else of their best one."""

    outcome: Literal["purchase", "churn", "alive", "purchases", "value", "satisfaction"]
    category: str | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> "OutcomeValue":
        if self.category is not None and self.outcome != "satisfaction":
            raise ValueError(f"category goes with outcome = 'satisfaction', not {self.outcome!r}")
        return self

    def says(self) -> str:
        """Return it in words."""
        told = OUTCOMES[self.outcome].replace("_", " ")
        return told + (f" in {self.category}" if self.category else "")


class AspectValue(Part):
    """How much a user writes about an aspect, and how strictly; see `user_aspects`."""

    aspect: str
    measure: Literal["emphasis", "strictness", "num_mentions", "polarity_mean"] = "emphasis"

    def says(self) -> str:
        """Return it in words."""
        return f"{self.measure.replace('_', ' ')} of {self.aspect}"


class EventsValue(Window):
    """Of events: how many, for how much, how long ago. A count or a sum of none is 0."""

    events: EventTypes
    measure: Literal[
        "count", "items", "quantity", "cents", "days", "days_since_last", "days_since_first"
    ] = "count"
    """`items` are different ones, `days` are those with an event, `cents` is paid or listed."""
    since_review: bool = False
    """Later than the user's last review or survey in words; all of those who wrote none."""

    def says(self) -> str:
        """Return it in words."""
        what = {"count": "number of", "cents": "cents of"}.get(self.measure, f"{self.measure} of")
        since = " since their last review" if self.since_review else ""
        return f"{what.replace('_', ' ')} {joined(self.events)} events{since}{self.window_says()}"


REVIEW_SOURCES = ["review", "survey"]
"""Texts that say how somebody felt about what they bought; a question does not."""


class ReviewsValue(Window):
    """Of what a user wrote: how many texts, and what they feel.

    With an aspect, `polarity` is that of what is said of it. A count of none is 0, everything else
    is unknown.
    """

    reviews: Literal[
        "count", "polarity", "stars", "intensity", "emotion", "needs", "days_since_last"
    ]
    how: Literal["mean", "min", "max", "last"] = "mean"
    aspect: str | None = None
    emotion: Annotated[str, AfterValidator(one_of(SHOP_EMOTIONS))] | None = None
    need: Annotated[str, AfterValidator(one_of(NEED_KINDS))] | None = None
    source: Names = REVIEW_SOURCES

    @model_validator(mode="after")
    def _goes_together(self) -> "ReviewsValue":
        if (self.reviews == "emotion") != (self.emotion is not None):
            raise ValueError("reviews = 'emotion' needs emotion = NAME, and only that does")
        if self.need is not None and self.reviews != "needs":
            raise ValueError("need goes with reviews = 'needs'")
        if self.aspect is not None and self.reviews not in (
            "count",
            "polarity",
            "days_since_last",
        ):
            raise ValueError(
                "aspect goes with reviews = 'polarity', 'count' or 'days_since_last', not "
                f"{self.reviews!r}"
            )
        if self.how != "mean" and self.reviews in ("count", "needs", "days_since_last"):
            raise ValueError(f"how has no meaning with reviews = {self.reviews!r}")
        return self

    def says(self) -> str:
        """Return it in words."""
        about = f" about {self.aspect}" if self.aspect else ""
        what = {
            "count": "number of reviews",
            "needs": f"number of wishes{f' ({self.need})' if self.need else ''} in reviews",
            "days_since_last": "days since the last review",
            "emotion": f"{self.how} {self.emotion} in reviews",
        }.get(self.reviews, f"{self.how} {self.reviews} of reviews")
        of = "" if set(self.source) == set(REVIEW_SOURCES) else f" from {joined(self.source)}"
        return f"{what}{about}{of}{self.window_says()}"


class ContactsValue(Part):
    """How often and how lately a user was written to."""

    contacts: Literal["count", "days_since_last"]
    channel: Names | None = None
    segment: Names | None = None
    last_days: Days | None = None

    def says(self) -> str:
        """Return it in words."""
        what = "number of contacts" if self.contacts == "count" else "days since the last contact"
        said = f" by {joined(self.channel)}" if self.channel else ""
        said += f" for segment {joined(self.segment)}" if self.segment else ""
        return what + said + (f" in the last {self.last_days:g} days" if self.last_days else "")


Value = (
    ProfileValue
    | UserValue
    | OutcomeValue
    | AspectValue
    | EventsValue
    | ReviewsValue
    | ContactsValue
)
