"""Why an item is recommended: a sentence for the user, and a quote from another's review."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

# A review above this polarity says that the buyer liked the item.
LIKED = 0.2

_BY_SOURCE = {
    "browsed": "Like what you looked at",
    "text": "Similar in description and reviews to what you bought",
    "two_tower": "Matches your taste",
    "linear": "Chosen by people who bought what you bought",
    "item_to_item": "Chosen by people who bought what you bought",
    "next_item": "Often bought next by people like you",
    "two_steps": "Often bought next by people like you",
    "popular_recent": "Popular right now",
    "fresh": "New in the shop",
}
_IMPERSONAL = ("popular_recent", "fresh")
FOR_STRANGERS = "Popular with our customers"
_OTHERWISE = "Picked for you"


class Quoted(NamedTuple):
    """A sentence of a review, with the fields of `serving.schema.Quote`."""

    text: str
    review_id: str
    aspect: str | None
    polarity: float


_QUOTED = ("quote", "review_id", "aspect", "polarity")


@dataclass(frozen=True)
class Quotes:
    """Sentences of reviews by item, in the table's order for each.

    Attributes:
        spans: First row and the row after the last one of each item.
        authors: Ids of users, by row.
        quoted: Columns of `Quoted`, by row.
    """

    spans: Mapping[str, tuple[int, int]]
    authors: list[str]
    quoted: tuple[list[Any], ...]

    @classmethod
    def of(cls, quotes: pl.DataFrame) -> "Quotes":
        """Build from rows of the table."""
        rows = quotes.select("item_id", "user_id", *_QUOTED).sort("item_id", maintain_order=True)
        runs = rows.select(pl.col("item_id").rle()).unnest("item_id")
        ends = runs["len"].cum_sum()
        spans = zip((ends - runs["len"]).to_list(), ends.to_list(), strict=True)
        return cls(
            spans=dict(zip(runs["value"].to_list(), spans, strict=True)),
            authors=rows["user_id"].to_list(),
            quoted=tuple(rows[name].to_list() for name in _QUOTED),
        )

    def __len__(self) -> int:
        """Return the number of quotes."""
        return len(self.authors)

    def on(self, item_id: str) -> list[tuple[str, Quoted]]:
        """Return authors and quotes on an item, none of an unknown one."""
        start, end = self.spans.get(item_id, (0, 0))
        columns = [column[start:end] for column in self.quoted]
        return list(zip(self.authors[start:end], map(Quoted, *columns), strict=True))

    @property
    def review_ids(self) -> list[str]:
        """Reviews that may be quoted, by row."""
        return self.quoted[_QUOTED.index("review_id")]


def quote_from_another(
    quotes: Quotes,
    item_id: str,
    user_id: str | None,
    *,
    erased: Container[str] = (),
    wrong: Container[str] = (),
    aspects: Container[str] = (),
) -> Quoted | None:
    """Return the best quote on an item, or None.

    Args:
        quotes: Of all items.
        item_id: What it is on.
        user_id: Whose own words it must not be.
        erased: Authors of whom nothing is to be shown any more.
        wrong: Reviews that must not be quoted.
        aspects: Quotes on one of these come first.
    """
    allowed = [
        quote
        for author, quote in quotes.on(item_id)
        if author != user_id and author not in erased and quote.review_id not in wrong
    ]
    wanted = (quote for quote in allowed if quote.aspect is not None and quote.aspect in aspects)
    return next(wanted, allowed[0] if allowed else None)


def reason_text(*, source: str, because: str | None, felt: float, is_personal: bool) -> str:
    """Say why.

    Args:
        source: The candidate source that ranked the item highest.
        because: Title of the bought item that speaks most for it, or None.
        felt: Polarity of the user's own review of that item, NaN without one.
        is_personal: Whether anything is known of the user.

    Returns:
        A sentence without a full stop.
    """
    if because is not None:
        verb = "liked" if felt > LIKED else "bought"
        return f"Because you {verb} {because}"
    if not is_personal:
        return _BY_SOURCE[source] if source in _IMPERSONAL else FOR_STRANGERS
    return _BY_SOURCE.get(source, _OTHERWISE)
