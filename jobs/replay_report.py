"""One self-contained HTML page of a replay of two bundles, verdict first. No script in it."""

from jobs.replay_bundles import BETTER, ReplayReport
from jobs.report_page import page, table, text
from recsys.bundle_replay import ChangedUser
from recsys.slices import Slice

_BAR_PX = 260


def replay_report(report: ReplayReport) -> str:
    """Return the page."""
    comparison = report.comparison
    kind = "answered" if report.verdict == BETTER else "refused"
    title = f"{report.b} against {report.a} on history"
    parts = [
        f"<main><h1>{text(title)}</h1>",
        f"<p class=dim>{report.num_test_users:,} users who bought something new since "
        f"{text(report.split_at.isoformat())}</p>",
        f'<div class="verdict {kind}"><strong>{text(report.verdict)}</strong>'
        f" by {text(report.metric)}</div>",
        *(f"<p>Caution: {text(told)}.</p>" for told in report.cautions),
        "<h2>Metrics</h2>",
        _metrics(report),
        "<h2>For whom</h2>",
        _slices("bought before", comparison.by_history),
        _slices("how they spoke", comparison.by_mood),
        f"<h2>Whose lists changed</h2><p>{comparison.num_changed:,} users have another list; those "
        "with the largest change are shown, what they bought is bold.</p>",
        *(_lists(report, user) for user in comparison.changed),
        "</main>",
    ]
    return page(title, "".join(parts))


def _metrics(report: ReplayReport) -> str:
    of_a, of_b = report.comparison.metrics["a"], report.comparison.metrics["b"]
    names = sorted({*of_a, *of_b, *report.comparison.differences})
    rows = []
    for name in names:
        found = report.comparison.differences.get(name)
        cells = [f"{of[name]:.4f}" if name in of else "–" for of in (of_a, of_b)]
        if found is not None:
            cells += [
                f"{found.difference:+.4f}",
                f"{found.low:+.4f} to {found.high:+.4f}",
                f"{found.p_value:.4f}",
                f"{report.comparison.num_users[name]:,}",
            ]
        elif name in of_a and name in of_b:
            cells += [f"{of_b[name] - of_a[name]:+.4f}", "–", "–", "–"]
        else:
            cells += ["–"] * 4
        rows.append((name, *cells))
    return table("", ("metric", "a", "b", "b - a", "95% interval", "p", "users"), rows)


def _slices(first: str, slices: list[Slice]) -> str:
    """Return differences by group as a table, with the interval drawn as shapes."""
    reach = max((max(abs(s.low), abs(s.high)) for s in slices), default=0.0) or 1.0
    rows = "".join(
        f"<tr><th scope=row>{text(s.group)}</th><td>{s.num:,}</td><td>{s.ndcg:+.4f}</td>"
        f"<td>{s.low:+.4f} to {s.high:+.4f}</td><td>{_interval(s, reach)}</td></tr>"
        for s in slices
    )
    head = "".join(
        f"<th scope=col>{text(name)}</th>"
        for name in (first, "users", "ndcg@10, b - a", "95% interval", "")
    )
    return (
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _interval(found: Slice, reach: float) -> str:
    def x(value: float) -> str:
        return f"{(1 + value / reach) * _BAR_PX / 2:.1f}"

    return (
        f'<svg width="{_BAR_PX}" height="14" role="img" aria-label="interval">'
        f'<line x1="{x(0)}" x2="{x(0)}" y1="0" y2="14" stroke="#8c959f"/>'
        f'<line x1="{x(found.low)}" x2="{x(found.high)}" y1="7" y2="7" stroke="#0072b2" '
        f'stroke-width="3"/><circle cx="{x(found.ndcg)}" cy="7" r="4" fill="#0072b2"/></svg>'
    )


def _lists(report: ReplayReport, user: ChangedUser) -> str:
    def named(item: str) -> str:
        title = text(report.titles.get(item, item))
        return f"<strong>{title}</strong>" if item in user.targets else title

    rows = []
    for place in range(max(len(user.items_a), len(user.items_b))):
        cells = [
            named(items[place]) if place < len(items) else ""
            for items in (user.items_a, user.items_b)
        ]
        rows.append(
            f"<tr><th scope=row>{place + 1}</th><td>{cells[0]}</td><td>{cells[1]}</td></tr>"
        )
    head = f"<th></th><th scope=col>{text(report.a)}</th><th scope=col>{text(report.b)}</th>"
    return (
        f"<h3>{text(user.user_id)}: {user.ndcg_a:.3f} to {user.ndcg_b:.3f}</h3>"
        f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )
