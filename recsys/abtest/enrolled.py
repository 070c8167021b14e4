"""How many users take part, in totals that add up over parts of the users."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recsys.abtest.plan import Plan
from recsys.errors import ExperimentLogError


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """How many users both arms have, and what was left out.

    Attributes:
        counts: What was read and left out, rows and users; see `enrol`.
        num_by_arm: Users of control and treatment.
        first_us: When the first of them entered, µs since 1970; None where there are none.
        days: `day` (0 is the plan's first), `arm`, `num_exposures`, `num_users` that entered.
        excluded_by_arm: Bots of control and treatment.
        chances: Of control and treatment the sum of the logged chances of the variant, in
            millionths, and of how many rows; None where the log has no such column.
    """

    counts: dict[str, int]
    num_by_arm: tuple[int, int]
    first_us: int | None
    days: pl.DataFrame
    excluded_by_arm: tuple[int, int]
    chances: tuple[tuple[int, int], tuple[int, int]] | None

    @property
    def propensities(self) -> tuple[float, float] | None:
        """Mean logged chance of the variant, of both arms; None where an arm has none."""
        if self.chances is None or not (self.chances[0][1] and self.chances[1][1]):
            return None
        control, treatment = (total / rows / 1e6 for total, rows in self.chances)
        return control, treatment


def merged(parts: Sequence[Enrolled]) -> Enrolled:
    """Add up what was read of different users."""
    days = pl.concat(part.days for part in parts).group_by("day", "arm").sum().sort("day", "arm")
    firsts = [part.first_us for part in parts if part.first_us is not None]
    chances = [part.chances for part in parts if part.chances is not None]
    return Enrolled(
        counts={name: sum(part.counts[name] for part in parts) for name in parts[0].counts},
        num_by_arm=_added([part.num_by_arm for part in parts]),
        first_us=min(firsts, default=None),
        days=days,
        excluded_by_arm=_added([part.excluded_by_arm for part in parts]),
        chances=(_added([c[0] for c in chances]), _added([c[1] for c in chances]))
        if chances
        else None,
    )


def check_arms(enrolled: Enrolled, plan: Plan) -> None:
    """Say which arm has no users, and what was left out.

    Raises:
        ExperimentLogError: An arm is empty.
    """
    for num, variant in zip(enrolled.num_by_arm, (plan.control, plan.treatment), strict=True):
        if not num:
            left_out = ", ".join(f"{name} {n:,}" for name, n in enrolled.counts.items() if n)
            raise ExperimentLogError(
                f"no user of variant {variant.name!r} of experiment {plan.name!r} is left between "
                f"{plan.start.isoformat()} and {plan.end.isoformat()}: both arms need users "
                f"({left_out or 'the log is empty'}); check the names of variants and the times"
            )


def _added(pairs: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(first for first, _ in pairs), sum(second for _, second in pairs)
