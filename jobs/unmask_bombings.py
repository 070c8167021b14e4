"""Bombings by reviews, and what is real behind them: looks without the reviews of a bombing."""

from collections import Counter
from typing import Any

import polars as pl

from features.alert_tables import RESOLVED
from recsys.alerts.blocks import blocks
from recsys.alerts.config import AlertConfig
from recsys.alerts.detection import ASIDE_SCHEMA, Look, look
from recsys.alerts.kinds import BOMBING, action_of, kind_of
from recsys.alerts.lifecycle import Alert
from recsys.alerts.opinions import SCOPES, Opinions, day_of
from recsys.alerts.particulars import Circumstances, Particulars, particulars


def standing(alerts: dict[str, Alert], day: int) -> dict[str, Alert]:
    """Return alerts that stood when the day's look began."""
    return {
        name: alert
        for name, alert in alerts.items()
        if alert["state"] != RESOLVED
        or (alert["changed_day"] == day and alert["looked_day"] == day)
    }


def set_aside(alerts: dict[str, Alert], closed: list[Alert], config: AlertConfig) -> pl.DataFrame:
    """Return `ASIDE_SCHEMA`: days of alerts that say nothing of the usual level.

    An alert that was opened again keeps the onset of its last time alone; of the times before,
    all days from a block before its first opening on are set aside.
    """
    earlier = [
        (
            alert["scope"],
            alert["key"],
            alert["opened_day"] - config.block_days,
            day_of(alert["onset"]) - 1,
        )
        for alert in alerts.values()
        if alert["num_reopened"]
    ]
    last = [
        (alert["scope"], alert["key"], day_of(alert["onset"]), alert["changed_day"])
        for alert in closed
    ]
    return pl.DataFrame(earlier + last, schema=ASIDE_SCHEMA, orient="row")


def look_at(
    seen: Circumstances,
    heard: Opinions,
    alerts: dict[str, Alert],
    config: AlertConfig,
    besides: str | None = None,
) -> Look:
    """Look at opinions as of a day, given all alerts.

    Args:
        seen: The shop on that day.
        heard: Its opinions, or a part of them.
        alerts: By id: what stands is not found again, what is closed is no usual level.
        config: What an alert has to show.
        besides: Id of an alert to leave out of them, as if it had not been raised.
    """
    day = seen.day
    everything = alerts
    alerts = {name: alert for name, alert in alerts.items() if name != besides}
    open_now = standing(alerts, day)
    closed = [alert for name, alert in alerts.items() if name not in open_now]
    return look(
        heard,
        seen.shop.items,
        day=day,
        config=config,
        open_keys={
            scope: {alert["key"] for alert in open_now.values() if alert["scope"] == scope}
            for scope in SCOPES
        },
        num_found=Counter(
            (alert["scope"], alert["block"])
            for alert in alerts.values()
            if alert["opened_day"] < day
        ),
        set_aside=set_aside(everything, closed, config),
    )


def told_of(seen: Circumstances, alert: dict[str, Any]) -> Particulars:
    """Describe an alert, or what may become one, as of the day of the circumstances."""
    return particulars(
        seen,
        scope=alert["scope"],
        key=alert["key"],
        aspect=alert["aspect"],
        onset=alert["onset"],
        share_before=alert["share_before"],
    )


def unmasked(
    seen: Circumstances,
    alerts: dict[str, Alert],
    alert: dict[str, Any],
    told: Particulars,
    config: AlertConfig,
) -> Particulars:
    """Look behind a bombing: what is found without its reviews, of the same time, is real.

    Args:
        seen: The shop on the day.
        alerts: All alerts by id.
        alert: One that stands and was no bombing so far, or what may become one.
        told: Of it.
        config: What an alert has to show.

    Returns:
        `told`, or the same as something real that was bombed besides.
    """
    if told.fields["kind"] != BOMBING:
        return told
    if not told.suspicious:
        # Without any such review everything is left: it stays what it was, if it was something.
        return _without_bombing(seen, alert, told) if "kind" in alert else told
    if alert["block"] < blocks(seen.day, config)[0].number:
        # No look reads its days any more: what it was found to be stands.
        return _without_bombing(seen, alert, told)
    rest = seen.opinions.without_reviews(told.suspicious)
    behind = look_at(seen, rest, alerts, config, besides=alert["alert_id"]).found
    behind = behind.filter(
        pl.col("scope") == alert["scope"],
        pl.col("key") == alert["key"],
        pl.col("onset_low") <= day_of(alert["onset_high"]),
        pl.col("onset_high") >= day_of(alert["onset_low"]),
    )
    return told if behind.is_empty() else _without_bombing(seen, alert, told)


def _without_bombing(seen: Circumstances, alert: dict[str, Any], told: Particulars) -> Particulars:
    """Return what is told of something real that was bombed besides."""
    days_since = seen.day - day_of(alert["onset"])
    kind = kind_of(bombing=0.0, gradual=told.fields["gradual"], days_since=days_since)
    fields = told.fields | {"kind": kind}
    share, num_buyers = told.fields["share_since"], told.fields["num_buyers"]
    fields["action"] = action_of(kind, alert["aspect"], share, num_buyers)
    return Particulars(fields=fields, quotes=told.quotes, suspicious=told.suspicious)
