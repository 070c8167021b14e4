"""Whether a bundle is good enough to go live."""

from recsys.errors import GateRefusedError
from recsys.evaluation import Comparison

GATE_METRIC = "ndcg@10"
ONE_SIDED_5_PERCENT = 1.645


def check_gate(
    metrics: dict[str, dict[str, float]],
    comparison: Comparison,
    live: dict[str, dict[str, float]] | None,
    *,
    tolerance: float,
) -> None:
    """Refuse a bundle whose ranker is worse than its own best source, or than the live bundle.

    Against the source the test is paired and one-sided at 5%: on a few hundred users NDCG@10 moves
    by a tenth from noise alone, and refusing for that would leave a small shop with nothing.

    Args:
        metrics: The new bundle's metrics by source.
        comparison: Its ranker against its own best source on the same users.
        live: Metrics of the live bundle, or None.
        tolerance: How much lower NDCG@10 may be, as a share of what it is compared with.

    Raises:
        GateRefusedError: Saying which comparison failed, with both numbers.
    """
    ranker = metrics["ranker"][GATE_METRIC]
    best = metrics[comparison.best_source][GATE_METRIC]
    at_most = comparison.difference + ONE_SIDED_5_PERCENT * comparison.standard_error
    # Written so that a metric that is not a number refuses too.
    if not at_most >= -tolerance * best:
        raise GateRefusedError(
            f"the ranker's {GATE_METRIC} is {ranker:.4f}, below its own source "
            f"{comparison.best_source} at {best:.4f}, beyond noise (standard error "
            f"{comparison.standard_error:.4f}): the bundle is kept and not promoted"
        )
    if live is not None and not ranker >= live["ranker"][GATE_METRIC] * (1.0 - tolerance):
        raise GateRefusedError(
            f"the ranker's {GATE_METRIC} is {ranker:.4f}, the live bundle's is "
            f"{live['ranker'][GATE_METRIC]:.4f}: the bundle is kept and not promoted"
        )
