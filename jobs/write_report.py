"""One self-contained HTML page of a run: how good, for whom, how long. No script, no network."""

import html
from pathlib import Path
from typing import Any

from jobs.result_tables import sentiment_line

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3b7dd8; --best: #1f9d61; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.bar { height: .8rem; background: var(--bar); border-radius: 2px; }
tr.best .bar { background: var(--best); } tr.best td { font-weight: 600; }
blockquote { margin: .2rem 0 0; padding-left: .7rem; border-left: 3px solid var(--line); }
.dim { opacity: .7; }
"""
_SHOWN = ("ndcg@10", "recall@10", "recall@100", "mrr", "coverage@10")


def write_report(path: Path, content: dict[str, Any], *, history: list[dict[str, Any]]) -> None:
    """Write the page.

    Args:
        path: The file to write.
        content: The run's JSON: `metrics`, `data`, `timings_s`, `recommendation`, `shop`.
        history: What the asked user bought: `item_id, title, stars, polarity`, newest first.
    """
    answer = content["recommendation"]
    parts = [
        f"<h1>sentirec: {_text(_title(content['shop']))}</h1>",
        f"<p class=dim>model {_text(answer['model_version'])}, "
        f"signals {_text(content['data'].get('model_version', ''))}</p>",
        "<h2>How good: leave-one-out, full ranking, bought items excluded</h2>",
        f"<p>{content['data'].get('num_test_users', 0):,} users; each one's last item is hidden "
        "and looked for among all items they had not bought.</p>",
        _metrics(content["metrics"]),
        f"<p>What texts add: {_text(sentiment_line(content['data'].get('sentiment_gain')))}.</p>",
        f"<h2>What user {_text(answer['user_id'])} is shown</h2>",
        _recommendation(answer),
        "<h2>What they bought, and how they felt</h2>",
        _history(history),
        "<h2>What was read, and how long it took</h2>",
        _counts(content["data"]),
        _timings(content["timings_s"]),
    ]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>sentirec report</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )
    path.write_text(page, "utf-8")


def _title(shop: dict[str, Any]) -> str:
    if "reviews" in shop:
        return shop["reviews"]
    return f"sample shop, seed {shop['seed']}, sentiment effect {shop['sentiment_effect']:g}"


def _metrics(metrics: dict[str, dict[str, float]]) -> str:
    highest = max((values["ndcg@10"] for values in metrics.values()), default=0.0) or 1.0
    rows = []
    for name, values in metrics.items():
        width = 100 * values["ndcg@10"] / highest
        cells = "".join(f"<td class=n>{values[metric]:.4f}</td>" for metric in _SHOWN)
        best = " class=best" if name == "ranker" else ""
        rows.append(
            f"<tr{best}><td>{_text(name)}</td><td style='width:25%'>"
            f"<div class=bar style='width:{width:.1f}%'></div></td>{cells}</tr>"
        )
    head = "".join(f"<th class=n>{metric}</th>" for metric in _SHOWN)
    return f"<table><tr><th>source<th>ndcg@10{head}</tr>{''.join(rows)}</table>"


def _recommendation(answer: dict[str, Any]) -> str:
    rows = []
    for item in answer["items"]:
        reason = item.get("reason") or {}
        quote = reason.get("quote")
        said = f"<blockquote>{_text(quote['text'])}</blockquote>" if quote else ""
        rows.append(
            f"<tr><td class=n>{item['rank']}</td><td>{_text(item['title'] or item['item_id'])}</td>"
            f"<td class=n>{item['score']:.3f}</td><td>{_text(reason.get('text') or '')}{said}</td>"
            "</tr>"
        )
    return (
        "<table><tr><th class=n>rank<th>item<th class=n>score<th>reason</tr>"
        f"{''.join(rows)}</table>"
    )


def _history(history: list[dict[str, Any]]) -> str:
    rows = [
        f"<tr><td>{_text(row['title'] or row['item_id'])}</td><td class=n>{_number(row['stars'])}"
        f"</td><td class=n>{_number(row['polarity'], '+.2f')}</td></tr>"
        for row in history
    ]
    return (
        "<table><tr><th>item<th class=n>own stars<th class=n>polarity of own words</tr>"
        f"{''.join(rows)}</table>"
    )


def _counts(data: dict[str, Any]) -> str:
    tables = data.get("ingest", {}).get("tables", {})
    rows = [
        f"<tr><td>{_text(name)}</td><td class=n>{counts['read']:,}</td>"
        f"<td class=n>{counts['added']:,}</td>"
        f"<td class=n>{_total(counts['quarantined']):,}</td></tr>"
        for name, counts in tables.items()
    ]
    return (
        "<table><tr><th>table<th class=n>rows read<th class=n>added<th class=n>quarantined</tr>"
        f"{''.join(rows)}</table>"
    )


def _timings(timings_s: dict[str, float]) -> str:
    rows = [
        f"<tr><td>{_text(step)}</td><td class=n>{seconds:.1f} s</td></tr>"
        for step, seconds in timings_s.items()
    ]
    return (
        f"<table style='margin-top:1rem'><tr><th>step<th class=n>time</tr>{''.join(rows)}</table>"
    )


def _total(quarantined: dict[str, int] | int) -> int:
    return quarantined if isinstance(quarantined, int) else sum(quarantined.values())


def _number(value: float | None, form: str = ".0f") -> str:
    return "–" if value is None else format(value, form)


def _text(value: object) -> str:
    return html.escape(str(value))
