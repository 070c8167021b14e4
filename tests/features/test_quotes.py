from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import reviews, signals

from features.quotes import (
    MAX_COMPLAINT_POLARITY,
    MIN_POLARITY,
    QUOTES_PER_ITEM,
    complaining_sentences,
    item_complaints,
    item_quotes,
    quotable_sentences,
)
from sentiment.cleaning import review_text


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("This strap is comfortable and strong.", ["This strap is comfortable and strong."]),
        ("Great strap, excellent value! I love how well it fits.", 2),
        ("Great sound, but the cable broke after a week.", []),
        ("It isn't a good fit for my guitar at all.", []),
        ("Good.", []),
        ("Good " * 40, []),
        ("I ordered this thing on a Monday morning.", []),
        ("A <b>great</b> strap that holds very well.", []),
        ("音质非常好，我很喜欢这个产品。", ["音质非常好，我很喜欢这个产品。"]),
        ("音质很好，但是线太短了，不够用。", []),
        ("", []),
    ],
)
def test_quotable_sentences(text: str, quotes: list[str] | int) -> None:
    found = quotable_sentences(text)
    assert len(found) == quotes if isinstance(quotes, int) else found == quotes


@given(st.text(alphabet="gret od.!?\n好喜欢。but", max_size=200))
def test_a_quote_is_verbatim_and_trimmed(text: str) -> None:
    for quote in quotable_sentences(text):
        assert quote in text
        assert quote == quote.strip()


def test_the_most_positive_reviews_are_quoted_once_each() -> None:
    good = "A really great strap, number {} of many."
    texts = reviews(
        *(
            {
                "review_id": f"r{n}",
                "user_id": f"u{n}",
                "item_id": "a",
                "text": good.format(n),
                "day": n,
            }
            for n in range(5)
        ),
        {"review_id": "copy", "user_id": "x", "item_id": "a", "text": good.format(4), "day": 1},
        {"review_id": "sad", "user_id": "y", "item_id": "b", "text": good.format(1), "day": 1},
        {
            "review_id": "mixed",
            "user_id": "z",
            "item_id": "c",
            "text": "Great, but small.",
            "day": 1,
        },
        {"review_id": "shop", "user_id": "z", "item_id": None, "text": good.format(1), "day": 1},
        {
            "review_id": "help",
            "user_id": "h",
            "item_id": "a",
            "text": good.format(9),
            "source": "support",
            "day": 1,
        },
    )
    polarity = {f"r{n}": 0.5 + n / 10 for n in range(5)}
    polarity |= {"copy": 0.85, "sad": MIN_POLARITY - 0.01, "mixed": 0.9, "shop": 1.0, "help": 1.0}
    felt = signals(polarity, aspects={name: [opinion("strap", 15)] for name in polarity})
    quotes = item_quotes(texts.lazy(), felt.lazy())
    assert quotes["item_id"].to_list() == ["a"] * QUOTES_PER_ITEM
    assert quotes["review_id"].to_list() == ["r4", "r3", "r2"]
    assert quotes["user_id"].to_list() == ["u4", "u3", "u2"]
    assert quotes["quote"].to_list() == [good.format(n) for n in (4, 3, 2)]
    assert quotes["aspect"].to_list() == ["strap"] * 3


def opinion(
    aspect: str, start: int, polarity: float = 0.75, confidence: float = 1.0
) -> dict[str, Any]:
    return {
        "aspect": aspect,
        "polarity": polarity,
        "confidence": confidence,
        "start": start,
        "end": start + len(aspect),
    }


TEXT = "Nice case, it looks good.  The strap is really <b>great</b>. The sound is great too!"
SCORED = "Solid. Nice case, it looks good. The strap is really great . The sound is great too!"


def quoted(*aspects: dict[str, Any]) -> list[tuple[str, str, float]]:
    texts = reviews({"review_id": "r", "item_id": "a", "title": "Solid", "text": TEXT, "day": 1})
    quotes = item_quotes(texts.lazy(), signals({"r": 0.9}, aspects={"r": list(aspects)}).lazy())
    return quotes.select("quote", "aspect", "polarity").rows()


def test_a_quote_is_of_the_sentence_that_praises_an_aspect_most() -> None:
    assert review_text("Solid", TEXT) == SCORED
    case, sound = SCORED.index("case"), SCORED.index("sound")
    assert quoted(opinion("case", case, 0.5), opinion("sound", sound)) == [
        ("The sound is great too!", "sound", 0.75)
    ]
    assert quoted(opinion("case", case, 0.5)) == [("Nice case, it looks good.", "case", 0.5)]


