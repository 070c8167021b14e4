"""One self-contained HTML page of a campaign, and the same as JSON. No script, no network."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.analyze_abtest import EXIT_CODES, plain
from jobs.draw_campaign_figures import draw_sales
from jobs.report_page import page, picture, table, text
from jobs.whole_files import write_whole
from recsys.abtest.campaign import CampaignAnalysis
from recsys.abtest.difference_in_differences import DifferenceInDifferences

_WORDS = {"ship": "WORKED", "do not ship": "DID NOT WORK", "not decidable": "NOT DECIDABLE"}


def campaign_json(found: CampaignAnalysis) -> dict[str, Any]:
    """Return an analysis as JSON types; figures to ten significant digits."""
    synthetic = None
    if found.synthetic is not None:
        synthetic = asdict(found.synthetic) | {
            "weights_D": found.synthetic.weights_D.tolist(),
            "gap_P": found.synthetic.gap_P.tolist(),
            "total": found.synthetic.total * found.num_treated,
        }
    return plain(
        {
            "campaign": found.plan.name,
            "decision": found.decision,
            "reasons": list(found.reasons),
            "exit_code": EXIT_CODES[found.decision],
            "method": found.plan.method,
            "num_treated": found.num_treated,
            "num_controls": found.num_controls,
            "sales": None if found.sales is None else asdict(found.sales),
            "synthetic_control": synthetic,
            "sentiment": None if found.sentiment is None else asdict(found.sentiment),
            "satisfaction": None if found.satisfaction is None else asdict(found.satisfaction),
        }
    )


def write_campaign_report(path: Path, found: CampaignAnalysis) -> None:
    """Write the page, whole or not at all.

    Raises:
        BadInputError: If the file cannot be written.
    """
    write_whole(path, campaign_report(found))


def campaign_report(found: CampaignAnalysis) -> str:
    """Return the page as HTML, the verdict first."""
    plan = found.plan
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in found.reasons)
    kind = found.decision.replace(" ", "-")
    words = f"{found.num_treated:,} treated units against {found.num_controls:,} others"
    parts = [
        f"<main><h1>Campaign {text(plan.name)}</h1>",
        f"<p class=dim>{words}, {plan.start.isoformat()} to {plan.end.isoformat()}, by "
        f"{plan.method}</p>",
        f"<div class='verdict {kind}'><strong>{_WORDS[found.decision]}</strong>"
        f"<ul>{reasons}</ul></div>",
        "<h2>Sales</h2>",
        picture(
            draw_sales(found),
            f"Mean sales of a unit by period: {words}.",
            "Left of the dotted line is before the campaign, where both lines are to run alike.",
        ),
        _sales_table(found),
        "<h2>How people felt</h2>",
        _opinion_table(found),
        "<h2>The plan</h2>",
        f"<pre>{text(_plan_text(found))}</pre></main>",
    ]
    return page(f"Campaign {plan.name}: {_WORDS[found.decision].lower()}", "".join(parts))


def _sales_table(found: CampaignAnalysis) -> str:
    if found.synthetic is not None:
        s = found.synthetic
        rows = [
            ("a unit in a period", f"{s.effect:+,.5g}"),
            ("incremental, all treated units", f"{s.total * found.num_treated:+,.5g}"),
            ("placebo p", f"{s.p_value:.4f} of {s.num_placebos} placebos"),
            ("root mean squared gap before", f"{s.error_before:,.4g}"),
            ("donors with weight", f"{int((s.weights_D > 1e-6).sum())}"),
        ]
        return table("Against a synthetic control", ("", "found"), rows)
    assert found.sales is not None
    d = found.sales
    trend = "not tested" if d.pretrend_p is None else f"{d.pretrend_p:.4f}"
    rows = [
        ("a unit in a period", _interval(d)),
        (
            "incremental, all treated units",
            f"{d.total:+,.5g} ({d.total_low:+,.5g} to {d.total_high:+,.5g})",
        ),
        ("p", f"{d.p_value:.4g}"),
        ("p of alike trends before", trend),
    ]
    return table("Difference-in-differences", ("", "found"), rows)


def _opinion_table(found: CampaignAnalysis) -> str:
    rows = [
        (name, _interval(change), f"{change.p_value:.4f}")
        for name, change in (
            ("sentiment: mean polarity of reviews", found.sentiment),
            ("satisfaction: share of reviews with polarity above zero", found.satisfaction),
        )
        if change is not None
    ]
    if not rows:
        return "<p>Too few scored reviews of both sides, before and after, to tell.</p>"
    return table("Change against the others", ("", "change", "p"), rows)


def _interval(found: DifferenceInDifferences) -> str:
    return f"{found.effect:+,.5g} ({found.low:+,.5g} to {found.high:+,.5g})"


def _plan_text(found: CampaignAnalysis) -> str:
    content = found.plan.model_dump(mode="json")
    shown = content["treated"][:20]
    if len(content["treated"]) > len(shown):
        shown = [*shown, f"... {len(content['treated']) - len(shown):,} more"]
    return json.dumps(content | {"treated": shown}, indent=1, ensure_ascii=False)
