"""What an evaluation says beyond averages, as tables for people."""

from rich.table import Table

from jobs.evaluate_models import EvaluationReport
from jobs.result_tables import SHOWN
from recsys.slices import spread

_OF_LISTS = (
    "ndcg@10",
    "satisfaction_ndcg@10",
    "regret@10",
    "regret_recall@10",
    "coverage@10",
    "gini@10",
    "novelty@10",
)


def slices_tables(report: EvaluationReport) -> list[Table]:
    """Return a table of the ranker's quality by group, and one of what brands are given.

    What is alike for everybody is left out.
    """
    groups = Table(title="the ranker, by group")
    for name in ("by", "group", "number", "ndcg@10 (95%)", "recall@100"):
        groups.add_column(name, justify="left" if name in ("by", "group") else "right")
    told = {by: slices for by, slices in report.slices.items() if len(slices) > 1}
    for by, slices in told.items():
        for place, found in enumerate(slices):
            groups.add_row(
                by if place == 0 else "",
                found.group,
                f"{found.num:,}",
                f"{found.ndcg:.4f} ({found.low:.4f}..{found.high:.4f})",
                f"{found.recall_100:.4f}",
            )
        groups.add_row("", "spread", "", f"{spread(slices):.4f}", "", style="dim", end_section=True)
    if report.newcomers is not None:
        groups.add_row(
            "newcomers",
            "no purchase",
            f"{report.newcomers['num_users']:,.0f}",
            f"{report.newcomers['ndcg@10']:.4f}",
            f"{report.newcomers['recall@100']:.4f}",
        )
    brands = Table(title="what brands are given, by their size: shares")
    for name in ("brands of", "items", "purchases", "places", "targets", "ndcg@10"):
        brands.add_column(name, justify="left" if name == "brands of" else "right")
    for found in report.brands:
        shares = (found.items, found.purchases, found.places, found.targets)
        ndcg = "–" if found.ndcg is None else f"{found.ndcg:.4f}"
        brands.add_row(found.group, *(f"{share:.1%}" for share in shares), ndcg)
    told_of = [table for table in (groups, brands) if table.row_count > 1]
    return (
        told_of if report.repurchases is None else [*told_of, repurchases_table(report.repurchases)]
    )


def repurchases_table(found: dict[str, dict[str, float]]) -> Table:
    """Return one row a way to tell what is bought again."""
    num_users = next(iter(found.values()))["num_users"]
    table = Table(title=f"what {num_users:,.0f} users buy again, of all they bought before")
    for name in ("", "ndcg@10", "recall@10", "recall@100", "mrr"):
        table.add_column(name, justify="right" if name else "left")
    for name, metrics in found.items():
        table.add_row(name, *(f"{metrics[str(column.header)]:.4f}" for column in table.columns[1:]))
    return table


def shown_table(report: EvaluationReport) -> list[Table]:
    """Return a table of the ranker's order beside the lists as users get them; none without."""
    if report.shown is None:
        return []
    title = "the ranker's order, and the lists as users get them"
    table = Table(title=title)
    for name in ("", "the ranker's", SHOWN, "difference (95%)"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    of_ranker = report.metrics["ranker"]
    for name in _OF_LISTS:
        if name in of_ranker:
            gain = report.shown_gains.get(name)
            if gain is None:
                told = f"{report.shown[name] - of_ranker[name]:+.4f}"
            else:
                told = f"{gain.difference:+.4f} ({gain.low:+.4f}..{gain.high:+.4f})"
            table.add_row(name, f"{of_ranker[name]:.4f}", f"{report.shown[name]:.4f}", told)
    return [table]


def gains_line(report: EvaluationReport) -> str:
    """Return how the ranker compares with its best source and the best peer, in one sentence."""
    told = [
        f"{gain.difference:+.4f} ({gain.low:+.4f}..{gain.high:+.4f}; p {gain.p_value:.4f}) on "
        f"{name}"
        for name, gain in report.gains.items()
    ]
    return f"ranker's ndcg@10 beyond its best source and the best peer: {'; '.join(told)}"
