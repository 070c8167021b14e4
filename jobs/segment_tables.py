"""The tables of a store that decide who may be written to."""

import polars as pl

from features.schema import TABLES
from features.store import Store
from recsys.segments.admission import AdmissionTables


def admission_tables(store: Store) -> AdmissionTables:
    """Open the newest users (ids and consents only), suppressions, contacts and tombstones.

    A table that is not there has no rows: without users nobody has agreed to anything.

    Raises:
        StoreError: A table is damaged.
    """
    return AdmissionTables(
        users=_scan(store, "users").select("user_id", "consents"),
        suppressions=_scan(store, "suppressions"),
        contacts=_scan(store, "contacts"),
        tombstones=store.tombstones(),
    )


def _scan(store: Store, table: str) -> pl.LazyFrame:
    return store.scan(table) if store.exists(table) else TABLES[table].create_empty().lazy()
