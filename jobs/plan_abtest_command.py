"""The command `sentirec abtest plan`: how many users and days, and the plan is locked."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.analyze_abtest_command import ExposuresOption, OutcomesOption, PlanOption
from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output

if TYPE_CHECKING:
    import polars as pl

    from recsys.abtest.history import Forecast, MetricNeeds, Need
    from recsys.abtest.plan import Plan


def plan(
    plan: PlanOption = Path("abtest.toml"),
    outcomes: OutcomesOption = None,
    exposures: ExposuresOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Say how many users and days an experiment needs by the past, and lock its plan.

    The plan's hash and the time are recorded beside it, in `.lock.json`: run this before the start,
    and again after every change. Users take part from their first exposure of the past, or without
    `--exposures` from their first event that is no outcome of the plan's (of any, where there is no
    such event).
    """
    from jobs.lock_abtest_plan import read_plan, record_plan

    output, opened = Output(json), read_plan(plan)
    lock = record_plan(plan, opened, now=datetime.now(UTC))
    seen = lock.record(opened).first_seen
    assert seen is not None
    output.console.print(f"plan {opened.sha256()}, first recorded at {seen.isoformat()}")
    if len(lock.plans) > 1:
        output.console.print(f"{len(lock.plans)} versions of the plan are recorded")
    from recsys.abtest.history import forecast

    log, entries = _past(opened, outcomes, exposures, store, config)
    from jobs.scan_abtest_logs import day_after

    moment = parse_moment(as_of) or min(opened.start, day_after([log]))
    if moment > opened.start:
        raise BadInputError(
            f"--as-of {moment.isoformat()} is after the start {opened.start.isoformat()}: the past "
            "of an experiment ends where it starts"
        )
    found = forecast(opened, log, entries, as_of=moment)
    output.console.print(_table(found))
    output.console.print(
        f"{found.num_users:,} users took part from {found.since.isoformat()} to "
        f"{found.until.isoformat()}, {opened.duration_days:g} days as planned"
    )
    output.write_json(
        {
            "experiment": opened.name,
            "sha256": opened.sha256(),
            "first_recorded": seen.isoformat(),
            "num_versions": len(lock.plans),
        }
        | _forecast_json(found)
    )


def _past(
    plan: "Plan",
    outcomes: Path | None,
    exposures: Path | None,
    store: str | None,
    config: Path | None,
) -> tuple["pl.LazyFrame", "pl.LazyFrame"]:
    """Open the log of outcomes, and of what lets users take part."""
    from jobs.scan_abtest_logs import scan_file, scan_store
    from recsys.abtest import outcomes as outcome_sums

    if outcomes is None:
        if exposures is not None:
            raise BadInputError("--exposures goes with --outcomes")
        from jobs.settings import score_config
        from jobs.stage_commands import load_settings, open_store
        from sentiment.scorer import model_version

        settings = load_settings(config)
        version = model_version(score_config(settings).scorer)
        opened = open_store(store, settings)
        # Exposures of the past are of other experiments: any event lets a user take part.
        log = scan_store(opened, model_version=version, with_exposures=False).outcomes
        return log, _entries(plan, log)
    if store is not None:
        raise BadInputError("give --store, or --outcomes, not both")
    log = scan_file(outcomes, outcome_sums.WANTED)
    if exposures is None:
        return log, _entries(plan, log)
    return log, scan_file(exposures, ("user_id", "event_time"))


def _entries(plan: "Plan", log: "pl.LazyFrame") -> "pl.LazyFrame":
    """Return events that let users take part: an outcome would count itself."""
    import polars as pl

    outcomes = sorted({metric.numerator[0] for metric in plan.metrics})
    others = log.filter(~pl.col("event_type").is_in(outcomes))
    return log if others.head(1).collect(engine="streaming").is_empty() else others


def _table(found: "Forecast") -> Table:
    table = Table(title="what metrics need, without and with CUPED")
    table.add_column("metric", overflow="fold")
    names = ("role", "mean", "variance cut", "users", "with CUPED", "days", "with CUPED")
    for name in (*names, "MDE as planned", "with CUPED"):
        table.add_column(name, justify="right")
    for needs in found.metrics:
        cut = "–" if needs.variance_cut is None else f"{needs.variance_cut:.1%}"
        both = (needs.plain, needs.cuped)
        table.add_row(
            needs.metric.name,
            needs.metric.role,
            f"{needs.mean:,.4g}",
            cut,
            *(_count(None if need is None else need.num_users) for need in both),
            *(_count(None if need is None else need.duration_days) for need in both),
            *(_effect(needs, need) for need in both),
        )
    return table


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _effect(needs: "MetricNeeds", need: "Need | None") -> str:
    if need is None or need.minimum_detectable_effect is None:
        return "–"
    value = need.minimum_detectable_effect
    return f"{value:.2%}" if needs.metric.tested_scale == "relative" else f"{value:.4g}"


def _forecast_json(found: "Forecast") -> dict[str, Any]:
    return {
        "history": {
            "since": found.since.isoformat(),
            "until": found.until.isoformat(),
            "num_users": found.num_users,
        },
        "metrics": {
            needs.metric.name: {
                "role": needs.metric.role,
                "scale": needs.metric.tested_scale,
                "mean": needs.mean,
                "variance_cut": needs.variance_cut,
                "plain": asdict(needs.plain),
                "cuped": None if needs.cuped is None else asdict(needs.cuped),
            }
            for needs in found.metrics
        },
    }
