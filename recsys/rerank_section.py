"""The section `[rerank]` of the configuration file: how a shop wants its lists rearranged."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsys.rerank_config import GREATEST_FACTOR, RerankConfig, Rule

_Share = Annotated[float, Field(ge=0, le=1)]
_Names = Annotated[list[str], Field(max_length=10_000)]


class RuleSection(BaseModel):
    """`[[rerank.rules]]`: a boost, a burial, or items to be taken out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: float = Field(ge=0, le=GREATEST_FACTOR)
    """Above 1 boosts, below 1 buries, 0 takes out."""
    item_ids: _Names = []
    brands: _Names = []
    categories: _Names = []
    """Of what it is about; an item that any of the three names."""

    @model_validator(mode="after")
    def _about_something(self) -> "RuleSection":
        self.rule()
        return self

    def rule(self) -> Rule:
        """Return the rule."""
        return Rule(
            factor=self.factor,
            item_ids=tuple(self.item_ids),
            brands=tuple(self.brands),
            categories=tuple(self.categories),
        )


class RerankSection(BaseModel):
    """`[rerank]`: see `recsys.rerank.RerankConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    diversity: _Share = RerankConfig.diversity
    """0 shows by relevance alone, 1 by unlikeness; a request may ask for its own."""
    brand_cap: int | None = Field(default=None, ge=1)
    """Most places of one brand."""
    category_cap: int | None = Field(default=None, ge=1)
    """Most places of one category."""
    exploration: _Share = RerankConfig.exploration
    """Chance of each place to be given to a fresh item; answers tell the propensity."""
    fresh_days: float = Field(default=RerankConfig.fresh_days, ge=0, allow_inf_nan=False)
    """Items known for at most so long are fresh."""
    suppress_brand: _Share = RerankConfig.suppress_brand
    """Share of relevance that a wholly bad experience of today takes from items of its brand."""
    suppress_aspect: _Share = RerankConfig.suppress_aspect
    """From items that others find wanting in what the user complained of."""
    half_life_days: float = Field(default=RerankConfig.half_life_days, gt=0, allow_inf_nan=False)
    """After so long an experience weighs half."""
    demote_drifting: _Share = RerankConfig.demote_drifting
    """Share of relevance taken from items whose reviews have turned for the worse."""
    rules: list[RuleSection] = []

    def rerank_config(self) -> RerankConfig:
        """Return what the section says but for its rules."""
        return RerankConfig(**self.model_dump(exclude={"rules"}))

    def shop_rules(self) -> tuple[Rule, ...]:
        """Return the rules."""
        return tuple(rule.rule() for rule in self.rules)


RERANK_DEFAULTS = RerankSection()
