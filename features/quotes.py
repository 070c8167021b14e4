"""Sentences worth quoting, verbatim: what buyers praise of an item and what they complain of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from features.opinion import JUDGING_SOURCES
from sentiment.cleaning import clean_text, review_text

MIN_POLARITY = 0.5
MIN_ASPECT_POLARITY = 0.2
MAX_COMPLAINT_POLARITY = -0.5
MIN_ASPECT_CONFIDENCE = 0.5
MIN_CHARACTERS, MAX_CHARACTERS = 20, 160
QUOTES_PER_ITEM = 3
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
# A satisfied review can hold a complaint; a sentence with one of these may be it.
_DOUBTFUL = re.compile(
    r"\b(?:but|however|although|though|except|not|no|never|n't|don't|didn't|doesn't|wish|return|"
    r"returned|broke|broken|refund|bad|poor|worse|unfortunately|only|problem|issue)\b|n't\b"
    r"|[<>\[\]]|但|不|没|可惜|希望|退|差|坏",
    re.IGNORECASE,
)

# What says nothing good ("I ordered on a Monday") explains no recommendation.
_PRAISE = re.compile(
    r"\b(?:great|good|love|loves|loved|excellent|perfect|perfectly|amazing|awesome|fantastic|superb|"
    r"wonderful|best|nice|nicely|happy|pleased|satisfied|impressed|recommend|sturdy|solid|"
    r"comfortable|beautiful|beautifully|easy|easily|worth|favorite|favourite|quality|durable|"
    r"reliable|clear|crisp|bright|smooth|light|fast|quick|well|enjoy|enjoyed|fun|gorgeous|"
    r"brilliant|flawless|flawlessly|delighted|terrific)\b"
    r"|好|喜欢|满意|棒|舒服|清晰|结实|漂亮|值得|喜爱|推荐|给力|精致|优秀|完美",
    re.IGNORECASE,
)


_MARKUP = re.compile(r"[<>\[\]]")


@dataclass(frozen=True, kw_only=True)
class _Tone:
    """What a quote has to be.

    Attributes:
        sign: 1 for praise, -1 for complaints.
        least: What it says of an aspect, times the sign, is at least this.
        sentences: The sentences of a text that may be quoted.
    """

    sign: int
    least: float
    sentences: Callable[[str], list[str]]


def quotable_sentences(text: str) -> list[str]:
    """Return the sentences of a review that may stand alone, each a verbatim substring.

    >>> quotable_sentences("It fits well and sounds great. But the box was broken.")
    ['It fits well and sounds great.']
    """
    return [
        sentence
        for sentence in _sentences(text)
        if _PRAISE.search(sentence) and not _DOUBTFUL.search(sentence)
    ]


def complaining_sentences(text: str) -> list[str]:
    """Return the sentences of a review that may be quoted as a complaint, verbatim.

    One that only praises is none, whatever the signals say.

    >>> complaining_sentences("It fits well and sounds great. But the box was broken.")
    ['But the box was broken.']
    """
    return [
        sentence
        for sentence in _sentences(text)
        if not _MARKUP.search(sentence)
        and (_DOUBTFUL.search(sentence) or not _PRAISE.search(sentence))
    ]


_PRAISING = _Tone(sign=1, least=MIN_ASPECT_POLARITY, sentences=quotable_sentences)
_COMPLAINING = _Tone(sign=-1, least=-MAX_COMPLAINT_POLARITY, sentences=complaining_sentences)


def item_quotes(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return up to `QUOTES_PER_ITEM` quotes an item, the most positive reviews first.

    Returns:
        `item_id, review_id, user_id, quote, aspect, polarity, language`; `quote` is a verbatim
        substring of the text of a review whose polarity is at least `MIN_POLARITY`; `aspect` is one
        that the review's signals find within the sentence, and `polarity` what they find it says of
        it, at least `MIN_ASPECT_POLARITY`.
    """
    positive = (
        reviews.filter(pl.col("source").is_in(JUDGING_SOURCES))
        .select("review_id", "user_id", "item_id", "title", "text", "helpful_votes")
        .drop_nulls(["item_id", "text"])
        .join(
            signals.select("review_id", "polarity", "language", "aspects").filter(
                pl.col("polarity") >= MIN_POLARITY
            ),
            on="review_id",
        )
        .sort(
            ["item_id", "polarity", "helpful_votes", "review_id"],
            descending=[False, True, True, False],
            nulls_last=True,
        )
        .group_by("item_id", maintain_order=True)
        .head(4 * QUOTES_PER_ITEM)
        .collect()
    )
    return (
        _with_sentences(positive.drop("polarity"), _PRAISING)
        .group_by("item_id", maintain_order=True)
        .head(QUOTES_PER_ITEM)
        .select("item_id", "review_id", "user_id", "quote", "aspect", "polarity", "language")
    )


