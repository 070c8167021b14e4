"""A small store of people, and what the tests of deliveries ask of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from features.schema import TABLES
from features.store import Store
from jobs.delivery.audit_log import AuditLog
from jobs.delivery.run_delivery import Audience, Delivering

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CHANNEL = "email"


def people(user_ids: Sequence[str], consents: Sequence[str] | None = (CHANNEL,)) -> pl.DataFrame:
    """Return rows of `users`."""
    count = len(user_ids)
    return pl.DataFrame(
        {
            "user_id": list(user_ids),
            "country": ["de"] * count,
            "language": [None] * count,
            "signup_at": [None] * count,
            "email": [f"{user}@example.com" for user in user_ids],
            "phone": [None] * count,
            "consents": [list(consents or [])] * count,
        },
        schema=TABLES["users"].create_empty().schema,
    )


def suppressed(user_id: str) -> pl.DataFrame:
    """Return a row of `suppressions`: for ever, everywhere."""
    return pl.DataFrame(
        {
            "suppression_id": [f"stop {user_id}"],
            "user_id": [user_id],
            "channel": [None],
            "reason": ["asked to"],
            "until": [None],
        },
        schema=TABLES["suppressions"].create_empty().schema,
    )


def store_of(folder: Path, user_ids: Sequence[str]) -> Store:
    """Make a store of people who all agreed to e-mail."""
    store = Store(folder / "store")
    store.append("users", people(user_ids))
    return store


def delivering(store: Store, **options: Any) -> Delivering:
    """Return what hands lists of a store over."""
    return Delivering(
        store=store,
        audit=AuditLog(path=store.path("audit", "exports.jsonl")),
        actor={"name": "tester"},
        now=options.pop("now", lambda: NOW),
        **options,
    )


def audience(user_ids: Sequence[str], segment: str = "at-risk") -> Audience:
    """Return a segment of exactly some users."""
    return Audience(
        segment=segment,
        definition_version="f" * 64,
        as_of=NOW,
        user_ids=lambda: pl.Series("user_id", list(user_ids), dtype=pl.String),
    )
