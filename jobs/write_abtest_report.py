"""One self-contained HTML page of an experiment, the verdict first. No script, no network."""

import json
from pathlib import Path

from jobs.abtest_words import DASH, interval, method_words, metric_row, number, p_words
from jobs.draw_abtest_figures import (
    draw_days,
    draw_exposures,
    draw_metrics,
    draw_segments,
)
from jobs.report_page import page, picture, table, text
from jobs.whole_files import write_whole
from recsys.abtest.analysis import Analysis
from recsys.abtest.segments import SegmentEffects
from recsys.abtest.verdict import interval_words


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
    rows = [metric_row(m) for m in found.metrics]
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
    parts = ["<h2>Effects</h2>", f"<p>{text(method_words(found))}</p>"]
    told = [m for m in found.metrics if m.tested is not None]
    # Lifts share an axis; differences are each in units of their own.
    drawn = [[m for m in told if m.metric.tested_scale == "relative"]]
    drawn += [[m] for m in told if m.metric.tested_scale == "absolute"]
    for metrics in filter(None, drawn):
        words = "; ".join(
            f"{m.metric.name} {interval_words(m.tested, m.metric)}" for m in metrics if m.tested
        )
        caption = "Squares are better, diamonds worse, circles open; upright bars are margins."
        parts.append(picture(draw_metrics(metrics), f"Intervals. {words}.", caption))
    parts.append(table("Each metric", head, rows))
    beliefs = [m for m in found.metrics if m.belief is not None]
    if beliefs:
        cells = [
            (
                m.metric.name,
                f"{m.belief.chance_to_beat_control:.2%}",
                number(m.belief.expected_loss, m.metric.tested_scale).removeprefix("+"),
                f"{number(m.belief.low, m.metric.tested_scale)} to "
                f"{number(m.belief.high, m.metric.tested_scale)}",
            )
            for m in beliefs
            if m.belief
        ]
        head = ("metric", "chance to beat control", "expected loss", "credible interval")
        parts.append(table("Bayesian reading, flat prior", head, cells))
    return "".join(parts)


def _over_time(found: Analysis) -> str:
    primary = next(m for m in found.metrics if m.metric.role == "primary")
    figure = draw_days(found.days, primary)
    if figure is None:
        return ""
    scale = primary.metric.tested_scale
    words = "; ".join(
        f"day {int(day.group) + 1} {interval(day.reading, scale)}" for day in found.days
    )
    caption = (
        "Each day is of users for whom it is over; intervals are of single days, without "
        "adjustment. An effect that falls is one of novelty."
    )
    return "<h2>Over time</h2>" + picture(figure, f"Effect by day. {words}.", caption)


def _for_whom(found: Analysis) -> str:
    primary = next(m for m in found.metrics if m.metric.role == "primary")
    figure = draw_segments(found.segments, primary)
    if figure is None:
        return ""
    scale = primary.metric.tested_scale
    words = "; ".join(
        f"{s.segment} {g.group} {interval(g.reading, scale)}"
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
        + picture(figure, f"Effect by segment. {words}.", caption)
        + table("Each segment", head, rows)
    )


def _segment_rows(segment: SegmentEffects, scale: str) -> list[tuple[str, ...]]:
    name = segment.segment if segment.is_declared else f"{segment.segment} (exploratory)"
    p = DASH if segment.heterogeneity_p is None else p_words(segment.heterogeneity_p)
    return [
        (
            name,
            group.group,
            f"{group.num_users:,}",
            interval(group.reading, scale),
            DASH if group.reading is None else p_words(group.reading.p_value),
            DASH if group.adjusted_p is None else p_words(group.adjusted_p),
            p,
        )
        for group in segment.groups
    ]


def _gates(found: Analysis) -> str:
    rows = "".join(
        f"<tr><th scope=row>{text(gate.name)}</th><td class={gate.status}>{gate.status}</td>"
        f"<td>{DASH if gate.p_value is None else p_words(gate.p_value)}</td>"
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
        + picture(draw_exposures(found), f"Users by day. {users}.", f"Users: {users}.")
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
