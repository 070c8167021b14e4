"""Who of a segment is left to it by the segments that are more important.

Where a user is in several segments, `[segments] priority` says which one they belong to: the first
that they are in. Segments that it does not name take nobody from others, and nobody from them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from jobs.errors import BadInputError
from recsys.segments.hints import nearest
from recsys.segments.overlap import in_none_of

if TYPE_CHECKING:
    from jobs.segment_options import OpenedSegments
    from recsys.segments.definition import Definition


def members_by_priority(opened: "OpenedSegments", definition: "Definition") -> pl.Series:
    """Return the members of a segment that are in none before it in `[segments] priority`.

    Only those before it are asked, each with its default parameters and as of the same moment.
    Consent is not asked: whoever may not be written to in a channel may not be in any segment.

    Args:
        opened: The store and its segments, as of a moment.
        definition: Of the segment.

    Returns:
        Ids, sorted, each once.

    Raises:
        BadInputError: The priority names a segment that is none.
        SegmentError: A segment, or one before it, cannot be asked of the store.
    """
    members = opened.select(definition).lazy()
    earlier = []
    for name in before(definition.name, opened.section.priority):
        if name not in opened.definitions.names():
            hint = nearest(name, opened.definitions.names())
            raise BadInputError(f"[segments] priority: there is no segment {name}{hint}")
        # As its own list would be chosen: whoever that does not take is not taken from this one.
        own = opened if opened.uncounted is None else replace(opened, uncounted=name)
        earlier.append(own.select(opened.definitions.definition(name)).lazy())
    return in_none_of(members, earlier).collect(engine="streaming")["user_id"].sort()


def before(name: str, priority: list[str]) -> list[str]:
    """Return the segments that are more important than one; none where it is not named.

    >>> before("b", ["a", "b", "c"]), before("x", ["a", "b"])
    (['a'], [])
    """
    return priority[: priority.index(name)] if name in priority else []
