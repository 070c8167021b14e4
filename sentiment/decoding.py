"""From what the heads of a review model say to spans of a text."""

from collections.abc import Sequence

from sentiment.review_model import BEGIN, INSIDE


def tag_spans(tags: Sequence[int], is_special: Sequence[bool]) -> list[tuple[int, int]]:
    """Return the token spans that tags mark.

    A span begins at BEGIN and goes on over INSIDE; INSIDE without a beginning marks nothing, and a
    special token ends a span.

    Args:
        tags: Most likely tag of each token.
        is_special: Which tokens are `[CLS]`, `[SEP]` or padding.

    >>> tag_spans([0, 1, 2, 0, 1, 1], [True, False, False, False, False, False])
    [(1, 3), (4, 5), (5, 6)]
    """
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for token, (tag, special) in enumerate(zip(tags, is_special, strict=True)):
        goes_on = start is not None and tag == INSIDE and not special
        if start is not None and not goes_on:
            spans.append((start, token))
            start = None
        if tag == BEGIN and not special:
            start = token
    if start is not None:
        spans.append((start, len(tags)))
    return spans


def whole_words(
    spans: Sequence[tuple[int, int]], word_of_token: Sequence[int | None]
) -> list[tuple[int, int]]:
    """Widen token spans to the words they touch, and join those that come to overlap.

    Args:
        spans: Token spans in order.
        word_of_token: Number of each token's word, None for special tokens.

    >>> whole_words([(2, 3)], [None, 0, 1, 1, None])
    [(2, 4)]
    """
    widened: list[tuple[int, int]] = []
    for start, end in spans:
        while start > 0 and _same_word(word_of_token, start - 1, start):
            start -= 1
        while end < len(word_of_token) and _same_word(word_of_token, end - 1, end):
            end += 1
        if widened and start < widened[-1][1]:
            start = widened.pop()[0]
        widened.append((start, end))
    return widened


def _same_word(word_of_token: Sequence[int | None], one: int, other: int) -> bool:
    return word_of_token[one] is not None and word_of_token[one] == word_of_token[other]
