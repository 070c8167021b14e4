"""Which tables a condition reads."""

from recsys.segments.conditions import (
    All,
    Any_,
    Audience,
    Compare,
    Condition,
    Lookalike,
    Not,
    Rank,
    Sequence,
)
from recsys.segments.values import (
    AspectValue,
    ContactsValue,
    EventsValue,
    OutcomeValue,
    ProfileValue,
    ReviewsValue,
    UserValue,
    Value,
)

BUNDLE = "bundle"
"""The live bundle, among the tables."""
_SPACE = {BUNDLE, "purchase_history", "browse_history"}


def tables_read(condition: Condition) -> set[str]:
    """Return the names of all tables that a condition reads, with `bundle` for the live bundle."""
    match condition:
        case All(all=parts) | Any_(any=parts):
            return set().union(*map(tables_read, parts))
        case Not(not_=part):
            return tables_read(part)
        case Compare(value=value):
            return _of_value(value)
        case Sequence(sequence=steps):
            of_items = any(step.item or step.brand or step.category for step in steps)
            return {"events", "items"} if of_items else {"events"}
        case Rank(rank=value, among=among):
            return _of_value(value) | (tables_read(among) if among is not None else set())
        case Lookalike(lookalike=seeds):
            inner = set() if isinstance(seeds, list) else tables_read(seeds)
            return inner | _SPACE
        case Audience():
            return _SPACE | {"events", "items", "reviews", "review_signals"}


def _of_value(value: Value) -> set[str]:
    match value:
        case ProfileValue():
            return {"user_profiles"}
        case UserValue():
            return {"users"}
        case AspectValue():
            return {"user_aspects"}
        case OutcomeValue(outcome=outcome):
            return {"category_satisfaction" if outcome == "satisfaction" else "user_outcomes"}
        case ContactsValue():
            return {"contacts"}
        case EventsValue():
            of_items = value.item or value.brand or value.category or value.measure == "cents"
            since = {"reviews", "review_signals"} if value.since_review else set()
            return since | ({"events", "items"} if of_items else {"events"})
        case ReviewsValue():
            found = {"reviews"}
            if value.item or value.brand or value.category:
                found.add("items")
            if value.aspect or value.reviews not in ("count", "stars", "days_since_last"):
                found.add("review_signals")
            return found
