"""Why an item is recommended: a sentence for the user, and a quote from another's review."""

import math
from collections.abc import Callable, Container, Mapping
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
# Cosine of centred texts, ratio of prices, places of a ranking: within them a sentence is true.
_ALIKE, _NEAR_PRICE, _POPULAR = 0.2, 1.5, 50


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


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a reason may speak of.

    Attributes:
        says: The item's features by name, as `recsys.pair_features.feature_names` has them.
        because: Title of the bought item that speaks most for it, or None.
        felt: Polarity of the user's own review of that one, NaN without one.
        praised: Aspect that another buyer praises in the quote, or None.
    """

    says: Mapping[str, float]
    because: str | None
    felt: float
    praised: str | None


def reason_of_group(groups: Mapping[str, float], told: Told) -> tuple[str, str] | None:
    """Return the group of features that adds most to an item's score, and a sentence that names it.

    A group may add something without its sentence being true: an item can gain from a price that is
    merely less far off. Then the next one is named.

    Args:
        groups: What each of `recsys.feature_groups.GROUPS` adds.
        told: What may be spoken of.

    Returns:
        None where no group that adds something has a true sentence.
    """
    most_first = sorted(groups, key=lambda group: (-groups[group], group))
    for group in most_first:
        if groups[group] <= 0:
            break
        sentence = _OF_GROUP[group](told) if group in _OF_GROUP else None
        if sentence is not None:
            return group, sentence
    return None


def _of_bought(told: Told) -> str | None:
    if told.because is not None:
        return reason_text(
            source="item_to_item", because=told.because, felt=told.felt, is_personal=True
        )
    tables = ("item_to_item", "next_item", "two_steps", "linear")
    is_told = any(told.says.get(f"score:{source}", 0.0) > 0 for source in tables)
    return _BY_SOURCE["item_to_item"] if is_told else None


def _of_taste(told: Told) -> str | None:
    is_known = told.says["user:history_length"] > 0 or told.says.get("score:browsed", 0.0) > 0
    return _BY_SOURCE["two_tower"] if is_known else None


def _of_text(told: Told) -> str | None:
    return _BY_SOURCE["text"] if told.says["pair:text_max"] > _ALIKE else None


def _of_category(told: Told) -> str | None:
    return "From a category you buy in" if told.says["pair:category_share"] > 0 else None


def _of_brand(told: Told) -> str | None:
    if told.says["pair:brand_share"] <= 0:
        return None
    is_liked = told.says["pair:felt_brand"] > LIKED
    return "From a brand you like" if is_liked else "From a brand you buy"


def _of_price(told: Told) -> str | None:
    says = told.says
    is_known = says["item:price_cents"] > 0 and says["user:history_length"] > 0
    # The gap is kept in log cents / 5.
    is_near = 5.0 * abs(says["pair:price_gap"]) < math.log(_NEAR_PRICE)
    return "Priced like what you buy" if is_known and is_near else None


def _of_browsing(told: Told) -> str | None:
    if told.says["pair:browse_strength"] > 0:
        return "You looked at it"
    return _BY_SOURCE["browsed"] if told.says.get("score:browsed", 0.0) > 0 else None


def _of_popularity(told: Told) -> str | None:
    rank = told.says.get("log_rank:popular_recent", math.inf)
    return _BY_SOURCE["popular_recent"] if rank < math.log1p(_POPULAR) else None


def _of_satisfaction(told: Told) -> str | None:
    if told.says["item:stars_smoothed"] <= 0 or told.says["item:polarity_smoothed"] < 0:
        return None
    if told.praised is not None:
        return f"Buyers praise its {told.praised}"
    return "Buyers are happy with it"


_OF_GROUP: dict[str, Callable[[Told], str | None]] = {
    "bought": _of_bought,
    "taste": _of_taste,
    "text": _of_text,
    "category": _of_category,
    "brand": _of_brand,
    "price": _of_price,
    "browsing": _of_browsing,
    "popularity": _of_popularity,
    "satisfaction": _of_satisfaction,
}
