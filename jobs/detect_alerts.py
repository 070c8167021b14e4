"""The daily look for alerts: from a store's tables to its tables of alerts."""

from dataclasses import dataclass

import polars as pl

from features.alert_tables import OPEN, RESOLVED
from features.store import Store
from jobs.alert_looks import write_look, write_quotes
from jobs.alerts_tables import LOCK, Changed, read_alerts, read_table, write_changed
from jobs.errors import BadInputError
from jobs.load_shop import load_shop
from jobs.unmask_bombings import look_at, standing, told_of, unmasked
from recsys.alerts.config import AlertConfig
from recsys.alerts.detection import Look
from recsys.alerts.kinds import BOMBING
from recsys.alerts.lifecycle import DETECT, Alert, Change, after_look, alert_id, found_again
from recsys.alerts.opinions import moment_of, opinions
from recsys.alerts.particulars import Circumstances, Particulars, recent
from recsys.world import ShopTables


@dataclass(frozen=True, kw_only=True)
class DetectReport:
    """What a look did.

    Attributes:
        day: Since 1970.
        num_subjects: Looked at, by scope.
        changes: Of states.
        alerts: That stand now.
        nearest: `recsys.alerts.detection.FOUND_SCHEMA`: what has the most evidence of what is not
            found.
    """

    day: int
    num_subjects: dict[str, int]
    changes: list[Change]
    alerts: list[Alert]
    nearest: pl.DataFrame


def detect(
    store: Store, *, version: str, day: int, config: AlertConfig, demotion: float
) -> DetectReport:
    """Look as of the end of a day; the same day again changes nothing.

    Args:
        store: Where the tables are.
        version: Model version of the signals.
        day: Days since 1970, UTC.
        config: What an alert has to show.
        demotion: Share of relevance that lists take from an item in trouble.

    Raises:
        BadInputError: If a later day was looked at already, or reviews are not scored.
        StoreError: If a table is missing or damaged.
    """
    with store.lock(LOCK):
        return detect_in(
            store, load_tables(store, version), day=day, config=config, demotion=demotion
        )


@dataclass(frozen=True, kw_only=True)
class LoadedTables:
    """A shop's tables, and its users where there are any."""

    shop: ShopTables
    users: pl.DataFrame | None


def load_tables(store: Store, version: str) -> LoadedTables:
    """Read what looks are made from; several looks may share it."""
    users = store.scan("users").collect() if store.exists("users") else None
    return LoadedTables(shop=load_shop(store, version), users=users)


def detect_in(
    store: Store, tables: LoadedTables, *, day: int, config: AlertConfig, demotion: float
) -> DetectReport:
    """Look at tables that are read; see `detect`. The caller holds the lock `alerts`."""
    looks = read_table(store, "alert_looks")
    last = looks["day"].max()
    if isinstance(last, int) and day < last:
        raise BadInputError(
            f"{moment_of(last):%Y-%m-%d} was looked at already: looks go forward in time, give "
            f"--as-of a later day than {moment_of(day):%Y-%m-%d}"
        )
    seen = as_of(tables, day)
    alerts = read_alerts(store)
    found = look_at(seen, seen.opinions, alerts, config)
    changes: list[Change] = []
    now: dict[str, Alert] = {}
    known_quotes = read_table(store, "alert_quotes")
    quotes = [known_quotes.filter(~pl.col("alert_id").is_in(list(standing(alerts, day))))]
    for alert in standing(alerts, day).values():
        if not seen.knows(alert["scope"], alert["key"]):
            # Of an item that is not on sale, or missing from one load, nothing can be said.
            quotes.append(known_quotes.filter(alert_id=alert["alert_id"]))
            continue
        told = told_of(seen, alert)
        if alert["kind"] != BOMBING:
            told = unmasked(seen, alerts, alert, told, config)
        # Figures and kind follow what is known today, by whomever the state was changed.
        fresh, change = after_look(
            alert | told.fields,
            recent(
                seen,
                scope=alert["scope"],
                key=alert["key"],
                aspect=alert["aspect"],
                onset=alert["onset"],
                config=config,
            ),
            day=day,
            config=config,
        )
        now[alert["alert_id"]] = fresh
        quotes.append(_quotes(alert["alert_id"], told))
        changes += [] if change is None else [change]
    for row in _new_rows(seen, found, alerts, day, config):
        alert, change, told = row
        now[alert["alert_id"]] = alert
        changes.append(change)
        quotes.append(_quotes(alert["alert_id"], told))
    write_quotes(store, quotes)
    changed = [alert for name, alert in now.items() if alerts.get(name) != alert]
    write_changed(store, Changed(alerts=changed, changes=changes, day=day), demotion=demotion)
    write_look(store, found, day)
    everything = alerts | now
    open_now = [alert for alert in everything.values() if alert["state"] != RESOLVED]
    return DetectReport(
        day=day,
        num_subjects=dict(found.num_subjects),
        changes=changes,
        alerts=open_now,
        nearest=found.nearest,
    )


def as_of(tables: LoadedTables, day: int) -> Circumstances:
    """Return what can be seen of tables as of the end of a day, since 1970."""
    shop, seen = tables.shop, pl.col("event_time") < moment_of(day + 1)
    cut = ShopTables(
        items=shop.items,
        events=shop.events.filter(seen),
        reviews=shop.reviews.filter(seen),
        signals=shop.signals,
    )
    heard = opinions(cut.reviews.lazy(), cut.signals.lazy(), cut.events.lazy())
    return Circumstances(cut, tables.users, heard, day)


def _new_rows(
    seen: Circumstances, found: Look, alerts: dict[str, Alert], day: int, config: AlertConfig
) -> list[tuple[Alert, Change, Particulars]]:
    rows = []
    for row in found.found.iter_rows(named=True):
        name = alert_id(row["scope"], row["key"], row["aspect"], day)
        if name in alerts:
            continue
        draft = {
            "alert_id": name,
            **{key: row[key] for key in ("scope", "key", "aspect", "aspects", "block")},
            **{key: row[key] for key in ("q_value", "log_e_value", "share_before")},
            **{key: moment_of(row[key]) for key in ("onset", "onset_low", "onset_high")},
            "state": OPEN,
            "opened_day": day,
            "looked_day": day,
            "changed_day": day,
            "changed_by": DETECT,
            "share_opened": row["share_since"],
            "recovered_looks": 0,
            "num_reopened": 0,
            "num_changes": 0,
        }
        told = unmasked(seen, alerts, draft, told_of(seen, draft), config)
        alert, change = found_again(alerts, draft | told.fields, day=day, config=config)
        rows.append((alert, change, told))
    return rows


def _quotes(name: str, told: Particulars) -> pl.DataFrame:
    return told.quotes.select(pl.lit(name).alias("alert_id"), pl.all())
