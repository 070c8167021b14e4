"""`sentirec abtest replay`: two bundles on historical data, user by user."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError, GateRefusedError, NotDecidableError
from jobs.options import ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output

if TYPE_CHECKING:
    from rich.table import Table

    from jobs.replay_bundles import ReplayReport
    from recsys.bundle_replay import ChangedUser


def replay(
    a: Annotated[str, typer.Option("--a", help="Version of the bundle that is.")],
    b: Annotated[str, typer.Option("--b", help="Version of the bundle that may be.")],
    split_at: Annotated[
        str | None,
        typer.Option(help="ISO 8601; asked is what was bought since. Default: what neither saw."),
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Even where a bundle has seen the answers.")
    ] = False,
    metric: Annotated[
        str, typer.Option("--metric", help="That decides, such as ndcg@10 or regret@10.")
    ] = "ndcg@10",
    alpha: Annotated[
        float, typer.Option("--alpha", min=0.0001, max=0.5, help="Size of the test.")
    ] = 0.05,
    top: Annotated[int, typer.Option("--top", min=0, help="Changed users to show.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of resamples and signs.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the report as one HTML page.")
    ] = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Compare two bundles on what was bought after they were made.

    Exit code 0: B is better by the metric. 3: worse. 4: that cannot be told. The test is Fisher's
    randomisation over users, the interval a paired bootstrap.
    """
    from jobs.replay_bundles import UNDECIDED, WORSE, replay_bundles
    from jobs.replay_report import replay_report
    from jobs.stage_commands import load_settings, open_store
    from jobs.whole_files import check_folder, write_whole
    from recsys.bundle_replay import PAIRED

    output = Output(json)
    if metric not in PAIRED:
        raise BadInputError(f"unknown metric {metric!r}; known: {', '.join(PAIRED)}")
    if out is not None:
        check_folder(out)
    report = replay_bundles(
        open_store(store, load_settings(config)),
        a,
        b,
        split_at=parse_moment(split_at),
        allow_seen=allow_seen,
        metric=metric,
        alpha=alpha,
        seed=seed,
        num_shown=top,
    )
    output.write_json(report.to_dict())
    if out is not None:
        write_whole(out, replay_report(report))
    for told in (_metrics_table(report), *(_lists_table(report, u) for u in _changed(report))):
        output.console.print(told)
    for caution in report.cautions:
        output.console.print(f"caution: {caution}")
    line = verdict_line(report)
    if report.verdict == WORSE:
        raise GateRefusedError(line)
    if report.verdict == UNDECIDED:
        raise NotDecidableError(line)
    output.console.print(line, highlight=False)


def verdict_line(report: "ReplayReport") -> str:
    """Return the verdict in one sentence."""
    from jobs.replay_bundles import UNDECIDED

    found = report.comparison.differences.get(report.metric)
    if found is None:
        return (
            f"{report.verdict}: {report.metric} is not defined for any of "
            f"{report.num_test_users:,} users"
        )
    seen = (
        f"by {report.metric}: {found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}, p "
        f"{found.p_value:.4f}, {report.comparison.num_users[report.metric]:,} users)"
    )
    if report.verdict == UNDECIDED:
        return f"{report.verdict}: {report.b} against {report.a} {seen}"
    return f"{report.b} is {report.verdict} than {report.a} {seen}"


def _changed(report: "ReplayReport") -> "list[ChangedUser]":
    return report.comparison.changed


def _metrics_table(report: "ReplayReport") -> "Table":
    from rich.table import Table

    table = Table(title=f"replay since {report.split_at.isoformat()}")
    for name in ("metric", "a", "b", "b - a", "95% interval", "p", "users"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    of_a, of_b = report.comparison.metrics["a"], report.comparison.metrics["b"]
    for name in (*report.comparison.differences, "coverage@10", "gini@10"):
        found = report.comparison.differences.get(name)
        row = [f"{of[name]:.4f}" if name in of else "–" for of in (of_a, of_b)]
        if found is None:
            table.add_row(name, *row, f"{of_b[name] - of_a[name]:+.4f}", "–", "–", "–")
        else:
            table.add_row(
                name,
                *row,
                f"{found.difference:+.4f}",
                f"{found.low:+.4f} to {found.high:+.4f}",
                f"{found.p_value:.4f}",
                f"{report.comparison.num_users[name]:,}",
            )
    for slices, kind in (
        (report.comparison.by_history, "bought"),
        (report.comparison.by_mood, "mood"),
    ):
        for found in slices:
            interval = f"{found.low:+.4f} to {found.high:+.4f}"
            label = f"ndcg@10, {kind} {found.group}"
            table.add_row(label, "", "", f"{found.ndcg:+.4f}", interval, "", f"{found.num:,}")
    return table


def _lists_table(report: "ReplayReport", user: "ChangedUser") -> "Table":
    from rich.table import Table

    table = Table(
        title=f"{user.user_id}: ndcg@10 {user.ndcg_a:.3f} to {user.ndcg_b:.3f}, "
        f"{user.shared} of 10 shared"
    )
    table.add_column(f"a: {report.a}")
    table.add_column(f"b: {report.b}")
    for place in range(max(len(user.items_a), len(user.items_b))):
        cells = []
        for items in (user.items_a, user.items_b):
            item = items[place] if place < len(items) else ""
            bought = " *" if item in user.targets else ""
            cells.append(f"{report.titles.get(item, item)}{bought}")
        table.add_row(*cells)
    return table
