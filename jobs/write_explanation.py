"""One self-contained HTML page of an explanation. No script, no network."""

import html

from sentiment.explaining import Explanation

_STYLE = """
:root { color-scheme: light dark; }
body { font: 18px/2 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; } .dim { opacity: .7; font-size: .9rem; line-height: 1.5; }
.text { overflow-wrap: anywhere; } .text span { border-radius: 3px; padding: .1em 0; }
.unread { opacity: .5; }
.scale { height: .8rem; border-radius: 3px;
  background: linear-gradient(to right, rgb(214 48 49 / .8), transparent, rgb(33 102 200 / .8)); }
.ends { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
"""
_RED, _BLUE = "214 48 49", "33 102 200"
_DEEPEST = 0.8


def explanation_page(explanation: Explanation, *, model: str, language: str) -> str:
    """Return the page: the text with its words from red to blue, a legend, and the figures.

    Args:
        explanation: Its strongest word has the deepest colour.
        model: Name of the model that read the text.
        language: Of the text.
    """
    strongest = max((abs(word.attribution) for word in explanation.words), default=0.0)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>sentirec explanation</title><style>{_STYLE}</style><body>"
        "<h1>Which words moved the polarity</h1>"
        f"<p class=text lang='{_text(language)}'>{_marked(explanation, strongest)}</p>"
        f"{_legend(strongest)}"
        f"<p class=dim>Polarity {explanation.polarity:+.3f}; without the words "
        f"{explanation.baseline_polarity:+.3f}. The words' shares sum to the difference, but for "
        f"{explanation.completeness_gap:+.4f}. Integrated gradients, {explanation.steps} steps; "
        f"model {_text(model)}, language {_text(language)}."
        f"{' The text is longer than what was read; the rest is pale.' * explanation.truncated}"
        "</p></body></html>"
    )


def _marked(explanation: Explanation, strongest: float) -> str:
    parts, end = [], 0
    for word in explanation.words:
        depth = _DEEPEST * abs(word.attribution) / strongest if strongest else 0.0
        colour = _BLUE if word.attribution > 0 else _RED
        parts += [
            _text(explanation.text[end : word.start]),
            f"<span style='background:rgb({colour} / {depth:.3f})' "
            f"title='{word.attribution:+.4f}'>{_text(explanation.text[word.start : word.end])}"
            "</span>",
        ]
        end = word.end
    rest = explanation.text[end:]
    return "".join(parts) + (f"<span class=unread>{_text(rest)}</span>" if rest else "")


def _legend(strongest: float) -> str:
    return (
        "<div class=scale></div><div class='ends dim'>"
        f"<span>{-strongest:+.3f} more negative</span><span>0</span>"
        f"<span>more positive {strongest:+.3f}</span></div>"
    )


def _text(value: str) -> str:
    return html.escape(value)
