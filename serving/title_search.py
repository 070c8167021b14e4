"""Which items a visitor's search is about: words of titles, brands and categories.

Not a search engine: what was searched for counts as looked at, so that recommendations go with it.

Shape suffixes: W words, P pairs of a word and an item that has it.
"""

from dataclasses import dataclass
from math import log1p

import numpy as np
import polars as pl

# Chinese is written without spaces: each of its characters is a word of its own.
_WORD = r"[\u4e00-\u9fff]|[\p{L}\p{N}&&[^\u4e00-\u9fff]]+"
_MOST_WORDS = 12
# A word that more items have says little, and costs much.
_MOST_ITEMS = 20_000


@dataclass(frozen=True, kw_only=True)
class TitleSearch:
    """Items by the words that stand in their title, brand and categories.

    Attributes:
        places: Of each word, by it.
        start_W: Where the items of each word begin, one more at the end, int64, shape (W + 1,).
        items_P: Items of each word, int32.
        num_items: In all.
    """

    places: dict[str, int]
    start_W: np.ndarray
    items_P: np.ndarray
    num_items: int

    @classmethod
    def of(cls, profiles: pl.DataFrame) -> "TitleSearch":
        """Build from `title, brand, categories` of items in index order."""
        text = pl.concat_str(
            pl.col("title"),
            pl.col("brand"),
            pl.col("categories").list.join(" "),
            separator=" ",
            ignore_nulls=True,
        )
        items_of = (
            profiles.lazy()
            .select(word=_words(text).list.unique(), item=pl.int_range(pl.len(), dtype=pl.Int32))
            .explode("word", empty_as_null=False, keep_nulls=False)
            .group_by("word")
            .agg("item")
            .collect()
        )
        counts_W = items_of["item"].list.len().to_numpy()
        return cls(
            places={word: place for place, word in enumerate(items_of["word"].to_list())},
            start_W=np.concatenate([[0], np.cumsum(counts_W, dtype=np.int64)]),
            items_P=items_of["item"].explode(empty_as_null=False, keep_nulls=False).to_numpy(),
            num_items=len(profiles),
        )

    def best(self, query: str, most: int) -> list[int]:
        """Return the items that a search is about most, the best first.

        An item's score is the share of the search's words that it has, rare words counting more:
        each by its inverse document frequency. An item that has less than half is left out, and so
        are words that more than 20,000 items have.
        """
        asked = pl.select(word=_words(pl.lit(query)))["word"].item().unique(maintain_order=True)
        found, weights = [], []
        for word in asked.head(_MOST_WORDS).to_list():
            place = self.places.get(word)
            items = self.items_P[:0]
            if place is not None:
                items = self.items_P[self.start_W[place] : self.start_W[place + 1]]
            if len(items) <= _MOST_ITEMS:
                found.append(items)
                weights.append(log1p(self.num_items / (1 + len(items))))
        if not any(len(items) for items in found):
            return []
        items, place = np.unique(np.concatenate(found), return_inverse=True)
        each = np.repeat(weights, [len(of_word) for of_word in found])
        share = np.bincount(place, each) / sum(weights)
        best = np.lexsort((items, -share))[:most]
        return items[best[share[best] >= 0.5]].tolist()


def _words(text: pl.Expr) -> pl.Expr:
    """Return the words of a text in small letters, a list of strings."""
    return text.str.to_lowercase().str.extract_all(_WORD)
