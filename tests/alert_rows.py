"""Rows of alerts for tests that need one."""

from datetime import UTC, datetime

import polars as pl

from features.alert_tables import OPEN, Alerts, empty
from recsys.alerts.lifecycle import alert_id

DAY = 20_000
MOMENT = datetime(2024, 10, 4, tzinfo=UTC)


def alert_of(item_id: str, kind: str = "bad_batch") -> pl.DataFrame:
    """Return a table of one open alert."""
    row = {
        **dict.fromkeys(Alerts.column_names()),
        "alert_id": alert_id("item", item_id, None, DAY),
        "scope": "item",
        "key": item_id,
        "aspects": [],
        "kind": kind,
        "state": OPEN,
        **dict.fromkeys(("onset", "onset_low", "onset_high"), MOMENT),
        **dict.fromkeys(("block", "opened_day", "looked_day", "changed_day"), DAY),
        **dict.fromkeys(("num_reviews", "num_negative", "num_buyers"), 9),
        **dict.fromkeys(("recovered_looks", "num_reopened", "num_changes"), 0),
        **dict.fromkeys(("q_value", "share_before", "share_opened", "share_since"), 0.01),
        **dict.fromkeys(("log_e_value", "p_bombing", "burst_p", "gradual"), 0.5),
        "action": "inspect_batch",
        "changed_by": "detect",
    }
    return Alerts.validate(pl.DataFrame([row], schema=empty("alerts").schema))