@pytest.mark.parametrize(
    "aspects",
    [
        [],
        [opinion("solid", 0)],
        [opinion("case", SCORED.index("case"), polarity=-0.5)],
        [opinion("case", SCORED.index("case"), polarity=0.1)],
        [opinion("case", SCORED.index("case"), confidence=0.4)],
        [opinion("strap", SCORED.index("strap"))],
    ],
    ids=["none", "of the title", "complaint", "lukewarm", "unsure", "markup in the sentence"],
)
def test_without_praise_of_an_aspect_in_it_no_sentence_is_quoted(
    aspects: list[dict[str, Any]],
) -> None:
    assert quoted(*aspects) == []


def test_nothing_to_quote_is_an_empty_frame() -> None:
    assert item_quotes(reviews().lazy(), signals({}).lazy()).is_empty()


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("The cable broke after a week.", ["The cable broke after a week."]),
        ("Great sound, but the cable broke.", ["Great sound, but the cable broke."]),
        ("The sound is great and I love it.", []),
        ("The hinge squeaks every time I open it.", ["The hinge squeaks every time I open it."]),
        ("Bad <b>cable</b> that broke very soon.", []),
        ("Bad.", []),
        ("线很短，而且容易断，不够用。", ["线很短，而且容易断，不够用。"]),
        ("", []),
    ],
)
def test_complaining_sentences(text: str, quotes: list[str]) -> None:
    assert complaining_sentences(text) == quotes


@given(st.text(alphabet="gret od.!?\n差喜欢。but<[", max_size=200))
def test_a_complaint_is_verbatim_and_trimmed(text: str) -> None:
    for quote in complaining_sentences(text):
        assert quote in text
        assert quote == quote.strip()


BROKEN = "The {} of it broke within a week."


def complaint(review_id: str, aspect: str, item_id: str | None = "a", **more: Any) -> dict:
    text = BROKEN.format(aspect)
    return {
        "review_id": review_id,
        "user_id": f"by-{review_id}",
        "item_id": item_id,
        "text": text,
        "day": 1,
    } | more


def complained(*rows: dict[str, Any], polarity: dict[str, float]) -> pl.DataFrame:
    """Complaints of rows whose one aspect begins after "The ", and is as bad as `polarity` says."""
    aspects = {
        row["review_id"]: [opinion(row["text"].split()[1], 4, polarity[row["review_id"]])]
        for row in rows
    }
    # Of the whole review: a complaint counts also where somebody is glad otherwise.
    felt = signals({row["review_id"]: 0.6 for row in rows}, aspects=aspects)
    return item_complaints(reviews(*rows).lazy(), felt.lazy())


def test_a_complaint_names_its_aspect_author_and_review() -> None:
    found = complained(complaint("r", "clasp"), polarity={"r": -0.75})
    assert found.rows() == [
        ("a", "r", "by-r", "The clasp of it broke within a week.", "clasp", -0.75, "en")
    ]


def test_different_aspects_come_first_then_the_worst() -> None:
    rows = [
        *(complaint(f"c{n}", "clasp", text=f"The clasp broke {n} times a week.") for n in range(3)),
        complaint("s", "strap"),
    ]
    found = complained(*rows, polarity={"c0": -0.7, "c1": -0.9, "c2": -0.8, "s": -0.6})
    assert found["review_id"].to_list() == ["c1", "s", "c2"]
    assert len(found) == QUOTES_PER_ITEM


def test_the_same_words_are_complained_once() -> None:
    rows = [complaint("one", "clasp"), complaint("two", "clasp")]
    found = complained(*rows, polarity={"one": -0.7, "two": -0.9})
    assert found["review_id"].to_list() == ["two"]


@pytest.mark.parametrize(
    "row",
    [
        complaint("r", "clasp", source="support"),
        complaint("r", "clasp", source="question"),
        complaint("r", "clasp", item_id=None),
        complaint("r", "clasp", text="The clasp is great and I love it."),
    ],
    ids=["support", "question", "no item", "praise"],
)
def test_what_nobody_complained_of_in_public_is_no_complaint(row: dict[str, Any]) -> None:
    assert complained(row, polarity={"r": -0.9}).is_empty()


def test_what_is_hardly_bad_is_no_complaint() -> None:
    row, least = complaint("r", "clasp"), MAX_COMPLAINT_POLARITY
    assert complained(row, polarity={"r": least + 0.01}).is_empty()
    assert len(complained(row, polarity={"r": least})) == 1


def test_nothing_to_complain_of_is_an_empty_frame_with_the_columns_of_quotes() -> None:
    complaints = item_complaints(reviews().lazy(), signals({}).lazy())
    assert complaints.is_empty()
    assert complaints.schema == item_quotes(reviews().lazy(), signals({}).lazy()).schema
