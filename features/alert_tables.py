"""Contracts of the tables of alerts: what goes wrong, what was done about it, who was told."""

import dataframely as dy
import polars as pl

from sentiment.schema import UTC

OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"
STATES = (OPEN, ACKNOWLEDGED, RESOLVED)
SENT, FAILED = "sent", "failed"


def _time(*, nullable: bool = False) -> dy.Datetime:
    return dy.Datetime(nullable=nullable, time_zone=UTC, time_unit="us")


class Alerts(dy.Schema):
    """One rise of negative reviews of an item, a brand or a category; no personal data."""

    alert_id = dy.String(primary_key=True, min_length=1)
    scope = dy.String(check=lambda c: c.is_in(["item", "brand", "category"]))
    key = dy.String(min_length=1)
    aspect = dy.String(nullable=True, description="that the rise is of; null for all of it")
    aspects = dy.List(dy.String(), description="that rose on their own")
    kind = dy.String(check=lambda c: c.is_in(["bad_batch", "review_bombing", "drift"]))
    state = dy.String(check=lambda c: c.is_in(STATES))
    block = dy.Int64(description="block of onsets in which the rate of false alerts holds")
    opened_day = dy.Int32(description="days since 1970; the look that found it")
    onset = _time()
    onset_low = _time()
    onset_high = _time()
    q_value = dy.Float64(min=0.0, max=1.0)
    log_e_value = dy.Float64()
    share_before = dy.Float64(min=0.0, max=1.0, description="expected of its past")
    share_opened = dy.Float64(min=0.0, max=1.0, description="since the onset, when it was found")
    share_since = dy.Float64(min=0.0, max=1.0, description="since the onset, until now")
    num_reviews = dy.Int64(min=0)
    num_negative = dy.Int64(min=0)
    num_buyers = dy.Int64(min=0, description="people who bought since the onset")
    action = dy.String()
    p_bombing = dy.Float64(min=0.0, max=1.0)
    near_duplicate = dy.Float64(nullable=True, description="share of the negative reviews")
    new_account = dy.Float64(nullable=True)
    unverified = dy.Float64(nullable=True)
    not_bought = dy.Float64(nullable=True)
    burst_p = dy.Float64(min=0.0, max=1.0)
    gradual = dy.Float64(description="log likelihood of a ramp less that of a step")
    looked_day = dy.Int32(description="the last look that read it")
    recovered_looks = dy.Int32(min=0, description="in a row that saw it recovered")
    num_reopened = dy.Int32(min=0)
    changed_day = dy.Int32(description="of the last change of state")
    changed_by = dy.String()
    num_changes = dy.Int32(min=0, description="number of the last change")


class AlertQuotes(dy.Schema):
    """What buyers said; rows of erased users go with them."""

    alert_id = dy.String(primary_key=True)
    review_id = dy.String(primary_key=True)
    user_id = dy.String()
    quote = dy.String()
    aspect = dy.String(nullable=True)
    polarity = dy.Float64()
    language = dy.String()


class AlertChanges(dy.Schema):
    """One change of state; append-only. `number` counts the changes of an alert from 0."""

    alert_id = dy.String(primary_key=True)
    number = dy.Int32(primary_key=True, min=0)
    state = dy.String(check=lambda c: c.is_in(STATES))
    day = dy.Int32()
    by = dy.String(description="`detect`, or who said so")
    note = dy.String(nullable=True)


class AlertDeliveries(dy.Schema):
    """One change of state on its way to one sink."""

    alert_id = dy.String(primary_key=True)
    number = dy.Int32(primary_key=True, min=0)
    sink = dy.String(primary_key=True)
    status = dy.String(check=lambda c: c.is_in([SENT, FAILED]))
    attempts = dy.Int32(min=1)
    error = dy.String(nullable=True)


class AlertLooks(dy.Schema):
    """One daily look: the promised rate is one of all of them."""

    day = dy.Int32(primary_key=True)
    num_items = dy.Int64(min=0)
    num_brands = dy.Int64(min=0)
    num_categories = dy.Int64(min=0)
    num_found = dy.Int64(min=0)


class ItemDemotions(dy.Schema):
    """Items that lists put further down as long as an alert stands."""

    item_id = dy.String(primary_key=True, min_length=1)
    amount = dy.Float64(min=0.0, max=1.0, description="share of relevance taken away")
    since = _time()
    alert_id = dy.String()


ALERT_TABLES: dict[str, type[dy.Schema]] = {
    "alerts": Alerts,
    "alert_quotes": AlertQuotes,
    "alert_changes": AlertChanges,
    "alert_deliveries": AlertDeliveries,
    "alert_looks": AlertLooks,
    "item_demotions": ItemDemotions,
}


def empty(table: str) -> pl.DataFrame:
    """Return a table of alerts without rows."""
    return ALERT_TABLES[table].create_empty()
