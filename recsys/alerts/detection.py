"""One daily look: which subjects have a rise of negative reviews that is real.

A subject (an item, a brand, a category) is one hypothesis. Its e-value is three parts that of all
its reviews, and one part the mean over aspects of those of its complaints: so the rate that is
promised is one of alerts, not of series that say the same thing several times.

Shape suffixes: S subjects, R rows (a subject and an aspect), D days of the window.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.alerts.blocks import Block, blocks
from recsys.alerts.config import AlertConfig
from recsys.alerts.discoveries import adjusted
from recsys.alerts.evidence import expected_share, log_e_value, onset_evidence
from recsys.alerts.onsets import datable_days, onsets
from recsys.alerts.opinions import CATEGORY, ITEM, SCOPES, Opinions
from recsys.alerts.series import Series, num_people, series_of
from recsys.alerts.shared_rises import category_shift

_DEFAULT = AlertConfig()
_STAKE_OF_WHOLE = 0.75
_NUM_NEAREST = 3
FOUND_SCHEMA = pl.Schema(
    {
        "scope": pl.String(),
        "key": pl.String(),
        "aspect": pl.String(),
        "aspects": pl.List(pl.String()),
        "block": pl.Int64(),
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
`aspects` all that rose on their own; `block` in which it was found; `q_value` the least false
discovery rate at which it is found; `onset` a day since 1970 with the ends of its 90% interval;
shares of negative reviews (of complaints of the aspect), expected and seen."""
ASIDE_SCHEMA = pl.Schema(
    {"scope": pl.String(), "key": pl.String(), "first": pl.Int32(), "last": pl.Int32()}
)
"""Days of subjects, since 1970, that say nothing of their usual level."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look found.

    Attributes:
        found: `FOUND_SCHEMA`, sorted by scope and q-value.
        nearest: `FOUND_SCHEMA`: of each scope what has the most evidence of all that is neither
            found nor known, at most three, sorted by it.
        num_subjects: Looked at, by scope.
    """

    found: pl.DataFrame
    nearest: pl.DataFrame
    num_subjects: Mapping[str, int]


def look(
    opinions: Opinions,
    items: pl.DataFrame,
    *,
    day: int,
    config: AlertConfig = _DEFAULT,
    open_keys: Mapping[str, Collection[str]] | None = None,
    num_found: Mapping[tuple[str, int], int] | None = None,
    set_aside: pl.DataFrame | None = None,
) -> Look:
    """Look at everything as of the end of a day.

    What an item has an alert for is no news of its brand or category: they are looked at without
    such items.

    Args:
        opinions: All of them; those after the day are not read.
        items: `features.schema.Items`.
        day: Days since 1970, UTC.
        config: What an alert has to show.
        open_keys: Subjects by scope that have an alert, which are not found again.
        num_found: Alerts that earlier looks raised, by scope and block.
        set_aside: `ASIDE_SCHEMA`: days that belong to alerts which are resolved.
    """
    opened = {scope: set((open_keys or {}).get(scope, ())) for scope in SCOPES}
    aside = pl.DataFrame(schema=ASIDE_SCHEMA) if set_aside is None else set_aside
    of_items = aside.filter(pl.col("scope") == ITEM)
    others = opinions.without_items(opened[ITEM]).without_days(of_items)

    def series(scope: str, of: Opinions, categories: list[str] | None = None) -> Series:
        days = aside.filter(pl.col("scope") == scope)
        return series_of(
            of, items, scope, day=day, config=config, set_aside=days, categories=categories
        )

    categories = series(CATEGORY, others)
    found, nearest, num_subjects = [], [], {}
    for scope in SCOPES:
        of = opinions
        if scope != ITEM:
            rows = (rows.filter(pl.col("scope") == ITEM) for rows in found)
            of = others.without_items({key for part in rows for key in part["key"]})
        own = series(scope, of, categories.keys)
        num_subjects[scope] = len(own.keys)
        if not own.keys:
            continue
        shift_SD = category_shift(own.counts, own.parent_S, categories.counts)
        # Complaints of one aspect are a part of all that is negative, and move with it.
        worst = (own.worst_counts, own.worst_levels)
        whole_SD = onset_evidence(own.counts, own.levels, config, shift_SD, worst, own.returns)
        aspect_RD = onset_evidence(
            own.complaint_counts, own.complaint_levels, config, shift_SD[own.subject_R]
        )
        for block in blocks(day, config):
            evidence = _Evidence(
                scope=scope, series=own, shift_SD=shift_SD, whole_SD=whole_SD, aspect_RD=aspect_RD
            )
            before = (num_found or {}).get((scope, block.number), 0)
            rows = _found(evidence, block, day, opened[scope], before, config)
            is_found = pl.col("q_value") <= config.false_discovery_rate
            found.append(rows.filter(is_found))
            nearest.append(rows.filter(~is_found))
    rows, near = _of_subjects(found, "q_value"), _of_subjects(nearest, -pl.col("log_e_value"))
    near = near.join(rows, on=["scope", "key"], how="anti").sort("log_e_value", descending=True)
    return Look(
        found=rows.sort("scope", "q_value", "key"),
        nearest=near.group_by("scope", maintain_order=True).head(_NUM_NEAREST),
        num_subjects=num_subjects,
    )


