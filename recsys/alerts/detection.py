"""One daily look: which subjects have a rise of negative reviews that is real.

A subject (an item, a brand, a category) is one hypothesis. Its e-value is the mean of that of all
its reviews and the mean over aspects of those of its complaints: so the rate that is promised is
one of alerts, not of series that say the same thing several times.

Shape suffixes: S subjects, R rows (a subject and an aspect), D days of the window.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.alerts.config import AlertConfig
from recsys.alerts.discoveries import adjusted
from recsys.alerts.evidence import (
    category_shift,
    expected_share,
    log_e_value,
    onset_evidence,
)
from recsys.alerts.onsets import onsets
from recsys.alerts.opinions import BRAND, CATEGORY, ITEM, Opinions
from recsys.alerts.quarters import Quarter, quarters
from recsys.alerts.series import Series, series_of

_DEFAULT = AlertConfig()
FOUND_SCHEMA = pl.Schema(
    {
        "scope": pl.String(),
        "key": pl.String(),
        "aspect": pl.String(),
        "aspects": pl.List(pl.String()),
        "quarter": pl.Int64(),
        "q_value": pl.Float64(),
        "log_e_value": pl.Float64(),
        "onset": pl.Int32(),
        "onset_low": pl.Int32(),
        "onset_high": pl.Int32(),
        "share_before": pl.Float64(),
        "share_since": pl.Float64(),
        "num_reviews": pl.Int64(),
        "num_negative": pl.Int64(),
    }
)
"""Columns of what a look finds. `aspect` is the one that the rise is of, null for all of it;
`aspects` all that rose on their own; `quarter` that of the onset; `q_value` the least false
discovery rate at which it is found; `onset` a day since 1970 with the ends of its 90% interval;
shares of negative reviews (of complaints of the aspect), expected and seen."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look found.

    Attributes:
        found: `FOUND_SCHEMA`, sorted by scope and q-value.
        num_subjects: Looked at, by scope.
    """

    found: pl.DataFrame
    num_subjects: Mapping[str, int]


def look(
    opinions: Opinions,
    items: pl.DataFrame,
    *,
    day: int,
    config: AlertConfig = _DEFAULT,
    known: Mapping[tuple[str, int], Collection[str]] | None = None,
    set_aside: pl.DataFrame | None = None,
) -> Look:
    """Look at everything as of the end of a day.

    Args:
        opinions: All of them; those after the day are not read.
        items: `features.schema.Items`.
        day: Days since 1970, UTC.
        config: What an alert has to show.
        known: Keys that earlier looks found, by scope and quarter.
        set_aside: `scope, key, first, last`: days that belong to alerts which are resolved.
    """
    known = known or {}
    aside = {
        scope: None if set_aside is None else set_aside.filter(pl.col("scope") == scope)
        for scope in (ITEM, BRAND, CATEGORY)
    }
    categories = series_of(
        opinions, items, CATEGORY, day=day, config=config, set_aside=aside[CATEGORY]
    )
    found, num_subjects = [], {}
    for scope in (ITEM, BRAND, CATEGORY):
        series = categories
        if scope != CATEGORY:
            series = series_of(
                opinions,
                items,
                scope,
                day=day,
                config=config,
                set_aside=aside[scope],
                categories=categories.keys,
            )
        num_subjects[scope] = len(series.keys)
        if not series.keys:
            continue
        shift_SD = category_shift(series.counts, series.parent_S, categories.counts)
        for quarter in quarters(day, config):
            keys = known.get((scope, quarter.number), ())
            found.append(_found(scope, series, shift_SD, quarter, day, keys, config))
    rows = pl.concat(found) if found else pl.DataFrame(schema=FOUND_SCHEMA)
    rows = rows.sort("scope", "key", "q_value").unique(
        ["scope", "key"], keep="first", maintain_order=True
    )
    return Look(found=rows.sort("scope", "q_value", "key"), num_subjects=num_subjects)


def _found(
    scope: str,
    series: Series,
    shift_SD: np.ndarray,
    quarter: Quarter,
    day: int,
    known: Collection[str],
    config: AlertConfig,
) -> pl.DataFrame:
    days = slice(quarter.first, quarter.end)
    # Complaints of one aspect are a part of all that is negative, and move with the category too.
    whole_SD = onset_evidence(series.counts, series.levels, config, shift_SD)[:, days]
    of_rows = series.subject_R
    aspect_RD = onset_evidence(
        series.complaint_counts, series.complaint_levels, config, shift_SD[of_rows]
    )[:, days]
    whole_S = log_e_value(whole_SD, config.quarter_days)
    aspect_R = log_e_value(aspect_RD, config.quarter_days)
    mean_S = np.zeros(len(whole_S))
    np.add.at(mean_S, of_rows, np.exp(np.minimum(aspect_R, 600.0)) / max(1, series.num_aspects))
    with np.errstate(divide="ignore"):
        log_e_S = np.logaddexp(whole_S, np.log(mean_S)) - np.log(2)
    is_known = np.isin(np.array(series.keys), list(known))
    q_S = adjusted(log_e_S, num_hypotheses=len(log_e_S), known=is_known)
    rows = []
    for s in np.flatnonzero(q_S <= np.log(config.false_discovery_rate)).tolist():
        own = np.flatnonzero(of_rows == s)
        best = own[aspect_R[own].argmax()] if len(own) else -1
        is_aspect = best >= 0 and aspect_R[best] > whole_S[s]
        row, source = (best, series.complaint_counts) if is_aspect else (s, series.counts)
        log_D = (aspect_RD if is_aspect else whole_SD)[row]
        levels = series.complaint_levels if is_aspect else series.levels
        one = source.rows([row])
        dated = onsets(log_D[None], one.num_SD[:, days])
        at = quarter.first + int(dated.likeliest[0])
        expected = expected_share(one, levels.rows([row]), shift_SD[[s]])[0][0, at]
        num, bad = (since[0, at] for since in one.since())
        if not is_known[s] and (bad < config.least_negative):
            continue
        first = day + 1 - config.window_days
        rose = [series.aspects[r] for r in own if aspect_R[r] >= min(log_e_S[s], whole_S[s])]
        rows.append(
            (
                scope,
                series.keys[s],
                series.aspects[best] if is_aspect else None,
                sorted(rose),
                quarter.number,
                # What is known keeps the evidence that there is now.
                float(np.exp(q_S[s])) if not is_known[s] else config.false_discovery_rate,
                float(log_e_S[s]),
                first + at,
                first + quarter.first + int(dated.low[0]),
                first + quarter.first + int(dated.high[0]),
                float(expected),
                float(bad / num) if num else 0.0,
                int(num),
                int(bad),
            )
        )
    return pl.DataFrame(rows, schema=FOUND_SCHEMA, orient="row")
