"""Contracts of the tables a shop brings: items, users, events, and whom it wrote to or must not.

Reviews live in `sentiment.schema`.

Ids are strings and external; dense integer indices never leave the process. Times are UTC in
microseconds. Order within a user is always (event_time, seq).
"""

import dataframely as dy
import polars as pl

from sentiment.schema import EMBEDDING_DIM, UTC, Reviews, ReviewSignals

EVENT_TYPES = (
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
)
ITEM_FREE_EVENT_TYPES = ("search",)


def _no_control_characters(column: pl.Expr) -> pl.Expr:
    """True where an id has no control character."""
    return ~column.str.contains("[\x00-\x1f]")


def _id(*, primary_key: bool = False, nullable: bool = False) -> dy.String:
    return dy.String(
        primary_key=primary_key,
        nullable=nullable,
        min_length=1,
        max_length=256,
        check=_no_control_characters,
    )


class Items(dy.Schema):
    """One thing the shop sells. Only the id is certain; everything else may be unknown."""

    item_id = _id(primary_key=True)
    title = dy.String(nullable=True)
    description = dy.String(nullable=True)
    categories = dy.List(dy.String(), description="from the widest to the narrowest")
    brand = dy.String(nullable=True)
    price_cents = dy.Int64(nullable=True, min=0)
    currency = dy.String(nullable=True, regex="^[A-Z]{3}$")
    in_stock = dy.Bool(nullable=True)
    created_at = dy.Datetime(nullable=True, time_zone=UTC, time_unit="us")


class Users(dy.Schema):
    """One person. Personal fields live in this table and nowhere else."""

    user_id = _id(primary_key=True)
    country = dy.String(nullable=True)
    language = dy.String(nullable=True)
    signup_at = dy.Datetime(nullable=True, time_zone=UTC, time_unit="us")
    email = dy.String(nullable=True)
    phone = dy.String(nullable=True)
    consents = dy.List(dy.String(), description="channels the person agreed to")


class Events(dy.Schema):
    """One thing a user did, or was shown.

    `price_cents` is the price of one unit; `rank` is 1-based; `propensity` is the probability with
    which the logging policy chose what was shown.
    """

    event_id = _id(primary_key=True)
    user_id = _id()
    session_id = dy.String(nullable=True)
    item_id = _id(nullable=True)
    event_type = dy.String(check=lambda c: c.is_in(EVENT_TYPES))
    query = dy.String(nullable=True)
    quantity = dy.Int32(nullable=True, min=1)
    price_cents = dy.Int64(nullable=True, min=0)
    event_time = dy.Datetime(time_zone=UTC, time_unit="us")
    seq = dy.Int64(min=0)
    surface = dy.String(nullable=True)
    rank = dy.Int32(nullable=True, min=1)
    experiment = dy.String(nullable=True)
    variant = dy.String(nullable=True)
    propensity = dy.Float64(nullable=True, min_exclusive=0.0, max=1.0)

    @dy.rule()
    def item_is_named(cls) -> pl.Expr:
        """Everything but a search is about an item."""
        return pl.col("item_id").is_not_null() | pl.col("event_type").is_in(ITEM_FREE_EVENT_TYPES)

    @dy.rule()
    def search_has_query(cls) -> pl.Expr:
        """A search without words says nothing."""
        return (pl.col("event_type") != "search") | (
            pl.col("query").fill_null("").str.len_bytes() > 0
        )

    @dy.rule()
    def event_time_is_plausible(cls) -> pl.Expr:
        """Dates before 1990 or after 2100 are parsing accidents."""
        return pl.col("event_time").dt.year().is_between(1990, 2100)


class Suppressions(dy.Schema):
    """One reason not to write to a person, such as a complaint or a bounced message.

    A null channel means all of them; a null `until` means for ever. A person is left alone as long
    as any reason holds.
    """

    suppression_id = _id(primary_key=True)
    user_id = _id()
    channel = dy.String(nullable=True, min_length=1, max_length=64)
    reason = dy.String(min_length=1, max_length=256)
    until = dy.Datetime(nullable=True, time_zone=UTC, time_unit="us")


class Contacts(dy.Schema):
    """One message to one person, or one list they were exported in.

    `segment` and `definition_version` are null for messages that no segment sent.
    """

    contact_id = _id(primary_key=True)
    user_id = _id()
    channel = dy.String(min_length=1, max_length=64)
    segment = dy.String(nullable=True)
    definition_version = dy.String(nullable=True)
    contacted_at = dy.Datetime(time_zone=UTC, time_unit="us")

    @dy.rule()
    def contacted_at_is_plausible(cls) -> pl.Expr:
        """Dates before 1990 or after 2100 are parsing accidents."""
        return pl.col("contacted_at").dt.year().is_between(1990, 2100)


class Exposures(dy.Schema):
    """One answer of the recommend endpoint, as it was shown: what off-policy evaluation reads.

    `items` are in the order shown; a `propensity` is the chance that the item came to its place,
    given those above it; `candidates` are the items that could have been shown, best first.
    `policy_propensity` is the chance with which the experiment chose the variant.
    """

    recommendation_id = _id(primary_key=True)
    user_id = _id(nullable=True)
    session_id = dy.String(nullable=True)
    surface = dy.String(nullable=True)
    experiment = dy.String(nullable=True)
    variant = dy.String(nullable=True)
    policy_propensity = dy.Float64(min_exclusive=0.0, max=1.0)
    model_version = dy.String()
    degraded = dy.String(nullable=True)
    items = dy.List(
        dy.Struct(
            {
                "item_id": dy.String(),
                "rank": dy.Int32(min=1),
                "score": dy.Float64(),
                "propensity": dy.Float64(min_exclusive=0.0, max=1.0),
                "source": dy.String(),
            }
        )
    )
    candidates = dy.List(dy.String())
    event_time = dy.Datetime(time_zone=UTC, time_unit="us")
    seq = dy.Int64(min=0)


class ItemTexts(dy.Schema):
    """What the encoder makes of an item's title and description, for one version of the model."""

    item_id = _id(primary_key=True)
    model_version = dy.String(primary_key=True, min_length=1)
    text_key = dy.String(primary_key=True, description="equal for equal words")
    language = dy.String()
    embedding = dy.Array(dy.Float32(), shape=EMBEDDING_DIM, nullable=True)


TABLES: dict[str, type[dy.Schema]] = {
    "items": Items,
    "users": Users,
    "events": Events,
    "reviews": Reviews,
    "review_signals": ReviewSignals,
    "suppressions": Suppressions,
    "contacts": Contacts,
    "exposures": Exposures,
    "item_texts": ItemTexts,
}
