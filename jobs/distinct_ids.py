"""Ids of rows that come out of the event log: none takes the place of another's.

The log knows an id by the user it came with, and feedback apart from the rest; the tables know it
alone. So the first keeps the id as it was sent, and what else is sent under it gets a hash behind
it, which is the same however often the entry is brought in.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from features.contracts import CONTRACTS
from features.event_log import Entry, EventLog
from features.store import Store

_FEEDBACK = ("dismiss", "reason_feedback")
_TABLES = ("events", "reviews")
"""Those whose ids are the shop's own."""
_SENT_CHARACTERS = 200
"""As much is left of an id that gets a hash, so that it is not too long for the table."""
_Owner = tuple[str | None, bool]


def contents_of(
    store: Store, log: EventLog, table: str, entries: Sequence[Entry]
) -> list[dict[str, Any]]:
    """Return what entries say, under ids that no other user's rows have.

    Args:
        store: Where the tables are.
        log: Where the entries are from.
        table: Where they go.
        entries: In order.

    Raises:
        StoreError: The table cannot be read.
    """
    contents: list[dict[str, Any]] = [json.loads(entry.content) for entry in entries]
    if table not in _TABLES:
        return contents
    key = CONTRACTS[table].primary_key()[0]
    told = [content for content in contents if isinstance(content.get(key), str)]
    others = [_with_hash(log, content[key], _owner(content)) for content in told]
    owners = _owners(store, table, key, {*(content[key] for content in told), *others})
    for content, other in zip(told, others, strict=True):
        owner = _owner(content)
        # Should the first be erased by now, what was second stays where it was.
        if other in owners or owners.setdefault(content[key], owner) != owner:
            content[key] = other
            owners[other] = owner
    return contents


def _owner(row: dict[str, Any]) -> _Owner:
    return row.get("user_id"), row.get("event_type") in _FEEDBACK


def _with_hash(log: EventLog, sent: str, owner: _Owner) -> str:
    user_id, is_feedback = owner
    # Salted: nobody can take that id as well.
    hashed = log.name_hash(f"{user_id}\x00{is_feedback}\x00{sent}")
    return f"{sent[:_SENT_CHARACTERS]}~{hashed}"


def _owners(store: Store, table: str, key: str, ids: Iterable[str]) -> dict[str, _Owner | None]:
    """Return whose the rows of some ids are; None where an id is of somebody who was erased."""
    sought = pl.DataFrame({key: sorted(ids)}, schema={key: pl.String})
    owners: dict[str, _Owner | None] = dict.fromkeys(
        sought.filter(store.tombstones().marked(sought))[key]
    )
    if store.exists(table):
        scan = store.scan(table)
        known = scan.collect_schema().names()
        said = [name for name in (key, "user_id", "event_type") if name in known]
        rows = scan.select(said).join(sought.lazy(), on=key, how="semi").collect()
        for row in rows.iter_rows(named=True):
            owners[row[key]] = _owner(row)
    return owners
