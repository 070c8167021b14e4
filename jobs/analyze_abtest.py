"""An experiment from plan and logs to everything that its report says, as JSON."""

import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from jobs.analyze_abtest_shards import num_shards_for, sharded
from jobs.errors import BadInputError
from jobs.lock_abtest_plan import read_lock, record_look
from jobs.scan_abtest_logs import AbtestLogs, day_after
from recsys.abtest.analysis import Analysis, analyse, analyse_parts
from recsys.abtest.effects import Reading
from recsys.abtest.estimates import ArmEstimate
from recsys.abtest.metric_results import MetricResult
from recsys.abtest.plan import Plan
from recsys.abtest.segments import GroupEffect

EXIT_CODES = {"ship": 0, "do not ship": 3, "not decidable": 4}
# Figures are the same on every run to this many digits, whatever the order of additions.
_DIGITS = 10


def analyze(
    plan: Plan,
    plan_path: Path,
    logs: AbtestLogs,
    *,
    as_of: datetime | None = None,
    explored: list[str] | None = None,
    num_shards: int | None = None,
    scratch: Path | None = None,
    with_ray: bool = True,
) -> Analysis:
    """Analyse an experiment, and record beside its plan that the data were looked at.

    The result is the same with any number of shards.

    Args:
        plan: What is asked.
        plan_path: Where it lies.
        logs: Of exposures and outcomes.
        as_of: Rows at or after it are not used; None for the midnight after the newest row.
        explored: Columns of exposures in which to look for heterogeneity.
        num_shards: Of users, see `jobs.analyze_abtest_shards`; one reads all of them in this
            process. None: by the number of rows.
        scratch: Where shards are written.
        with_ray: Whether shards are tasks of Ray.

    Raises:
        BadInputError: The logs cannot be read, or the record or shards cannot be written.
        ExperimentLogError: A column is missing, or an arm is empty.
    """
    lock = read_lock(plan_path)
    try:
        moment = as_of or day_after(logs)
        options: Any = {
            "as_of": moment,
            "earlier_looks": [look for look in lock.looks if look < moment],
            "record": lock.record(plan),
            "explored": explored or [],
        }
        num = num_shards or num_shards_for(logs)
        if num == 1:
            found = analyse(plan, logs.exposures, logs.outcomes, **options)
        else:
            with sharded(
                logs, plan, explored or [], num_shards=num, scratch=scratch, with_ray=with_ray
            ) as each:
                found = analyse_parts(plan, each, **options)
    except pl.exceptions.PolarsError as error:
        raise BadInputError(f"the logs cannot be read: {error}") from error
    record_look(plan_path, lock, moment)
    return found


def analysis_json(found: Analysis) -> dict[str, Any]:
    """Return an analysis as JSON types; figures to ten significant digits."""
    plan = found.plan
    content = {
        "experiment": plan.name,
        "mode": plan.mode,
        "decision": found.verdict.decision,
        "reasons": list(found.verdict.reasons),
        "exit_code": EXIT_CODES[found.verdict.decision],
        "plan": {
            "sha256": plan.sha256(),
            "first_recorded": found.record.first_seen,
            "num_versions": found.record.num_versions,
            "content": plan.model_dump(mode="json"),
        },
        "as_of": found.as_of,
        "users": {
            plan.control.name: found.num_users[0],
            plan.treatment.name: found.num_users[1],
        },
        "counts": found.counts,
        "gates": [asdict(gate) for gate in found.gates],
        "boundaries": [
            {"share_of_time": fraction, "critical_value": value}
            for fraction, value in found.critical.items()
        ],
        "metrics": {m.metric.name: _metric_json(m) for m in found.metrics},
        "by_day": [_group_json(group) for group in found.days],
        "segments": [
            {
                "segment": segment.segment,
                "exploratory": not segment.is_declared,
                "heterogeneity_p": segment.heterogeneity_p,
                "groups": [_group_json(group) for group in segment.groups],
            }
            for segment in found.segments
        ],
    }
    return plain(content)


def _metric_json(result: MetricResult) -> dict[str, Any]:
    return {
        "kind": result.metric.kind,
        "role": result.metric.role,
        "better": result.metric.better,
        "tested": result.metric.tested_scale,
        "control": _arm_json(result.control),
        "treatment": _arm_json(result.treatment),
        "absolute": _reading_json(result.absolute),
        "relative": _reading_json(result.relative),
        "adjusted_p": result.adjusted_p,
        "significant": result.is_significant,
        "margin": result.metric.margin,
        "inferior": result.is_inferior,
        "posterior": None if result.belief is None else asdict(result.belief),
        "winsorised_at": result.cap,
        "cuped_theta": result.theta,
        "variance_cut": result.variance_cut,
        "note": result.note,
    }


def _arm_json(arm: ArmEstimate | None) -> dict[str, Any] | None:
    if arm is None:
        return None
    return {
        "num_users": arm.num_users,
        "estimate": arm.mean,
        "standard_error": math.sqrt(arm.variance),
    }


def _reading_json(reading: Reading | None) -> dict[str, Any] | None:
    return None if reading is None else asdict(reading)


def _group_json(group: GroupEffect) -> dict[str, Any]:
    return {
        "group": group.group,
        "num_users": group.num_users,
        "effect": _reading_json(group.reading),
        "adjusted_p": group.adjusted_p,
    }


def plain(value: Any) -> Any:
    """Return JSON types: times as ISO 8601, figures to ten significant digits, infinite as null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value
