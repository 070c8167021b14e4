"""Levels of groups of few observations, borrowed where a group has none of its own.

A group is shrunk towards what is expected of it: the mean of all, moved by what its parents (a
category, a brand) are known to be off. To a parent each of its groups is one observation, weighted
by how well it is known: a hundred reviews of one item say little of the other items of its brand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.feature import Level
from features.shrinkage import GroupPrior, Moments, group_prior

EVERYTHING = "shop"
_EXPECTED = "_expected"
_BEYOND = Moments(count="_count", total="_beyond", squares="_beyond_squares")


def with_levels(
    groups: pl.DataFrame, levels: Sequence[Level], key: str = "", parents: Sequence[str] = ()
) -> pl.DataFrame:
    """Add what each level offers (see `features.feature.Level`) to each group.

    Args:
        groups: See `level_basis`.
        levels: What to add.
        key: Column of the groups' key; needed with parents only.
        parents: Columns, the widest first.
    """
    for level in levels:
        groups = level_basis(groups, level, key, parents).offered(groups)
    return groups


def level_columns(level: Level, prior: GroupPrior) -> list[pl.Expr]:
    """Return what a level offers of groups without parents, whose prior is known."""
    own = level.moments
    low, high = prior.interval_of(own, level.low, level.high)
    offers = {
        "level": prior.mean_of(own).clip(level.low, level.high),
        "low": low,
        "high": high,
        "own_share": prior.weight_of(own),
        "borrowed_from": pl.when(pl.col(own.count) == 0).then(pl.lit(EVERYTHING)),
        "noise": pl.lit(prior.within**0.5),
    }
    return [offer.alias(level.column(name)) for name, offer in offers.items()]  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class LevelBasis:
    """What a level borrows from, as it is known at a time.

    Attributes:
        level: What it is the basis of.
        prior: Of the groups' own means, or with `expected` of what they are beyond it.
        mean: Expected of a group that is not in `expected`; None where nothing was observed at all.
        expected: The groups' key, `_expected` and `_lender`; None where nothing is borrowed from
            parents.
    """

    level: Level
    prior: GroupPrior
    mean: float | None
    expected: pl.DataFrame | None = None

    def offered(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Add what the level offers to groups with totals of their own, possibly later ones."""
        own, columns = self.level.moments, groups.columns
        groups = groups.with_columns(pl.col(own.count, own.total, own.squares).fill_null(0))
        if self.expected is None:
            return groups.with_columns(level_columns(self.level, self.prior))
        key = self.expected.columns[0]
        groups = groups.join(self.expected, on=key, how="left", maintain_order="left")
        groups = groups.with_columns(
            pl.col(_EXPECTED).fill_null(self.mean), pl.col("_lender").fill_null(EVERYTHING)
        )
        groups = _beyond_expected(groups, own)
        level, prior, expected = self.level, self.prior, pl.col(_EXPECTED)
        reach = level.high - level.low
        low, high = prior.interval_of(_BEYOND, -reach, reach)
        borrowed = pl.when(pl.col(own.count) == 0).then(pl.col("_lender"))
        return groups.select(
            *columns,
            (expected + prior.mean_of(_BEYOND))
            .clip(level.low, level.high)
            .alias(level.column("level")),
            (expected + low).clip(level.low, level.high).alias(level.column("low")),
            (expected + high).clip(level.low, level.high).alias(level.column("high")),
            prior.weight_of(_BEYOND).alias(level.column("own_share")),
            borrowed.alias(level.column("borrowed_from")),
            pl.lit(prior.within**0.5).alias(level.column("noise")),
        )


def level_basis(
    groups: pl.DataFrame, level: Level, key: str = "", parents: Sequence[str] = ()
) -> LevelBasis:
    """Estimate what groups borrow.

    Args:
        groups: One row a group, with the totals of the level's measures, null where nothing was
            observed, and a column a parent, null where a group has none.
        level: Of what.
        key: Column of the groups' key; needed with parents only.
        parents: Columns, the widest first.
    """
    own = level.moments
    groups = groups.with_columns(pl.col(own.count, own.total, own.squares).fill_null(0))
    of_all = group_prior(groups, own)
    if of_all.mean is None or not parents:
        return LevelBasis(level=level, prior=of_all, mean=of_all.mean)
    groups = groups.with_columns(pl.lit(of_all.mean).alias(_EXPECTED), _lender=pl.lit(EVERYTHING))
    for parent in parents:
        groups = _towards_parent(groups, own, of_all, parent)
    prior = group_prior(_beyond_expected(groups, own), _BEYOND)
    expected = groups.select(key, _EXPECTED, "_lender")
    return LevelBasis(level=level, prior=prior, mean=of_all.mean, expected=expected)


def _towards_parent(
    groups: pl.DataFrame, own: Moments, of_all: GroupPrior, parent: str
) -> pl.DataFrame:
    """Move what is expected by what the groups of each parent are off, and name the lender.

    How much parents differ is estimated with Kish's effective number of groups (1965, "Survey
    Sampling"); how far one is moved goes by how well its groups are known, in units of a typical
    one. Where parents differ by no more than chance nothing is moved.
    """
    seen = groups.filter(pl.col(own.count) > 0).with_columns(
        _known=of_all.weight_of(own),
        _off=pl.col(own.total) / pl.col(own.count) - pl.col(_EXPECTED),
    )
    known, off = pl.col("_known"), pl.col("_off")
    typical = seen["_known"].mean()
    if not typical:
        return groups
    kish = known.sum() ** 2 / (known**2).sum()
    of_parents = (
        seen.filter(pl.col(parent).is_not_null())
        .group_by(parent)
        .agg(
            kish.alias(_BEYOND.count),
            (kish * (known * off).sum() / known.sum()).alias(_BEYOND.total),
            (kish * (known * off**2).sum() / known.sum()).alias(_BEYOND.squares),
            _groups=known.sum() / typical,
            _mean=(known * off).sum() / known.sum(),
        )
    )
    prior = group_prior(of_parents, _BEYOND)
    if prior.between == 0.0:
        return groups
    share = prior.weight_of(Moments(count="_groups", total="", squares=""))
    moved = of_parents.select(parent, _moved=share * pl.col("_mean"))
    return (
        groups.join(moved, on=parent, how="left", maintain_order="left")
        .with_columns(
            pl.col(_EXPECTED) + pl.col("_moved").fill_null(0.0),
            _lender=pl.when(pl.col("_moved").is_not_null())
            .then(pl.lit(parent))
            .otherwise("_lender"),
        )
        .drop("_moved")
    )


def _beyond_expected(groups: pl.DataFrame, own: Moments) -> pl.DataFrame:
    """Add the moments of what was observed less what is expected."""
    count, total, squares = pl.col(own.count), pl.col(own.total), pl.col(own.squares)
    expected = pl.col(_EXPECTED)
    return groups.with_columns(
        count.cast(pl.Float64).alias(_BEYOND.count),
        (total - count * expected).alias(_BEYOND.total),
        (squares - 2 * expected * total + count * expected**2).alias(_BEYOND.squares),
    )
