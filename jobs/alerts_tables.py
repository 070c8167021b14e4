"""Alerts as they are kept in a store. Whoever changes them holds the lock `alerts`."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from features.alert_tables import ACKNOWLEDGED, ALERT_TABLES, OPEN, empty
from features.store import Store
from jobs.errors import BadInputError
from recsys.alerts.kinds import BOMBING
from recsys.alerts.lifecycle import Alert, Change, change_by_hand
from recsys.alerts.opinions import ITEM

LOCK = "alerts"


def read_table(store: Store, table: str) -> pl.DataFrame:
    """Return a table of alerts, empty where it does not exist."""
    return store.scan(table).collect() if store.exists(table) else empty(table)


def read_alerts(store: Store) -> dict[str, Alert]:
    """Return all alerts by id."""
    return {alert["alert_id"]: alert for alert in read_table(store, "alerts").to_dicts()}


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What is to be written.

    Attributes:
        alerts: Rows that are new or differ.
        changes: Of states.
        day: Since 1970.
    """

    alerts: list[Alert]
    changes: list[Change]
    day: int


def write_changed(store: Store, changed: Changed, *, demotion: float) -> None:
    """Write alerts, their changes and what follows for lists.

    Changes first: should the rest be lost, the next run finds and numbers them alike.
    """
    if changed.changes:
        rows = [
            {
                "alert_id": change.alert_id,
                "number": change.number,
                "state": change.state,
                "day": changed.day,
                "by": change.by,
                "note": change.note,
            }
            for change in changed.changes
        ]
        store.upsert("alert_changes", _frame("alert_changes", rows), ["alert_id", "number"])
    if changed.alerts:
        store.upsert("alerts", _frame("alerts", changed.alerts), ["alert_id"])
    write_demotions(store, demotion=demotion)


def write_demotions(store: Store, *, demotion: float) -> None:
    """Bring the items that lists put further down to what alerts say; one commit, if any.

    A bombing says nothing of its item.
    """
    rows = [
        {
            "item_id": alert["key"],
            "amount": demotion,
            "since": alert["onset"],
            "alert_id": alert["alert_id"],
        }
        for alert in read_alerts(store).values()
        if alert["scope"] == ITEM
        and alert["state"] in (OPEN, ACKNOWLEDGED)
        and alert["kind"] != BOMBING
    ]
    wanted = _frame("item_demotions", rows).sort("item_id", "since", "alert_id")
    wanted = wanted.unique("item_id", keep="first", maintain_order=True)
    known = read_table(store, "item_demotions").sort("item_id")
    if not known.equals(wanted):
        store.overwrite("item_demotions", wanted)


def change_alerts(
    store: Store,
    alert_ids: Iterable[str],
    state: str,
    *,
    day: int,
    by: str,
    note: str | None,
    demotion: float,
) -> list[Change]:
    """Acknowledge or resolve alerts, all or none; return what changed.

    Raises:
        BadInputError: If there is no such alert.
        AlertError: If one cannot change so.
    """
    with store.lock(LOCK):
        alerts = read_alerts(store)
        unknown = [name for name in alert_ids if name not in alerts]
        if unknown:
            raise BadInputError(
                f"there is no alert {', '.join(unknown)}: `sentirec alerts list` shows them"
            )
        done = [
            change_by_hand(alerts[name], state, day=day, by=by, note=note) for name in alert_ids
        ]
        rows = [(alert, change) for alert, change in done if change is not None]
        changed = Changed(
            alerts=[alert for alert, _ in rows], changes=[change for _, change in rows], day=day
        )
        write_changed(store, changed, demotion=demotion)
    return changed.changes


def _frame(table: str, rows: list[dict]) -> pl.DataFrame:
    schema = ALERT_TABLES[table]
    frame = pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row")
    return schema.validate(frame)
