"""What a request prefers or avoids, in words, as aspects that buyers speak of.

Shape suffixes: I items.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp

from sentiment.aspects import AspectList

_MOST_WORDS = 4


@dataclass(frozen=True, kw_only=True)
class ItemAspects:
    """What is said of aspects, item by item.

    Attributes:
        of_aspect: Item indices and the polarity to be expected of each, in [-1, 1], by aspect.
        spoken: Aspects that a word or phrase may mean, by it.
    """

    of_aspect: Mapping[str, tuple[np.ndarray, np.ndarray]]
    spoken: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls, table: pl.DataFrame, index: Mapping[str, int], aspects: AspectList
    ) -> "ItemAspects":
        """Build from `item_id, aspect, polarity` and the words of canonical aspects."""
        rows: defaultdict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        for item_id, aspect, polarity in table.select("item_id", "aspect", "polarity").iter_rows():
            if item_id in index:
                rows[aspect][0].append(index[item_id])
                rows[aspect][1].append(polarity)
        spoken: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for of_kind in aspects.aspects.values():
            for aspect in of_kind:
                for word in (aspect.name, *sorted(aspect.words | aspect.implied_by)):
                    if aspect.name in rows:
                        spoken[word.lower()][aspect.name] = None
        for name in rows:
            # A word that is an aspect itself means that one alone.
            spoken[name.lower()] = {name: None}
        return cls(
            of_aspect={
                name: (np.array(items, dtype=np.int64), np.array(polarity))
                for name, (items, polarity) in rows.items()
            },
            spoken={word: tuple(names) for word, names in spoken.items()},
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """Column of each aspect in `matrix`."""
        return {name: place for place, name in enumerate(self.of_aspect)}

    def matrix(self, num_items: int) -> sp.csr_matrix:
        """Return the polarity to be expected of each aspect of each item, shape (I, A)."""
        rows = [items for items, _ in self.of_aspect.values()]
        if not rows:
            return sp.csr_matrix((num_items, 0))
        columns = np.repeat(np.arange(len(rows)), [len(items) for items in rows])
        polarity = np.concatenate([told for _, told in self.of_aspect.values()])
        shape = (num_items, len(rows))
        return sp.csr_matrix((polarity, (np.concatenate(rows), columns)), shape=shape)

    def meant_by(self, wish: str) -> tuple[str, ...]:
        """Return the aspects that a wish is about; none where no buyer speaks of them.

        The whole wish counts, else every phrase in it: "loud fan" is about fans, and what is loud.
        """
        text = wish.lower().strip()
        if text in self.spoken:
            return self.spoken[text]
        words = text.split()
        phrases = (
            " ".join(words[start : start + length])
            for length in range(min(_MOST_WORDS, len(words)), 0, -1)
            for start in range(len(words) - length + 1)
        )
        found = {name: None for phrase in phrases for name in self.spoken.get(phrase, ())}
        # Chinese is written without spaces.
        found |= {
            name: None for word in self._chinese if word in text for name in self.spoken[word]
        }
        return tuple(found)

    @cached_property
    def _chinese(self) -> Sequence[str]:
        return [word for word in self.spoken if not word.isascii()]

    def factors(
        self, prefer: Iterable[str], avoid: Iterable[str], num_items: int
    ) -> tuple[np.ndarray, list[str]]:
        """Return what wishes make of each item's relevance, and the wishes that mean nothing here.

        An item that buyers praise for a preferred aspect gains up to its whole relevance, one they
        complain of loses it; of an avoided aspect only complaints count. Of several aspects in one
        wish the one most spoken for or against decides.

        Args:
            prefer: Wishes.
            avoid: Wishes.
            num_items: I.

        Returns:
            Factors in 0..2 for each wish, multiplied, float64, shape (I,); unmatched wishes.
        """
        factor_I = np.ones(num_items)
        unmatched = []
        for wishes, is_preferred in ((prefer, True), (avoid, False)):
            for wish in wishes:
                names = self.meant_by(wish)
                if not names:
                    unmatched.append(wish)
                    continue
                said_I = np.zeros(num_items)
                for name in names:
                    items, polarity = self.of_aspect[name]
                    told = polarity if is_preferred else np.minimum(polarity, 0.0)
                    stronger = np.abs(told) > np.abs(said_I[items])
                    said_I[items[stronger]] = told[stronger]
                factor_I *= 1.0 + said_I
        return factor_I, unmatched
