"""Long texts in windows that an encoder can read, cut between sentences where that is possible."""

from collections.abc import Sequence


def token_windows(
    num_tokens: int, sentence_starts: Sequence[int], *, most: int
) -> list[tuple[int, int]]:
    """Cut a text into windows of whole sentences.

    Args:
        num_tokens: Of the text.
        sentence_starts: Token at which each sentence begins, ascending.
        most: Tokens of a window; a sentence that is longer is cut.

    Returns:
        Start and end token of each window; together they are the whole text.

    >>> token_windows(10, [0, 3, 7], most=6)
    [(0, 3), (3, 7), (7, 10)]
    >>> token_windows(10, [0, 7], most=4)
    [(0, 4), (4, 7), (7, 10)]
    """
    if num_tokens <= most:
        return [(0, num_tokens)]
    windows, start = [], 0
    ends = [*(s for s in sentence_starts if 0 < s < num_tokens), num_tokens]
    place = 0
    while start < num_tokens:
        end = start
        while place < len(ends) and ends[place] - start <= most:
            end = ends[place]
            place += 1
        if end == start:
            end = min(start + most, num_tokens)
        windows.append((start, end))
        start = end
        while place < len(ends) and ends[place] <= start:
            place += 1
    return windows
