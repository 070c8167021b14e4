from hypothesis import given
from hypothesis import strategies as st

from sentiment.windows import token_windows


@given(st.integers(0, 200), st.lists(st.integers(0, 220), max_size=20), st.integers(1, 40))
def test_windows_are_the_text_in_order_and_none_is_too_long(
    num_tokens: int, starts: list[int], most: int
) -> None:
    windows = token_windows(num_tokens, sorted(starts), most=most)
    assert [token for a, b in windows for token in range(a, b)] == list(range(num_tokens))
    assert all(b - a <= most for a, b in windows)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_no_sentence_that_fits_is_cut(lengths: list[int]) -> None:
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    windows = token_windows(sum(lengths), starts, most=10)
    assert {a for a, _ in windows} <= set(starts)