def item_complaints(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return up to `QUOTES_PER_ITEM` complaints an item, of different aspects first.

    Only texts that judge an item are quoted: what was written to the support is nobody's to read.

    Returns:
        `item_id, review_id, user_id, quote, aspect, polarity, language`, the worst first; `quote`
        is a verbatim substring of the text of a review, which may praise the item otherwise;
        `aspect` is one that the review's signals find within the sentence, and `polarity` what they
        find it says of it, at most `MAX_COMPLAINT_POLARITY`.
    """
    of_aspect = pl.element().struct.field("polarity")
    sure = pl.element().struct.field("confidence") >= MIN_ASPECT_CONFIDENCE
    worst = pl.col("aspects").list.eval(pl.when(sure).then(of_aspect)).list.min()
    negative = (
        reviews.filter(pl.col("source").is_in(JUDGING_SOURCES))
        .select("review_id", "user_id", "item_id", "title", "text", "helpful_votes")
        .drop_nulls(["item_id", "text"])
        .join(
            signals.select("review_id", "language", "aspects", _worst=worst).filter(
                pl.col("_worst") <= MAX_COMPLAINT_POLARITY
            ),
            on="review_id",
        )
        .sort(
            ["item_id", "_worst", "helpful_votes", "review_id"],
            descending=[False, False, True, False],
            nulls_last=True,
        )
        .group_by("item_id", maintain_order=True)
        .head(4 * QUOTES_PER_ITEM)
        .collect()
    )
    return (
        _with_sentences(negative, _COMPLAINING)
        .sort("item_id", "polarity", maintain_order=True)
        .with_columns(_of_aspect=pl.int_range(pl.len()).over("item_id", "aspect"))
        .sort("item_id", "_of_aspect", "polarity", maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .head(QUOTES_PER_ITEM)
        .select("item_id", "review_id", "user_id", "quote", "aspect", "polarity", "language")
    )


def _with_sentences(reviews: pl.DataFrame, tone: _Tone) -> pl.DataFrame:
    """Add `quote, aspect, polarity` to reviews that have one, each quote once an item."""
    best = [
        _best_sentence(title, text, aspects, tone)
        for title, text, aspects in reviews.select("title", "text", "aspects").iter_rows()
    ]
    schema = {"quote": pl.String(), "aspect": pl.String(), "polarity": pl.Float64()}
    return (
        reviews.hstack(pl.DataFrame(best, schema=schema, orient="row"))
        .drop_nulls("quote")
        .unique(["item_id", "quote"], keep="first", maintain_order=True)
    )


def _sentences(text: str) -> list[str]:
    """Return the sentences of a text that are long enough to say something, and not too long."""
    sentences = (match.group().strip() for match in _SENTENCE.finditer(text))
    return [sentence for sentence in sentences if _long_enough(sentence)]


def _long_enough(sentence: str) -> bool:
    weight = 3 if re.search(r"[\u4e00-\u9fff]", sentence) else 1
    return MIN_CHARACTERS <= weight * len(sentence) <= MAX_CHARACTERS * weight


def _best_sentence(
    title: str | None, text: str, aspects: list[dict[str, Any]], tone: _Tone
) -> tuple[str | None, str | None, float | None]:
    """Return the sentence that says the most of an aspect in a tone, the aspect and its polarity.

    Of equals the longest sentence, then the first. Spans of aspects are of the text that was
    scored: title and text, cleaned.
    """
    scored = review_text(title, text)
    told = [
        aspect
        for aspect in aspects
        if tone.sign * aspect["polarity"] >= tone.least
        and aspect["confidence"] >= MIN_ASPECT_CONFIDENCE
    ]
    found: list[tuple[float, int, int, str, str]] = []
    for place, sentence in enumerate(tone.sentences(text) if told else ()):
        cleaned = clean_text(sentence)
        start = scored.find(cleaned)
        for aspect in told:
            if start >= 0 and start <= aspect["start"] and aspect["end"] <= start + len(cleaned):
                strength = round(tone.sign * float(aspect["polarity"]), 6)
                found.append((strength, len(sentence), -place, sentence, aspect["aspect"]))
    if not found:
        return None, None, None
    strength, _, _, sentence, aspect = max(found)
    return sentence, aspect, tone.sign * strength