def _of_subjects(parts: list[pl.DataFrame], order: str | pl.Expr) -> pl.DataFrame:
    """Return the first row of each subject."""
    rows = pl.concat(parts) if parts else pl.DataFrame(schema=FOUND_SCHEMA)
    rows = rows.sort(pl.col("scope"), pl.col("key"), order)
    return rows.unique(["scope", "key"], keep="first", maintain_order=True)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """Evidence on each onset of each series of a scope."""

    scope: str
    series: Series
    shift_SD: np.ndarray
    whole_SD: np.ndarray
    aspect_RD: np.ndarray


def _found(
    evidence: _Evidence,
    block: Block,
    day: int,
    opened: Collection[str],
    num_found: int,
    config: AlertConfig,
) -> pl.DataFrame:
    """Return what is found in a block, and besides whatever has the most evidence."""
    series, shift_SD, of_rows = evidence.series, evidence.shift_SD, evidence.series.subject_R
    days = slice(block.first, block.end)
    whole_S = log_e_value(evidence.whole_SD[:, days], config.block_days)
    aspect_R = log_e_value(evidence.aspect_RD[:, days], config.block_days)
    mean_S = np.zeros(len(whole_S))
    np.add.at(mean_S, of_rows, np.exp(np.minimum(aspect_R, 600.0)) / max(1, series.num_aspects))
    with np.errstate(divide="ignore"):
        log_e_S = np.logaddexp(
            whole_S + np.log(_STAKE_OF_WHOLE), np.log(mean_S) + np.log(1 - _STAKE_OF_WHOLE)
        )
    is_open = np.isin(np.array(series.keys), list(opened))
    log_e_S = np.where(is_open, -np.inf, log_e_S)
    q_S = adjusted(log_e_S, num_hypotheses=len(log_e_S), num_found=num_found)
    told = np.argsort(-log_e_S, kind="stable")[:_NUM_NEAREST][:, None]
    is_told = (q_S <= np.log(config.false_discovery_rate)) | (np.arange(len(q_S)) == told).any(0)
    # Without a review since the block began there is nothing to be told.
    is_told &= (series.counts.num_SD[:, block.first :].sum(axis=1) > 0) & ~is_open
    rows = []
    for s in np.flatnonzero(is_told).tolist():
        own = np.flatnonzero(of_rows == s)
        best = own[aspect_R[own].argmax()] if len(own) else -1
        is_aspect = best >= 0 and aspect_R[best] > whole_S[s]
        row, source = (best, series.complaint_counts) if is_aspect else (s, series.counts)
        log_D = (evidence.aspect_RD if is_aspect else evidence.whole_SD)[row]
        levels = series.complaint_levels if is_aspect else series.levels
        one = source.rows([row])
        datable = datable_days(one.num_SD[0], block)
        dated = onsets(log_D[None, datable], one.num_SD[:, datable])
        at = block.first + int(dated.likeliest[0])
        expected = expected_share(one, levels.rows([row]), shift_SD[[s]])[0, at]
        num, bad = (since[0, at] for since in one.since())
        first = day + 1 - config.window_days
        spoken = series.complained if is_aspect else series.negative
        if num_people(spoken, int(row), first + at) < config.least_negative:
            continue
        rose = [series.aspects[r] for r in own if aspect_R[r] >= min(log_e_S[s], whole_S[s])]
        rows.append(
            (
                evidence.scope,
                series.keys[s],
                series.aspects[best] if is_aspect else None,
                sorted(rose),
                block.number,
                float(np.exp(q_S[s])),
                float(log_e_S[s]),
                first + at,
                first + block.first + int(dated.low[0]),
                first + block.first + int(dated.high[0]),
                float(expected),
                float(bad / num) if num else 0.0,
                int(num),
                int(bad),
            )
        )
    return pl.DataFrame(rows, schema=FOUND_SCHEMA, orient="row")
