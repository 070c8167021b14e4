"""What can be known of a user as of a moment: profile columns, sums of what they did and wrote.

Each model says itself: `says()` is the value in words, `told()` is canonical JSON types.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from features.schema import EVENT_TYPES
from recsys.segments.hints import nearest
from sentiment.emotions import SHOP_EMOTIONS
from sentiment.needs import NEED_KINDS

Days = Annotated[float, Field(gt=0, le=36_525, allow_inf_nan=False)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def zoned(value: Any) -> Any:
    """Take dates of TOML and YAML as their midnight, and times without a zone as UTC."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{value} is no time of UTC") from error
    return value


def _moment(value: Any) -> Any:
    """Take texts as ISO 8601, too."""
    return zoned(datetime.fromisoformat(value) if isinstance(value, str) else value)


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in known:
            told = ", ".join(known)
            raise ValueError(f"{name!r} is none of {told}{nearest(name, known)}")
        return name

    return check


EventType = Annotated[str, AfterValidator(_one_of(EVENT_TYPES))]
EventTypes = Annotated[list[EventType], BeforeValidator(_listed), Field(min_length=1)]
Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Part(BaseModel):
    """Base of everything a definition is made of: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def told(self) -> Any:
        """Return JSON types, equal for what means the same.

        Without what is as it is by default; names of which any will do sorted, each once; whole
        numbers as such, as RFC 8785 (JSON Canonicalization Scheme) writes them.
        """
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {
            key: sorted(set(value)) if key in _UNORDERED else plain(value)
            for key, value in content.items()
        }


_UNORDERED = ("events", "item", "brand", "category", "source", "channel", "segment")


def plain(value: Any) -> Any:
    """Return a whole number as such, and anything else as it is.

    >>> plain(90.0), plain(0.5), plain(True)
    (90, 0.5, True)
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
    emotion: Annotated[str, AfterValidator(_one_of(SHOP_EMOTIONS))] | None = None
    need: Annotated[str, AfterValidator(_one_of(NEED_KINDS))] | None = None
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


def joined(values: list[Any]) -> str:
    """Return plain values in words: `a` or `b`."""
    return " or ".join(map(shown, values))


def shown(value: Any) -> str:
    """Return a plain value in words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return value.isoformat() if isinstance(value, datetime) else repr(value)
