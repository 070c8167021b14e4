"""Texts that say nearly the same, word for word.

Source: Broder 1997, "On the resemblance and containment of documents": the Jaccard similarity of
sets of word sequences. An alert has some hundred reviews, so sets are compared as they are.
"""

import re
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

SHINGLE_WORDS = 3
RESEMBLANCE = 0.5
# Below so many shingles texts are alike by chance: "I love it".
LEAST_SHINGLES = 4
MOST_TEXTS = 2000
_WORD = re.compile(r"[\u4e00-\u9fff]|\w+")


def shingles(text: str) -> set[str]:
    """Return the runs of three words of a text, Chinese characters being words of their own.

    >>> sorted(shingles("It broke after a week"))
    ['after a week', 'broke after a', 'it broke after']
    """
    words = _WORD.findall(text.casefold())
    count = len(words) - SHINGLE_WORDS + 1
    return {" ".join(words[at : at + SHINGLE_WORDS]) for at in range(count)}


def near_duplicates(texts: Sequence[str | None]) -> np.ndarray:
    """Return which texts resemble another one by at least `RESEMBLANCE`, bool, shape (N,).

    Texts of fewer than `LEAST_SHINGLES` shingles resemble none; of more than `MOST_TEXTS` only the
    last are compared.

    Args:
        texts: In order of time; null for none.
    """
    found = np.zeros(len(texts), dtype=bool)
    first = max(0, len(texts) - MOST_TEXTS)
    sets = [shingles(text or "") for text in texts[first:]]
    long = [place for place, words in enumerate(sets) if len(words) >= LEAST_SHINGLES]
    if len(long) < 2:
        return found
    index: dict[str, int] = {}
    rows, columns = [], []
    for row, place in enumerate(long):
        for words in sets[place]:
            rows.append(row)
            columns.append(index.setdefault(words, len(index)))
    held = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(long), len(index)))
    both = (held @ held.T).tocoo()
    size = np.asarray(held.sum(axis=1)).ravel()
    either = size[both.row] + size[both.col] - both.data
    alike = (both.row != both.col) & (both.data >= RESEMBLANCE * either)
    found[first + np.array(long)[np.unique(both.row[alike])]] = True
    return found
