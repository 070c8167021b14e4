"""How lists are rearranged; free of all libraries, so that the command line reads it at once."""

from dataclasses import dataclass

GREATEST_FACTOR = 1e6


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A wish of the shop: relevance of some items times a factor.

    Attributes:
        factor: Above 1 boosts, below 1 buries, 0 takes the items out; at most a million.
        item_ids: Of these items; names that the catalogue does not have match nothing.
        brands: Of items of these brands.
        categories: Of items in any of these categories.
    """

    factor: float
    item_ids: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the range, and that the rule is about something."""
        if not 0 <= self.factor <= GREATEST_FACTOR:
            raise ValueError(f"factor must be within 0..{GREATEST_FACTOR:g}, not {self.factor}")
        if not (self.item_ids or self.brands or self.categories):
            raise ValueError("a rule names items, brands or categories")


@dataclass(frozen=True, kw_only=True)
class RerankConfig:
    """How a list is rearranged; with the defaults only bad experiences count.

    Attributes:
        diversity: Weight of being unlike what stands above, 0 (relevance alone) to 1.
        brand_cap: Most places of one brand; None for any. Items without a brand are not counted.
        category_cap: Most places of one category, of each item its rarest; None for any.
        exploration: Chance of each place to be given to a fresh item, 0 to 1, as long as candidates
            are left.
        fresh_days: Items known for at most so long are fresh.
        suppress_brand: Share of relevance that a wholly bad experience of today takes from items of
            the same brand.
        suppress_aspect: From items that others find wanting in what the user complained of.
        half_life_days: After so long an experience weighs half.
        demote_drifting: Share of relevance taken from items whose reviews turned for the worse.
    """

    diversity: float = 0.0
    brand_cap: int | None = None
    category_cap: int | None = None
    exploration: float = 0.0
    fresh_days: float = 30.0
    suppress_brand: float = 0.3
    suppress_aspect: float = 0.2
    half_life_days: float = 365.0
    demote_drifting: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in (
            "diversity",
            "exploration",
            "suppress_brand",
            "suppress_aspect",
            "demote_drifting",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within 0..1, not {getattr(self, name)}")
        for name in ("brand_cap", "category_cap"):
            cap = getattr(self, name)
            if cap is not None and cap < 1:
                raise ValueError(f"{name} must be at least 1, not {cap}")
        if not self.half_life_days > 0:
            raise ValueError(f"half_life_days must be above 0, not {self.half_life_days}")
        if not self.fresh_days >= 0:
            raise ValueError(f"fresh_days must be 0 or above, not {self.fresh_days}")
