"""What to do: ship, do not ship, or not decidable, with the reasons in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.abtest.effects import Better, Reading, is_inferior
from recsys.abtest.gates import Gate
from recsys.abtest.plan import Plan
from recsys.abtest.plan_sections import MetricSection

Decision = Literal["ship", "do not ship", "not decidable"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer.

    Attributes:
        decision: In A/A mode `ship` says that both variants are alike, as they should be.
        reasons: In words, at least one.
    """

    decision: Decision
    reasons: tuple[str, ...]


def refused(gates: Sequence[Gate]) -> Verdict | None:
    """Return the verdict where gates say no; None where all let the data pass."""
    told = tuple(f"{gate.name}: {gate.message}" for gate in gates if gate.status == "refuse")
    return Verdict(decision="not decidable", reasons=told) if told else None


def decide(
    plan: Plan, readings: Sequence[tuple[MetricSection, Reading | None]], *, is_final: bool
) -> Verdict:
    """Decide from the primary metric and the guardrails.

    Ship: the primary metric is better, and no guardrail may be worse than its margin. Do not ship:
    the primary metric is worse, or a guardrail is worse than its margin, or the primary metric
    gains less than the minimum effect. Not decidable: anything that the data leave open.

    Args:
        plan: Of the experiment.
        readings: Of each metric on its tested scale; None where it could not be estimated.
        is_final: Whether the experiment is over; at earlier looks what is open goes on.
    """
    primary, reading = next(found for found in readings if found[0].role == "primary")
    if plan.mode == "aa":
        return _decide_alike(readings)
    if reading is None:
        reason = f"{primary.name} cannot be estimated on the {primary.tested_scale} scale"
        return Verdict(decision="not decidable", reasons=(reason,))
    bad, open_questions, good = [], [], []
    for metric, found in readings:
        if metric.role == "guardrail":
            _judge_guardrail(metric, found, bad, open_questions, good)
    gain = _gain(reading, primary.better)
    words = f"{primary.name} {interval_words(reading, primary)}"
    least = plan.minimum_effect.relative or plan.minimum_effect.absolute
    assert least is not None
    if gain[0] > 0:
        good.insert(0, f"{words}: better")
    elif gain[1] < 0:
        bad.insert(0, f"{words}: worse")
    elif gain[1] < least:
        bad.insert(0, f"{words}: less than the minimum effect {_size(least, primary)}")
    else:
        open_questions.insert(0, f"{words}: nothing and the minimum effect are both possible")
    if bad:
        return Verdict(decision="do not ship", reasons=tuple(bad))
    if open_questions:
        more = "more users would be needed" if is_final else "the experiment goes on"
        return Verdict(decision="not decidable", reasons=(*open_questions, more))
    return Verdict(decision="ship", reasons=tuple(good))


def interval_words(reading: Reading, metric: MetricSection) -> str:
    """Say an effect and its interval."""
    value, low, high = (_signed(v, metric) for v in (reading.value, reading.low, reading.high))
    return f"{value} ({low} to {high})"


def _decide_alike(readings: Sequence[tuple[MetricSection, Reading | None]]) -> Verdict:
    [(primary, found)] = [pair for pair in readings if pair[0].role == "primary"]
    if found is None:
        reason = f"{primary.name} cannot be estimated on the {primary.tested_scale} scale"
        return Verdict(decision="not decidable", reasons=(reason,))
    words = f"{primary.name} {interval_words(found, primary)}"
    if found.low > 0 or found.high < 0:
        reason = f"{words}: the variants are the same, so assignment or logging is not"
        return Verdict(decision="do not ship", reasons=(reason,))
    return Verdict(decision="ship", reasons=(f"{words}: alike, as the same variants should be",))


def _judge_guardrail(
    metric: MetricSection,
    reading: Reading | None,
    bad: list[str],
    open_questions: list[str],
    good: list[str],
) -> None:
    assert metric.margin is not None
    margin = _size(metric.margin, metric)
    if reading is None:
        open_questions.append(
            f"guardrail {metric.name} cannot be estimated on the {metric.tested_scale} scale"
        )
        return
    words = f"guardrail {metric.name} {interval_words(reading, metric)}"
    inferior = is_inferior(reading, margin=metric.margin, better=metric.better)
    if inferior is None:
        open_questions.append(f"{words}: may be worse than the margin {margin}")
    elif inferior:
        bad.append(f"{words}: worse than the margin {margin}")
    else:
        good.append(f"{words}: not worse than the margin {margin}")


def _gain(reading: Reading, better: Better) -> tuple[float, float]:
    """Return the interval, turned so that more is better."""
    return (reading.low, reading.high) if better == "higher" else (-reading.high, -reading.low)


def _signed(value: float, metric: MetricSection) -> str:
    return f"{value:+.2%}" if metric.tested_scale == "relative" else f"{value:+.4g}"


def _size(value: float, metric: MetricSection) -> str:
    return f"{value:.2%}" if metric.tested_scale == "relative" else f"{value:.4g}"
