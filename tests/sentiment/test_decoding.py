from hypothesis import given
from hypothesis import strategies as st

from sentiment.decoding import tag_spans, whole_words
from sentiment.review_model import BEGIN, INSIDE, NUM_TAGS, OUTSIDE

TOKENS = st.lists(st.tuples(st.integers(0, NUM_TAGS - 1), st.booleans()), max_size=20)


def test_spans_by_hand() -> None:
    tags = [BEGIN, OUTSIDE, BEGIN, INSIDE, INSIDE, INSIDE, OUTSIDE, INSIDE, BEGIN]
    special = [True, False, False, False, True, False, False, False, False]
    assert tag_spans(tags, special) == [(2, 4), (8, 9)]
    assert tag_spans([], []) == []


@given(TOKENS)
def test_every_real_beginning_is_a_span(tokens: list[tuple[int, bool]]) -> None:
    tags, special = [tag for tag, _ in tokens], [is_special for _, is_special in tokens]
    spans = tag_spans(tags, special)
    begins = [i for i, (tag, is_special) in enumerate(tokens) if tag == BEGIN and not is_special]
    assert [start for start, _ in spans] == begins
    for start, end in spans:
        assert all(tag == INSIDE for tag in tags[start + 1 : end])
        assert not any(special[start:end])
        assert end == len(tags) or tags[end] != INSIDE or special[end]


def test_a_part_of_a_word_becomes_the_word() -> None:
    words = [None, 0, 1, 1, 1, 2, 2, None]
    assert whole_words([(3, 4)], words) == [(2, 5)]
    assert whole_words([(2, 3), (4, 6)], words) == [(2, 7)]
    assert whole_words([(1, 2), (5, 6)], words) == [(1, 2), (5, 7)]
    assert whole_words([], words) == []
