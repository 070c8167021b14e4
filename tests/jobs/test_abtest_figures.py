"""Drawings say what the table beside them says."""

from dataclasses import replace

from matplotlib.colors import to_hex

from jobs.draw_abtest_figures import draw_metrics
from recsys.abtest.effects import Reading
from recsys.abtest.metric_results import MetricResult
from recsys.abtest.plan_sections import MetricSection


def test_a_secondary_metric_that_is_not_confirmed_is_drawn_as_open() -> None:
    reading = Reading(value=0.2, standard_error=0.1, low=0.01, high=0.39, p_value=0.04)
    confirmed = MetricResult(
        metric=MetricSection(name="clicks", kind="mean", event="click"),
        control=None,
        treatment=None,
        absolute=None,
        relative=reading,
        tested=reading,
        adjusted_p=0.04,
        is_significant=True,
        is_inferior=None,
        belief=None,
        cap=None,
        theta=None,
        variance_cut=None,
        note="",
    )
    figure = draw_metrics([confirmed, replace(confirmed, is_significant=False)])
    drawn = figure.axes[0].lines
    values = [line for line in drawn if line.get_marker() in ("s", "D", "o")]
    marks = [(line.get_marker(), to_hex(line.get_color())) for line in values]
    assert [marker for marker, _ in marks] == ["s", "o"]
    assert marks[0][1] != marks[1][1]
