"""One self-contained HTML page of an experiment, the verdict first. No script, no network."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from jobs.draw_abtest_figures import (
    draw_days,
    draw_exposures,
    draw_metrics,
    draw_segments,
    embedded,
)
from jobs.whole_files import write_whole
from recsys.abtest.analysis import Analysis, MetricResult
from recsys.abtest.effects import Reading
from recsys.abtest.segments import SegmentEffects
from recsys.abtest.verdict import interval_words

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { max-width: 46rem; }
.dim { color: #57606a; margin-top: 0; overflow-wrap: anywhere; }
.verdict { border-left: .5rem solid #595959; background: #f6f8fa; padding: .6rem 1rem; }
.verdict strong { font-size: 1.35rem; } .verdict ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.ship { border-color: #0060a0; } .do-not-ship { border-color: #b34700; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin-top: 1rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de;
  font-variant-numeric: tabular-nums; font-weight: normal; vertical-align: top; }
thead th { color: #57606a; vertical-align: bottom; }
th:first-child, .words td { text-align: left; }
.words td:nth-child(2) { white-space: nowrap; } .refuse { color: #b34700; font-weight: 600; }
.warn { font-weight: 600; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .92rem; }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""
_DASH = "–"


def write_abtest_report(path: Path, found: Analysis) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The file to write.
        found: What it says.

    Raises:
        BadInputError: If the file cannot be written.
    """
    write_whole(path, abtest_report(found))


def abtest_report(found: Analysis) -> str:
    """Return the page as HTML; see `write_abtest_report`."""
    plan = found.plan
    kind = "A/A test" if plan.mode == "aa" else "Experiment"
    parts = [
        f"<main><h1>{kind} {text(plan.name)}</h1>",
        f"<p class=dim>{text(plan.treatment.name)} against {text(plan.control.name)}, "
        f"{plan.start.isoformat()} to {plan.end.isoformat()}, data up to "
        f"{found.as_of.isoformat()}; plan {plan.sha256()}</p>",
        _verdict(found),
    ]
    if found.metrics:
        parts += [_effects(found), _over_time(found), _for_whom(found)]
    else:
        parts.append("<p>Effects are not shown: the data are not fit to decide on.</p>")
    parts += [_gates(found), _data(found), _plan(found), "</main>"]
    return page(f"{kind} {plan.name}: {found.verdict.decision}", "".join(parts))


