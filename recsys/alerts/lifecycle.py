"""The life of an alert: open, acknowledged, resolved, and open again.

```
found ──► open ──► acknowledged ──► resolved      by somebody, on recovery, or as unheard of
           │                          │
           └────────► resolved ───────┴──► open   found again within `reopen_days`
```

A subject has one alert while it stands. To recover takes more than to stop rising: the share has to
be nearer to its old level than to that of the alert, for certain, in several looks.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betainc, expit, logit

from features.alert_tables import ACKNOWLEDGED, OPEN, RESOLVED
from recsys.alerts.config import AlertConfig
from recsys.errors import AlertError

DETECT = "detect"
Alert = dict[str, Any]
"""One row of `features.alert_tables.Alerts`."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of state.

    Attributes:
        alert_id: Of which alert.
        number: Counted from 0, its opening.
        state: The new one.
        by: `DETECT`, or who said so.
        note: Why, in words; None for nothing.
    """

    alert_id: str
    number: int
    state: str
    by: str
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recent:
    """The last reviews of an alert's subject.

    Attributes:
        num_reviews: Of what was bought last since the onset, at most `recovery_reviews`.
        num_negative: Of them; complaints of the aspect, where the alert is of one.
        days_silent: Since the last review.
    """

    num_reviews: int
    num_negative: int
    days_silent: int


def alert_id(scope: str, key: str, aspect: str | None, day: int) -> str:
    """Return the id of what a look finds: the same for the same thing on the same day.

    >>> alert_id("item", "i1", None, 20000) == alert_id("item", "i1", None, 20000)
    True
    """
    named = "\x00".join((scope, key, aspect or "", str(day)))
    return "a" + hashlib.blake2b(named.encode(), digest_size=5).hexdigest()


def change_by_hand(
    alert: Alert, state: str, *, day: int, by: str, note: str | None = None
) -> tuple[Alert, Change | None]:
    """Acknowledge or resolve an alert; None where it is in that state already.

    Raises:
        AlertError: If a resolved alert is to be acknowledged.
    """
    if alert["state"] == state:
        return alert, None
    if state == ACKNOWLEDGED and alert["state"] == RESOLVED:
        raise AlertError(
            f"the alert {alert['alert_id']} is resolved: only an open one can be acknowledged"
        )
    return _changed(alert, state, day=day, by=by, note=note)


def after_look(
    alert: Alert, recent: Recent, *, day: int, config: AlertConfig
) -> tuple[Alert, Change | None]:
    """Close an alert that recovered or is heard of no more. The same look twice changes nothing.

    Args:
        alert: Open or acknowledged.
        recent: Its last reviews.
        day: Of the look.
        config: What a recovery takes.
    """
    if alert["looked_day"] >= day:
        return alert, None
    recovered = has_recovered(alert, recent, config)
    looks = alert["recovered_looks"] + 1 if recovered else 0
    alert = alert | {"looked_day": day, "recovered_looks": looks}
    if looks >= config.recovery_looks:
        note = f"recovered: {recent.num_negative} of the last {recent.num_reviews} reviews negative"
        return _changed(alert, RESOLVED, day=day, by=DETECT, note=note)
    if recent.days_silent > config.stale_days:
        note = f"no review for {recent.days_silent} days"
        return _changed(alert, RESOLVED, day=day, by=DETECT, note=note)
    return alert, None


def has_recovered(alert: Alert, recent: Recent, config: AlertConfig) -> bool:
    """Tell whether the share is nearer to its old level than to the alert's, for certain.

    P(share < middle of both, in log odds | the last reviews, Jeffreys prior) is at least
    `recovery_certainty`, of at least `recovery_reviews`.
    """
    if recent.num_reviews < config.recovery_reviews:
        return False
    levels = np.clip([alert["share_before"], alert["share_opened"]], 0.01, 0.99)
    middle = expit(logit(levels).mean())
    good = recent.num_reviews - recent.num_negative
    below = betainc(recent.num_negative + 0.5, good + 0.5, middle)
    return bool(below >= config.recovery_certainty)


def found_again(
    alerts: Mapping[str, Alert], found: Alert, *, day: int, config: AlertConfig
) -> tuple[Alert, Change]:
    """Open an alert for what a look found, or open an old one again.

    Args:
        alerts: All alerts by id.
        found: A whole row of `features.alert_tables.Alerts`, in state open.
        day: Of the look.
        config: How long an alert may be reopened.

    Returns:
        The alert and how it changed. One of the same subject, whatever its aspect, that was
        resolved at most `reopen_days` ago is opened again, with the new evidence.
    """
    same = [
        alert
        for alert in alerts.values()
        if (alert["scope"], alert["key"]) == (found["scope"], found["key"])
        and alert["state"] == RESOLVED
        and day - alert["changed_day"] <= config.reopen_days
    ]
    if not same:
        return found, Change(alert_id=found["alert_id"], number=0, state=OPEN, by=DETECT)
    old = max(same, key=lambda alert: (alert["changed_day"], alert["alert_id"]))
    again = found | {
        "alert_id": old["alert_id"],
        "opened_day": old["opened_day"],
        "num_reopened": old["num_reopened"] + 1,
        "num_changes": old["num_changes"] + 1,
    }
    change = Change(
        alert_id=old["alert_id"],
        number=again["num_changes"],
        state=OPEN,
        by=DETECT,
        note="found again",
    )
    return again, change


def _changed(
    alert: Alert, state: str, *, day: int, by: str, note: str | None
) -> tuple[Alert, Change]:
    changed = alert | {
        "state": state,
        "changed_day": day,
        "changed_by": by,
        "num_changes": alert["num_changes"] + 1,
        "recovered_looks": 0,
        "looked_day": max(day, alert["looked_day"]) if by == DETECT else alert["looked_day"],
    }
    number = changed["num_changes"]
    change = Change(alert_id=alert["alert_id"], number=number, state=state, by=by, note=note)
    return changed, change
