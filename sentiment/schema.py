"""Contracts of the two tables this package reads and writes: reviews and review_signals."""

import dataframely as dy
import polars as pl

from sentiment.emotions import SHOP_EMOTIONS

SOURCES = ("review", "question", "support", "survey", "social")
EMBEDDING_DIM = 384
UTC = "UTC"


def _no_control_characters(column: pl.Expr) -> pl.Expr:
    """True where a text has no NUL or other C0 control except tab, newline, carriage return."""
    return ~column.str.contains("[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Reviews(dy.Schema):
    """One text a person wrote: a review, a question, a support message, a survey answer, a post.

    `seq` is the source row; order within a user is always (event_time, seq).
    """

    review_id = dy.String(primary_key=True, min_length=1, max_length=256)
    user_id = dy.String(min_length=1, max_length=256, check=_no_control_characters)
    item_id = dy.String(nullable=True, min_length=1, max_length=256, check=_no_control_characters)
    rating = dy.Float32(nullable=True, min=1.0, max=5.0, description="stars")
    title = dy.String(nullable=True)
    text = dy.String(nullable=True)
    source = dy.String(check=lambda c: c.is_in(SOURCES))
    thread_id = dy.String(nullable=True)
    verified = dy.Bool(nullable=True)
    helpful_votes = dy.Int64(nullable=True, min=0)
    event_time = dy.Datetime(time_zone=UTC, time_unit="us")
    seq = dy.Int64(min=0)

    @dy.rule()
    def has_text_or_rating(cls) -> pl.Expr:
        """A row that says nothing at all is no review."""
        return (
            (pl.col("text").fill_null("").str.len_bytes() > 0)
            | (pl.col("title").fill_null("").str.len_bytes() > 0)
            | pl.col("rating").is_not_null()
        )

    @dy.rule()
    def event_time_is_plausible(cls) -> pl.Expr:
        """Dates before 1990 or after 2100 are parsing accidents."""
        return pl.col("event_time").dt.year().is_between(1990, 2100)


class ReviewSignals(dy.Schema):
    """What one encoder pass says about one review, for one version of the model.

    `polarity` is p_positive - p_negative; `intensity` is how far from three stars the review is, in
    the mean and whichever way, as a share of the two there are; an emotion is felt from 0.5 on, and
    null where the language's model does not know it; spans are characters of the cleaned text;
    `embedding` is unit length, or null where the review has no text.
    """

    review_id = dy.String(primary_key=True, min_length=1)
    model_version = dy.String(primary_key=True, min_length=1)
    language = dy.String(description="ISO 639-1 code, or `und` where it could not be told")
    p_negative = dy.Float32(min=0.0, max=1.0)
    p_neutral = dy.Float32(min=0.0, max=1.0)
    p_positive = dy.Float32(min=0.0, max=1.0)
    polarity = dy.Float32(min=-1.0, max=1.0)
    intensity = dy.Float32(min=0.0, max=1.0)
    stars_expected = dy.Float32(min=1.0, max=5.0)
    mixed = dy.Bool(description="strong opinions oppose each other")
    emotions = dy.Struct(
        {name: dy.Float32(nullable=True, min=0.0, max=1.0) for name in SHOP_EMOTIONS},
        nullable=True,
    )
    aspects = dy.List(
        dy.Struct(
            {
                "aspect": dy.String(),
                "polarity": dy.Float32(min=-1.0, max=1.0),
                "confidence": dy.Float32(min=0.0, max=1.0),
                "start": dy.Int32(min=0),
                "end": dy.Int32(min=0),
            }
        )
    )
    needs = dy.List(
        dy.Struct(
            {
                "text": dy.String(),
                "start": dy.Int32(min=0),
                "end": dy.Int32(min=0),
                "kind": dy.String(description="a kind of `sentiment.needs.NEED_KINDS`"),
            }
        )
    )
    embedding = dy.Array(dy.Float32(), shape=EMBEDDING_DIM, nullable=True)
    truncated = dy.Bool(description="the text had more windows than are read")
