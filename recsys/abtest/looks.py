"""When the data are looked at, and what may be concluded each time."""

from collections.abc import Callable, Sequence
from datetime import datetime

from recsys.abtest.always_valid import read_always_valid
from recsys.abtest.effects import Better, Contrast, Reading, Sides, read_fixed
from recsys.abtest.group_sequential import LEAST_STEP, boundaries, read_at_look
from recsys.abtest.plan import Plan

Reader = Callable[[Contrast, Better], Reading]
# A look so near to a planned one, as a share of the experiment, is that one.
_NEAR = 0.02


def time_fraction(plan: Plan, moment: datetime) -> float:
    """Return how much of the experiment is over, in [0, 1]: the share of its time."""
    gone = (moment - plan.start).total_seconds() / 86_400
    return min(1.0, max(0.0, gone / plan.duration_days))


def look_fractions(plan: Plan, earlier: Sequence[datetime], as_of: datetime) -> list[float]:
    """Return the looks that the spending of alpha has to count, this one last.

    Planned looks before this one count as taken even where no record of them is: whoever forgets a
    look must not gain by it. Of looks nearer to each other than `LEAST_STEP` the first counts, and
    of those so near to this one, this one.

    Args:
        plan: With a group-sequential method.
        earlier: Times of other looks at the data, in any order.
        as_of: Of this look.
    """
    now = time_fraction(plan, as_of)
    taken = [time_fraction(plan, moment) for moment in earlier if moment < as_of]
    taken = [fraction for fraction in taken if 0 < fraction < now]
    planned = [
        look
        for look in plan.sequential.looks
        if look < now and all(abs(look - other) > _NEAR for other in [*taken, now])
    ]
    found: list[float] = []
    for look in sorted({*taken, *planned}):
        if look <= now - LEAST_STEP and (not found or look >= found[-1] + LEAST_STEP):
            found.append(look)
    return [*found, now]


def unplanned_looks(plan: Plan, earlier: Sequence[datetime], as_of: datetime) -> list[datetime]:
    """Return the looks at the data before its end, this one among them, that no plan foresaw."""
    if plan.sequential.method == "always-valid":
        return []
    early = sorted({moment for moment in [*earlier, as_of] if moment <= as_of < plan.end})
    early += sorted({moment for moment in earlier if moment < plan.end <= as_of})
    return [
        moment
        for moment in early
        if all(abs(time_fraction(plan, moment) - look) > _NEAR for look in plan.sequential.looks)
    ]


def sides_of(plan: Plan) -> Sides:
    """Return on how many sides is tested: in A/A mode both, whatever the plan says."""
    return "two" if plan.mode == "aa" else plan.sides


def reader(plan: Plan, earlier: Sequence[datetime], as_of: datetime) -> Reader:
    """Return how a contrast is read at this look, by the plan's stop rule.

    Args:
        plan: Of the experiment.
        earlier: Times of other looks at the data.
        as_of: Of this look; after the start.
    """
    alpha, sides, method = plan.alpha, sides_of(plan), plan.sequential.method
    if method == "none":
        return lambda contrast, better: read_fixed(
            contrast, alpha=alpha, sides=sides, better=better
        )
    if method == "always-valid":
        tuning = plan.sequential.tuning
        return lambda contrast, better: read_always_valid(
            contrast, alpha=alpha, tuning=tuning, sides=sides, better=better
        )
    fractions = look_fractions(plan, earlier, as_of)
    return lambda contrast, better: read_at_look(
        contrast, method, fractions, alpha=alpha, sides=sides, better=better
    )


def critical_values(plan: Plan, earlier: Sequence[datetime], as_of: datetime) -> dict[float, float]:
    """Return the boundary at each look up to this one; nothing where the plan has none."""
    method = plan.sequential.method
    if method not in ("obrien-fleming", "pocock"):
        return {}
    fractions = look_fractions(plan, earlier, as_of)
    bounds = boundaries(method, fractions, alpha=plan.alpha, sides=sides_of(plan))
    return dict(zip(fractions, bounds, strict=True))
