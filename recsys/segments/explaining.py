"""Why a user is in a segment or not, and what let others in or out."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from recsys.segments.compiled import Compiled
from recsys.segments.selecting import evaluated


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a user answers to one condition.

    Attributes:
        path: Where in the definition.
        says: What was asked.
        value: The user's; None where it is unknown.
        holds: None where that is unknown.
    """

    path: str
    says: str
    value: Any
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a user answers to a segment.

    Attributes:
        answers: To every condition, in the order of the definition.
        holds: The whole; None where it is unknown, which leaves the user out.
    """

    answers: list[Answer]
    holds: bool | None


def explain(compiled: Compiled, user_id: str) -> Explanation:
    """Explain one user, whether or not any table knows them."""
    user = pl.LazyFrame({"user_id": [user_id]})
    columns = [
        expression.alias(f"{kind}{number}")
        for number, asked in enumerate(compiled.asked)
        for kind, expression in (("value", pl.col(asked.column)), ("holds", asked.holds))
    ]
    row = evaluated(compiled, user).select(*columns, whole=compiled.holds).collect()
    told = row.row(0, named=True)
    return Explanation(
        answers=[
            Answer(
                path=asked.path,
                says=asked.says,
                value=told[f"value{number}"],
                holds=told[f"holds{number}"],
            )
            for number, asked in enumerate(compiled.asked)
        ],
        holds=told["whole"],
    )


def kept_out_by(compiled: Compiled, users: pl.Series) -> dict[str, int]:
    """Count the users whom each joined condition keeps out, in words; one may be kept out by many.

    Args:
        compiled: A condition that holds of none of them.
        users: Ids, each once.
    """
    if users.is_empty():
        return {}
    found = evaluated(compiled, users.rename("user_id").to_frame().lazy())
    counts = found.select(
        (~conjunct.fill_null(value=False)).sum().alias(str(number))
        for number, conjunct in enumerate(compiled.conjuncts)
    ).collect()
    # Conditions that read alike are still two: a number tells them apart.
    says = [
        f"{one} (condition {number})" if compiled.says.count(one) > 1 else one
        for number, one in enumerate(compiled.says, 1)
    ]
    return {one: count for one, count in zip(says, counts.row(0), strict=True) if count}