def page(title: str, body: str) -> str:
    """Return a whole page that loads nothing and runs nothing."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, is_words: bool = False
) -> str:
    """Return a table; cells are escaped."""
    columns = "".join(f"<th scope=col>{text(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope=row>{text(row[0])}</th>"
        + "".join(f"<td>{text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    kind = " class=words" if is_words else ""
    return (
        f"<div class=wide><table{kind}><caption>{text(caption)}</caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def text(value: object) -> str:
    """Return a value as text of a page."""
    return html.escape(str(value))


def _verdict(found: Analysis) -> str:
    decision = found.verdict.decision
    words = decision.upper()
    if found.plan.mode == "aa":
        words = {"ship": "ALIKE", "do not ship": "NOT ALIKE"}.get(decision, words)
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in found.verdict.reasons)
    kind = decision.replace(" ", "-")
    return f"<div class='verdict {kind}'><strong>{words}</strong><ul>{reasons}</ul></div>"


def _effects(found: Analysis) -> str:
    plan = found.plan
    rows = [_metric_row(m) for m in found.metrics]
    head = (
        "metric",
        "role",
        plan.control.name,
        plan.treatment.name,
        "difference",
        "lift",
        "p",
        "adjusted p",
        "reading",
    )
    parts = ["<h2>Effects</h2>", f"<p>{text(_method_words(found))}</p>"]
    for scale in ("relative", "absolute"):
        figure = draw_metrics(found.metrics, scale)
        if figure is not None:
            told = [m for m in found.metrics if m.metric.tested_scale == scale and m.tested]
            words = "; ".join(
                f"{m.metric.name} {interval_words(m.tested, m.metric)}" for m in told if m.tested
            )
            caption = "Squares are better, diamonds worse, circles open; upright bars are margins."
            parts.append(embedded(figure, f"Intervals. {words}.", caption))
    parts.append(table("Each metric", head, rows))
    beliefs = [m for m in found.metrics if m.belief is not None]
    if beliefs:
        cells = [
            (
                m.metric.name,
                f"{m.belief.chance_to_beat_control:.2%}",
                _number(m.belief.expected_loss, m.metric.tested_scale),
                f"{_number(m.belief.low, m.metric.tested_scale)} to "
                f"{_number(m.belief.high, m.metric.tested_scale)}",
            )
            for m in beliefs
            if m.belief
        ]
        head = ("metric", "chance to beat control", "expected loss", "credible interval")
        parts.append(table("Bayesian reading, flat prior", head, cells))
    return "".join(parts)


def _method_words(found: Analysis) -> str:
    plan = found.plan
    analyses = {
        "welch": "Welch's unequal-variance test",
        "cuped": f"CUPED on {plan.pre_period_days:g} days before, where a metric has a past",
        "post-stratified": f"post-stratification by {plan.segments[0].name}"
        if plan.segments
        else "",
    }
    looks = {"none": "one look at the end", "always-valid": "always-valid intervals"}
    stop = looks.get(plan.sequential.method, f"{plan.sequential.method} alpha spending")
    parts = [
        f"Intervals of {1 - plan.alpha:.1%}, {plan.sides}-sided.",
        f"Means by {analyses[plan.analysis]}; {stop}.",
        f"Outcomes of {plan.window_days:g} days from the first exposure.",
        f"Secondary metrics are adjusted by {plan.multiple_testing}, and confirmed only where the "
        "primary metric is significant.",
    ]
    if found.critical:
        bounds = ", ".join(f"{value:.4f} at {when:.0%}" for when, value in found.critical.items())
        parts.append(f"Boundaries of the standardised effect: {bounds}.")
    caps = [f"{m.metric.name} at {m.cap:,.4g}" for m in found.metrics if m.cap is not None]
    if caps:
        parts.append(f"Users' sums are winsorised in both arms alike: {', '.join(caps)}.")
    cuts = [
        f"{m.metric.name} by {m.variance_cut:.1%}"
        for m in found.metrics
        if m.variance_cut is not None
    ]
    if cuts:
        parts.append(f"The adjustment cut the variance of {', '.join(cuts)}.")
    notes = [f"{m.metric.name}: {m.note}" for m in found.metrics if m.note]
    return " ".join([*parts, *(f"{note}." for note in notes)])


def _metric_row(m: MetricResult) -> tuple[str, ...]:
    return (
        m.metric.name,
        m.metric.role,
        _DASH if m.control is None else f"{m.control.mean:,.5g}",
        _DASH if m.treatment is None else f"{m.treatment.mean:,.5g}",
        _interval(m.absolute, "absolute"),
        _interval(m.relative, "relative"),
        _DASH if m.tested is None else _p(m.tested.p_value),
        _DASH if m.adjusted_p is None else _p(m.adjusted_p),
        _judged(m),
    )


def _judged(m: MetricResult) -> str:
    if m.metric.role == "guardrail":
        return {False: "not inferior", True: "inferior", None: "open"}[m.is_inferior]
    if m.tested is None:
        return "not told"
    if not m.is_significant:
        return "open"
    is_better = (m.tested.value > 0) == (m.metric.better == "higher")
    return "better" if is_better else "worse"


def _over_time(found: Analysis) -> str:
    primary = next(m for m in found.metrics if m.metric.role == "primary")
    figure = draw_days(found.days, primary)
    if figure is None:
        return ""
    scale = primary.metric.tested_scale
    words = "; ".join(
        f"day {int(day.group) + 1} {_interval(day.reading, scale)}" for day in found.days
    )
    caption = (
        "Each day is of users for whom it is over; intervals are of single days, without "
        "adjustment. An effect that falls is one of novelty."
    )
    return "<h2>Over time</h2>" + embedded(figure, f"Effect by day. {words}.", caption)


def _for_whom(found: Analysis) -> str:
    primary = next(m for m in found.metrics if m.metric.role == "primary")
    figure = draw_segments(found.segments, primary)
    if figure is None:
        return ""
    scale = primary.metric.tested_scale
    words = "; ".join(
        f"{s.segment} {g.group} {_interval(g.reading, scale)}"
        for s in found.segments
        for g in s.groups
    )
    caption = "Unadjusted, by users' state before their first exposure."
    if any(not s.is_declared for s in found.segments):
        caption += " * exploratory: the plan does not have it, so it is an idea and no finding."
    rows = [row for segment in found.segments for row in _segment_rows(segment, scale)]
    head = ("segment", "group", "users", "effect", "p", "adjusted p", "p of heterogeneity")
    return (
        "<h2>For whom</h2>"
        + embedded(figure, f"Effect by segment. {words}.", caption)
        + table("Each segment", head, rows)
    )


def _segment_rows(segment: SegmentEffects, scale: str) -> list[tuple[str, ...]]:
    name = segment.segment if segment.is_declared else f"{segment.segment} (exploratory)"
    p = _DASH if segment.heterogeneity_p is None else _p(segment.heterogeneity_p)
    return [
        (
            name,
            group.group,
            f"{group.num_users:,}",
            _interval(group.reading, scale),
            _DASH if group.reading is None else _p(group.reading.p_value),
            _DASH if group.adjusted_p is None else _p(group.adjusted_p),
            p,
        )
        for group in segment.groups
    ]


def _gates(found: Analysis) -> str:
    rows = "".join(
        f"<tr><th scope=row>{text(gate.name)}</th><td class={gate.status}>{gate.status}</td>"
        f"<td>{_DASH if gate.p_value is None else _p(gate.p_value)}</td>"
        f"<td>{text(gate.message)}</td></tr>"
        for gate in found.gates
    )
    return (
        "<h2>Whether the data are fit</h2><div class=wide><table class=words><thead><tr>"
        "<th scope=col>gate</th><th scope=col>status</th><th scope=col>p</th>"
        f"<th scope=col>found</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _data(found: Analysis) -> str:
    plan = found.plan
    counts = [(name.replace("_", " "), f"{number:,}") for name, number in found.counts.items()]
    users = f"{found.num_users[0]:,} of {plan.control.name}, {found.num_users[1]:,} of "
    users += plan.treatment.name
    return (
        "<h2>The data</h2>"
        + embedded(draw_exposures(found), f"Users by day. {users}.", f"Users: {users}.")
        + table("Rows and users", ("", "count"), counts)
    )


def _plan(found: Analysis) -> str:
    content = json.dumps(found.plan.model_dump(mode="json"), indent=1, ensure_ascii=False)
    seen = found.record.first_seen
    when = "never recorded" if seen is None else f"first recorded at {seen.isoformat()}"
    return (
        f"<h2>The plan</h2><p class=dim>SHA-256 {found.plan.sha256()}, {when}, "
        f"{found.record.num_versions} recorded versions</p><pre>{text(content)}</pre>"
    )


def _interval(reading: Reading | None, scale: str) -> str:
    if reading is None:
        return _DASH
    value, low, high = (_number(v, scale) for v in (reading.value, reading.low, reading.high))
    return f"{value} ({low} to {high})"


def _number(value: float, scale: str) -> str:
    return f"{value:+.2%}" if scale == "relative" else f"{value:+,.4g}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"
