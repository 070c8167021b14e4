"""Results as tables for people, and as the JSON shape that every quality report has."""

from typing import Any

from rich.table import Table

from jobs.run_pipeline import PipelineReport
from recsys.outcomes import BackTest

_SHOWN = ("ndcg@10", "recall@10", "recall@100", "recall@200", "mrr", "coverage@10")
SHOWN = "as shown"


def metrics_table(
    metrics: dict[str, dict[str, float]], shown: dict[str, float] | None = None
) -> Table:
    """Return one row a peer, source, the fused candidates, the ranker, and lists as shown."""
    table = Table(title="full ranking, bought items excluded")
    table.add_column("source", no_wrap=True)
    for name in _SHOWN:
        table.add_column(name, justify="right", no_wrap=True)
    for source, values in (metrics | ({} if shown is None else {SHOWN: shown})).items():
        style = "bold" if source == "ranker" else None
        table.add_row(source, *(f"{values[name]:.4f}" for name in _SHOWN), style=style)
    return table


def features_table(described: list[dict[str, Any]]) -> Table:
    """Return one row a feature, as `features.feature.Feature.described` tells it."""
    table = Table(title="features")
    for name in ("scope", "name", "unit", "days", "default"):
        table.add_column(name, no_wrap=True, justify="right" if name == "days" else "left")
    table.add_column("meaning", overflow="fold")
    for feature in described:
        window, default = feature["window_days"], feature["default"]
        table.add_row(
            feature["scope"],
            feature["name"],
            feature["unit"],
            "all" if window is None else str(window),
            "null" if default is None else str(default),
            feature["meaning"],
        )
    return table


def outcome_table(what: str, test: BackTest) -> Table:
    """Return one row a way to tell an outcome, as it did on the past."""
    told = f"{what}, told beforehand: {test.num_outcomes:,} of {test.num_asked:,}"
    table = Table(title=told)
    table.add_column("", no_wrap=True)
    for name in ("AUC (95%)", "above it by (95%)", "PR-AUC", "lift", "ECE", "told / came"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in test.figures.items():
        gain = test.gains.get(name)
        table.add_row(
            name,
            f"{row.auc:.3f} ({row.auc_low:.3f}..{row.auc_high:.3f})",
            "" if gain is None else "{:+.3f} ({:+.3f}..{:+.3f})".format(*gain),
            f"{row.pr_auc:.3f}",
            f"{row.lift:.2f}",
            f"{row.calibration_error:.3f}",
            f"{row.predicted_to_actual:.2f}",
        )
    return table


def sentiment_line(gain: dict[str, float] | None) -> str:
    """Return what texts add to stars, in one sentence."""
    if gain is None:
        return "too few reviewed purchases to tell what texts add to stars"
    return (
        f"stars of {gain['num_purchases']:,.0f} held-out purchases, told beforehand: "
        f"R2 {gain['r2_stars']:.3f} from stars, {gain['r2_stars_and_signals']:.3f} with sentiment; "
        f"gain {gain['gain']:+.4f}, 95% [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    )


def timings_table(timings_s: dict[str, float]) -> Table:
    """Return one row a step, and their sum."""
    table = Table(title="time")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for step, seconds in timings_s.items():
        table.add_row(step, f"{seconds:.1f}")
    table.add_row("together", f"{sum(timings_s.values()):.1f}", style="bold")
    return table


def quality_json(metrics: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return `metrics` of peers, sources and ranker, and `candidates`: all sources together."""
    return {
        "metrics": {name: values for name, values in metrics.items() if name != "candidates"},
        "candidates": metrics.get("candidates", {}),
    }


def pipeline_json(report: PipelineReport) -> dict[str, Any]:
    """Return `metrics`, `candidates`, `data`, `timings_s`, and what was published."""
    manifest = report.train.manifest if report.train else None
    data: dict[str, Any] = dict(manifest.data) if manifest else {}
    if report.drained:
        data["event_log"] = report.drained.to_dict()
    if report.ingest:
        data["ingest"] = report.ingest.to_dict()
    if report.score:
        data["scored"] = report.score.scored + report.score.copied
        data["model_version"] = report.score.model_version
    if report.profiles:
        data["profiles"] = report.profiles.rows
    return quality_json(manifest.metrics if manifest else {}) | {
        "data": data,
        "timings_s": report.timings_s,
        "published": report.published.version if report.published else None,
    }
