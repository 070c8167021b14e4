"""Pieces of reports: one page of HTML that loads nothing and runs nothing."""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { max-width: 46rem; }
.dim { color: #57606a; margin-top: 0; overflow-wrap: anywhere; }
.verdict { border-left: .5rem solid #595959; background: #f6f8fa; padding: .6rem 1rem; }
.verdict strong { font-size: 1.35rem; } .verdict ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.ship, .answered { border-color: #0060a0; } .do-not-ship, .refused { border-color: #b34700; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin-top: 1rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de;
  font-variant-numeric: tabular-nums; font-weight: normal; vertical-align: top; }
thead th { color: #57606a; vertical-align: bottom; }
th:first-child, .words td, .words th { text-align: left; }
td.short { white-space: nowrap; }
.words td:nth-child(2) { white-space: nowrap; } .refuse { color: #b34700; font-weight: 600; }
.warn { font-weight: 600; }
figure { margin: 1rem 0; min-width: 0; } img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .92rem; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair figure { flex: 1 1 22rem; margin: 0; }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""


def page(title: str, body: str) -> str:
    """Return a whole page that loads nothing and runs nothing."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, is_words: bool = False
) -> str:
    """Return a table; cells are escaped.

    Args:
        caption: Above it; empty for none.
        head: Of the columns.
        rows: The first cell of each is its head.
        is_words: Whether cells are words rather than numbers.
    """
    columns = "".join(f"<th scope=col>{text(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope=row>{text(row[0])}</th>"
        + "".join(f"<td>{text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    kind = " class=words" if is_words else ""
    told = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f"<div class=wide><table{kind}>{told}<thead><tr>{columns}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def picture(figure: "Figure", alt: str, caption: str) -> str:
    """Return a drawing as part of a page: SVG whose words are shapes, the same on every run.

    Args:
        figure: The drawing.
        alt: What it shows, for who cannot see it.
        caption: Below it.
    """
    from matplotlib import rc_context

    drawn = io.BytesIO()
    unsigned = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "sentirec"}):
        figure.savefig(drawn, format="svg", metadata=unsigned)
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<figure><img alt="{text(alt)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def text(value: object) -> str:
    """Return a value as text of a page."""
    return html.escape(str(value))
