"""Review tables of no particular origin: columns are told by the names that people give them."""

import polars as pl

from features.readers.batches import ROW_AS_SEQ, SOURCE_LINE, Format, TableRows
from features.readers.columns import pick, purchases_of, with_review_ids

_USER = ("user_id", "reviews_userId", "reviewer_id", "customer_id", "reviews_username", "username")
_ITEM = ("item_id", "product_id", "id", "asin", "Clothing ID")
_RATING = ("rating", "reviews_rating", "reviews.rating", "star_rating", "stars", "Rating", "score")
_TEXT = ("text", "review_text", "reviews_text", "reviews.text", "Review Text", "review", "content")
_TIME = ("timestamp", "reviews_date", "reviews.date", "review_date", "event_time", "date", "time")
_TITLE = ("title", "reviews_title", "reviews.title", "review_title", "Title", "summary")
_BOUGHT = ("reviews_didPurchase", "reviews.didPurchase", "verified_purchase", "verified")
_HELPFUL = ("reviews_numHelpful", "helpful_votes", "Positive Feedback Count")
_NAME = ("name", "product_title", "product_name")
_COMMA_IN_A_NAME = ", "
_KEPT_COMMA = "\x1f"


def _tables(records: pl.DataFrame) -> dict[str, TableRows]:
    reviews = with_review_ids(
        records.select(
            SOURCE_LINE,
            ROW_AS_SEQ,
            user_id=pick(records, *_USER),
            item_id=pick(records, *_ITEM),
            rating=pick(records, *_RATING),
            title=pick(records, *_TITLE),
            text=pick(records, *_TEXT),
            source=pl.lit("review"),
            verified=pick(records, *_BOUGHT),
            helpful_votes=pick(records, *_HELPFUL),
            event_time=pick(records, *_TIME),
        )
    )
    says_bought = reviews.filter(pl.col("verified").str.to_lowercase().ne_missing("false"))
    stubs = records.select(
        SOURCE_LINE,
        item_id=pick(records, *_ITEM),
        title=pick(records, *_NAME),
        brand=pick(records, "brand", "manufacturer"),
        categories=_split_categories(pick(records, "categories")),
    )
    return {
        "reviews": TableRows(frame=reviews),
        "events": TableRows(frame=purchases_of(says_bought)),
        "items": TableRows(frame=stubs, is_stub=True),
    }


def _split_categories(text: pl.Expr) -> pl.Expr:
    """Split at commas, except at those followed by a space, which are part of a name."""
    protected = text.str.replace_all(_COMMA_IN_A_NAME, _KEPT_COMMA, literal=True)
    return protected.str.split(",").list.eval(
        pl.element().str.replace_all(_KEPT_COMMA, _COMMA_IN_A_NAME, literal=True)
    )


def _recognises(columns: frozenset[str]) -> bool:
    """A text and an item make a review table, even one that lacks what it needs."""
    return bool(columns.intersection(_TEXT)) and bool(columns.intersection(_ITEM))


REVIEWS = Format(
    name="product-reviews",
    title="reviews with a user, an item, a rating, a text and a time, under common names",
    wanted=(_USER, _ITEM, _RATING, _TEXT, _TIME),
    also_read=(*_TITLE, *_BOUGHT, *_HELPFUL, *_NAME, "brand", "manufacturer", "categories"),
    to_tables=_tables,
    recognises=_recognises,
)
