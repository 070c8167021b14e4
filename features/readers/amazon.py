"""Amazon reviews (2014, 2018, 2023), interaction lists, catalogues and sequences.

The review files carry no purchases: a review is taken as proof of one, at the same time.
"""

import polars as pl

from features.readers.batches import ROW_AS_SEQ, SEQ, SOURCE_LINE, Format, TableRows
from features.readers.columns import (
    canonical_time,
    one_category,
    pick,
    purchases_of,
    to_cents,
    with_review_ids,
)
from features.readers.ids import canonical_number, stable_ids

_SEQUENCE_EPOCH_S = 946_684_800  # 2000-01-01, the day that position 0 of a sequence gets
_DAY_S = 86_400


def _review_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    def get(*names: str) -> pl.Expr:
        return pick(records, *names)

    votes = get("helpful_vote", "helpful_up", "vote").str.replace_all(",", "")
    helpful_pair = get("helpful").str.extract(r"^\[\s*(\d+)")
    reviews = with_review_ids(
        records.select(
            SOURCE_LINE,
            ROW_AS_SEQ,
            user_id=get("reviewerID", "user_id"),
            item_id=get("parent_asin", "asin", "item_id"),
            rating=get("overall", "rating"),
            title=get("summary", "title"),
            text=get("reviewText", "text"),
            source=pl.lit("review"),
            verified=get("verified_purchase", "verified"),
            helpful_votes=pl.coalesce(votes, helpful_pair),
            event_time=get("unixReviewTime", "timestamp"),
        )
    )
    return {
        "reviews": TableRows(frame=reviews),
        "events": TableRows(frame=purchases_of(reviews)),
        "items": TableRows(frame=reviews.select(SOURCE_LINE, "item_id"), is_stub=True),
    }


def _interaction_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    rows = records.select(
        SOURCE_LINE,
        ROW_AS_SEQ,
        "user_id",
        "item_id",
        rating=pick(records, "rating"),
        event_time=pl.col("timestamp"),
        split=pick(records, "split"),
    )
    fields = [
        pl.col("user_id"),
        pl.col("item_id"),
        canonical_time(pl.col("event_time")),
        canonical_number(pl.col("rating")),
    ]
    rows = rows.with_columns(
        stable_ids(rows, "interaction", fields).alias("event_id"),
        stable_ids(rows, "rating", fields).alias("review_id"),
    )
    events = rows.select(
        SOURCE_LINE,
        SEQ,
        "event_id",
        "user_id",
        "item_id",
        "event_time",
        event_type=pl.lit("purchase"),
    )
    rated = rows.filter(pl.col("rating").is_not_null()).select(
        SOURCE_LINE,
        SEQ,
        "review_id",
        "user_id",
        "item_id",
        "rating",
        "event_time",
        source=pl.lit("review"),
    )
    tables = {
        "events": TableRows(frame=events),
        "reviews": TableRows(frame=rated),
        "items": TableRows(frame=rows.select(SOURCE_LINE, "item_id"), is_stub=True),
    }
    if "split" in records.columns:
        splits = rows.filter(pl.col("split").is_not_null())
        tables["splits"] = TableRows(frame=splits.select(SOURCE_LINE, "event_id", "split"))
    return tables


def _catalogue_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    price = pick(records, "price")
    items = records.select(
        SOURCE_LINE,
        "item_id",
        "title",
        categories=one_category(pick(records, "category")),
        brand=pick(records, "brand"),
        price_cents=to_cents(price),
        currency=pl.when(price.is_not_null()).then(pl.lit("USD")),
    )
    return {"items": TableRows(frame=items)}


def _sequence_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    day = pl.col("pos").cast(pl.Int64, strict=False)
    moment = (_SEQUENCE_EPOCH_S + day * _DAY_S).cast(pl.String)
    ids = stable_ids(records, "sequence", [pl.col("user_id"), pl.col("item_id"), pl.col("pos")])
    events = records.select(
        SOURCE_LINE,
        ROW_AS_SEQ,
        "user_id",
        "item_id",
        event_id=ids,
        event_type=pl.lit("purchase"),
        event_time=pl.coalesce(moment, pl.format("position {}", pl.col("pos"))),
    )
    return {
        "events": TableRows(frame=events),
        "items": TableRows(frame=events.select(SOURCE_LINE, "item_id"), is_stub=True),
    }


def _attribute_tables(records: pl.DataFrame) -> dict[str, TableRows]:
    attributes = pl.col("attribute_ids").str.extract_all(r"\S+")
    named = attributes.list.eval(pl.concat_str(pl.lit("attr:"), pl.element()))
    items = records.select(
        SOURCE_LINE, "item_id", categories=named.fill_null(pl.lit([], pl.List(pl.String)))
    )
    return {"items": TableRows(frame=items)}


REVIEWS = Format(
    name="amazon-reviews",
    title="Amazon reviews of 2014, 2018 or 2023, as published or with normalised names",
    wanted=(
        ("reviewerID", "user_id"),
        ("asin", "parent_asin", "item_id"),
        ("overall", "rating"),
        ("unixReviewTime", "timestamp"),
        ("reviewText", "text", "summary", "title"),
    ),
    also_read=("verified", "verified_purchase", "helpful", "helpful_up", "helpful_vote", "vote"),
    to_tables=_review_tables,
)
INTERACTIONS = Format(
    name="amazon-interactions",
    title="user, item, rating and time, perhaps with a published split",
    wanted=(("user_id",), ("item_id",), ("rating",), ("timestamp",)),
    also_read=("split",),
    to_tables=_interaction_tables,
)
CATALOGUE = Format(
    name="amazon-items",
    title="items with title, category, brand and price in dollars",
    wanted=(("item_id",), ("title",), ("category",), ("price",)),
    also_read=("brand",),
    to_tables=_catalogue_tables,
)
SEQUENCES = Format(
    name="sequences",
    title="purchases of each user by position, without times",
    wanted=(("user_id",), ("item_id",), ("pos",)),
    to_tables=_sequence_tables,
)
ATTRIBUTES = Format(
    name="item-attributes",
    title="numbered attributes of items, separated by spaces",
    wanted=(("item_id",), ("attribute_ids",)),
    to_tables=_attribute_tables,
)
