"""Sentences worth quoting: what a satisfied buyer said of an item, verbatim."""

import re

import polars as pl

MIN_POLARITY = 0.5
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


def quotable_sentences(text: str) -> list[str]:
    """Return the sentences of a review that may stand alone, each a verbatim substring.

    >>> quotable_sentences("It fits well and sounds great. But the box was broken.")
    ['It fits well and sounds great.']
    """
    sentences = (match.group().strip() for match in _SENTENCE.finditer(text))
    return [
        sentence
        for sentence in sentences
        if _long_enough(sentence) and _PRAISE.search(sentence) and not _DOUBTFUL.search(sentence)
    ]


def item_quotes(reviews: pl.LazyFrame, signals: pl.LazyFrame) -> pl.DataFrame:
    """Return up to `QUOTES_PER_ITEM` quotes an item, the most positive reviews first.

    Returns:
        `item_id, review_id, user_id, quote, polarity, language`; `quote` is a verbatim substring of
        the review's text, of a review whose polarity is at least `MIN_POLARITY`.
    """
    positive = (
        reviews.select("review_id", "user_id", "item_id", "text", "helpful_votes")
        .drop_nulls(["item_id", "text"])
        .join(
            signals.select("review_id", "polarity", "language").filter(
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
        .head(3 * QUOTES_PER_ITEM)
        .collect()
    )
    best = [_best_sentence(text) for text in positive["text"]]
    return (
        positive.with_columns(quote=pl.Series(best, dtype=pl.String))
        .drop_nulls("quote")
        .unique(["item_id", "quote"], keep="first", maintain_order=True)
        .group_by("item_id", maintain_order=True)
        .head(QUOTES_PER_ITEM)
        .select("item_id", "review_id", "user_id", "quote", "polarity", "language")
    )


def _long_enough(sentence: str) -> bool:
    weight = 3 if re.search(r"[\u4e00-\u9fff]", sentence) else 1
    return MIN_CHARACTERS <= weight * len(sentence) <= MAX_CHARACTERS * weight


def _best_sentence(text: str) -> str | None:
    """Return the longest quotable sentence, the first of equals."""
    sentences = quotable_sentences(text)
    return max(sentences, key=len) if sentences else None
