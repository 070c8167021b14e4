"""Questions of several users made one, so that what they share is done once."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from recsys.interactions import Histories
from recsys.query import Query

_OF_EACH, _OF_ALL = ("bought", "browsed", "user"), ("allowed",)


def is_joinable(query: Query) -> bool:
    """Tell whether a question holds nothing but what questions can be joined by."""
    known = (*_OF_EACH, *_OF_ALL)
    return all(getattr(query, f.name) is None for f in fields(query) if f.name not in known)


def joined_queries(queries: Sequence[Query]) -> Query:
    """Return the users of one or more questions about the same items as one question.

    Raises:
        ValueError: If several allow other items, or one of them is not joinable.
    """
    first = queries[0]
    if len(queries) == 1:
        return first
    if not all(query.allowed is first.allowed and is_joinable(query) for query in queries):
        raise ValueError("only questions about the same items, with nothing looked up, are joined")
    return Query(
        bought=Histories.joined([query.bought for query in queries]),
        browsed=Histories.joined([query.browsed for query in queries]),
        user=np.concatenate([query.user for query in queries]),
        allowed=first.allowed,
    )
