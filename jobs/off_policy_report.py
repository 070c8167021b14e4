"""One self-contained HTML page of an off-policy evaluation, verdict first. No script in it."""

from typing import TYPE_CHECKING

import numpy as np

from jobs.report_page import page, picture, table, text
from recsys.off_policy import OffPolicyReport
from recsys.off_policy.overlap import TOP_SHARE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _BLUE, _RED, _PALE = "#1b1f24", "#0072b2", "#b34700", "#8c959f"


def off_policy_report(report: OffPolicyReport, *, source: str, left_out: dict[str, int]) -> str:
    """Return the page.

    Args:
        report: What was found.
        source: Where the log is from, for the reader.
        left_out: Exposures that were left out, by why.
    """
    refused = bool(report.reasons)
    kind = "refused" if refused else "answered"
    parts = [
        f"<main><h1>{text(report.reward)} of {text(report.policy)}, from the log of another</h1>",
        f"<p class=dim>{text(source)}</p>",
        f'<div class="verdict {kind}"><strong>{text(report.verdict)}</strong>'
        f"{_verdict(report)}</div>",
        *(f"<p>Caution: {text(told)}.</p>" for told in report.cautions),
    ]
    if not refused:
        parts += [
            "<h2>Estimates</h2>",
            picture(
                _draw_estimates(report),
                "Estimates with their bootstrap intervals; the values are in the table.",
                "Values with 95% bootstrap intervals; the line is what the log itself earned. "
                "Clipped, switched and shrunk estimators and direct methods are biased: their "
                "intervals lie around their own mean.",
            ),
            _estimates(report),
            *(f"<p>No {text(name)}: {text(why)}.</p>" for name, why in report.left_out.items()),
        ]
    parts += [
        "<h2>Overlap</h2>",
        picture(
            _draw_weights(report.weight),
            "How many rows have which weight; the figures are in the table.",
            "Rows by weight, the policy's chance over the logged one. The more rows at 0 and the "
            "longer the tail, the fewer rows the answer rests on.",
        ),
        _overlap(report, left_out),
        "</main>",
    ]
    title = f"{report.reward} of {report.policy}: {report.verdict}"
    return page(title, "".join(parts))


def _verdict(report: OffPolicyReport) -> str:
    if report.reasons:
        return "<ul>" + "".join(f"<li>{text(why)}</li>" for why in report.reasons) + "</ul>"
    found = report.estimates[report.estimator]
    low, high = found.intervals.bootstrap
    return (
        f": by {text(report.estimator)} the policy earns {found.value:.6f} ({low:.6f} to "
        f"{high:.6f}); the log itself earned {report.logged_value:.6f} "
        f"({report.logged_interval[0]:.6f} to {report.logged_interval[1]:.6f})."
    )


def _estimates(report: OffPolicyReport) -> str:
    rows = []
    for name, found in report.estimates.items():
        bounds = found.intervals
        cells = [f"{found.value:.6f}", f"{bounds.standard_error:.6f}"]
        pairs = (bounds.bootstrap, bounds.normal, bounds.empirical_bernstein)
        cells += ["–" if pair is None else f"{pair[0]:.6f} to {pair[1]:.6f}" for pair in pairs]
        rows.append((name, *cells, f"{found.effective_sample_size:,.1f}"))
    head = (
        "estimator",
        "value",
        "standard error",
        "bootstrap",
        "normal",
        "empirical Bernstein",
        "effective n",
    )
    return table("", head, rows)


def _overlap(report: OffPolicyReport, left_out: dict[str, int]) -> str:
    found = report.overlap
    rows = [
        ("rows", f"{report.num_rows:,}"),
        ("actions", f"{report.num_actions:,}"),
        ("lists", "–" if report.num_lists is None else f"{report.num_lists:,}"),
        ("drawn together (users or lists)", f"{report.num_groups:,}"),
        ("effective sample size", f"{found.effective_sample_size:,.1f}"),
        ("largest weight", f"{found.largest_weight:.4f}"),
        ("its share of all weight", f"{found.largest_share:.2%}"),
        (f"share of the top {TOP_SHARE:.0%} of rows", f"{found.top_share:.2%}"),
        ("mean weight", f"{found.mean_weight:.4f} ± {found.mean_weight_error:.4f}"),
        ("shown by the policy and never logged", f"{found.unlogged_share:.2%}"),
        ("effective users or lists", f"{found.num_effective_groups:,.1f}"),
        ("rewarded rows that carry it", f"{found.num_effective_rewards:.1f}"),
        *((f"exposures left out {why}", f"{count:,}") for why, count in left_out.items()),
    ]
    return table("", ("of the log", ""), rows)


def _draw_estimates(report: OffPolicyReport) -> "Figure":
    from matplotlib.figure import Figure

    names = [name for name in report.estimates if not name.endswith(("ips", "inverse"))]
    figure = Figure(figsize=(8, 0.6 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(report.logged_value, color=_PALE, linestyle="--", linewidth=1)
    for place, name in enumerate(reversed(names)):
        found = report.estimates[name]
        low, high = found.intervals.bootstrap
        color = _RED if name == report.estimator else _BLUE
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot([found.value], [place], "o", color=color, markersize=5)
    axes.set_yticks(range(len(names)), list(reversed(names)), fontsize=8, color=_INK)
    axes.set_xlabel(f"mean {report.reward} of a place")
    return figure


def _draw_weights(weight: np.ndarray) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot()
    some = weight[weight > 0]
    if len(some) and some.max() > some.min():
        axes.hist(some, bins=np.geomspace(some.min(), some.max(), 40).tolist(), color=_BLUE)
        axes.set_xscale("log")
    elif len(some):
        axes.bar([some[0]], [len(some)], width=0.1 * some[0], color=_BLUE)
    axes.set_yscale("symlog", linthresh=1)
    axes.axvline(1.0, color=_PALE, linestyle="--", linewidth=1)
    axes.set_xlabel(f"weight; {len(weight) - len(some):,} rows have weight 0")
    axes.set_ylabel("rows")
    return figure
