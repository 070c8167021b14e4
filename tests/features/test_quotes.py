import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import reviews, signals

from features.quotes import MIN_POLARITY, QUOTES_PER_ITEM, item_quotes, quotable_sentences


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
    )
    polarity = {f"r{n}": 0.5 + n / 10 for n in range(5)}
    felt = signals(polarity | {"copy": 0.85, "sad": MIN_POLARITY - 0.01, "mixed": 0.9, "shop": 1.0})
    quotes = item_quotes(texts.lazy(), felt.lazy())
    assert quotes["item_id"].to_list() == ["a"] * QUOTES_PER_ITEM
    assert quotes["review_id"].to_list() == ["r4", "r3", "r2"]
    assert quotes["user_id"].to_list() == ["u4", "u3", "u2"]
    assert quotes["quote"].to_list() == [good.format(n) for n in (4, 3, 2)]


def test_nothing_to_quote_is_an_empty_frame() -> None:
    assert item_quotes(reviews().lazy(), signals({}).lazy()).is_empty()
