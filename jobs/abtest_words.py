"""What a report on an experiment says in words and cells."""

from recsys.abtest.analysis import Analysis
from recsys.abtest.effects import Reading
from recsys.abtest.metric_results import MetricResult

DASH = "–"


def method_words(found: Analysis) -> str:
    """Say in words how effects were estimated and adjusted."""
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
    adjustment = {"holm": "Holm", "benjamini-hochberg": "Benjamini and Hochberg"}.get(
        plan.multiple_testing, "nothing"
    )
    parts = [
        f"Intervals of {1 - plan.alpha:.1%}, {plan.sides}-sided.",
        f"Means by {analyses[plan.analysis]}; {stop}.",
        f"Outcomes of {plan.window_days:g} days from the first exposure.",
        f"Secondary metrics are adjusted by {adjustment}, and confirmed only where the "
        "primary metric is significant.",
    ]
    if found.critical:
        bounds = ", ".join(f"{value:.4f} at {when:.0%}" for when, value in found.critical.items())
        parts.append(f"Boundaries of the standardised effect: {bounds}.")
    caps = [f"{m.metric.name} at {m.cap:,.6g}" for m in found.metrics if m.cap is not None]
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


def metric_row(m: MetricResult) -> tuple[str, ...]:
    """Return a metric as cells of the table of effects."""
    return (
        m.metric.name,
        m.metric.role,
        DASH if m.control is None else f"{m.control.mean:,.5g}",
        DASH if m.treatment is None else f"{m.treatment.mean:,.5g}",
        interval(m.absolute, "absolute"),
        interval(m.relative, "relative"),
        DASH if m.tested is None else p_words(m.tested.p_value),
        DASH if m.adjusted_p is None else p_words(m.adjusted_p),
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


def interval(reading: Reading | None, scale: str) -> str:
    """Say an effect and its interval; a dash where there is none."""
    if reading is None:
        return DASH
    value, low, high = (number(v, scale) for v in (reading.value, reading.low, reading.high))
    return f"{value} ({low} to {high})"


def number(value: float, scale: str) -> str:
    """Say a signed number, in percent on the relative scale."""
    return f"{value:+.2%}" if scale == "relative" else f"{value:+,.4g}"


def p_words(value: float) -> str:
    """Say a p-value."""
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"
