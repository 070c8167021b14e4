"""One self-contained HTML page of how well polarity agrees with labels. No script, no network."""

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.sentiment_curves import (
    NUM_BINS,
    draw_confusion,
    draw_reliability,
    draw_roc,
    roc_areas,
)
from jobs.sentiment_figures import ScoredTexts, class_shares
from jobs.whole_files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { max-width: 46rem; }
.dim { color: #57606a; margin-top: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
table { margin-top: 1rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de;
  font-variant-numeric: tabular-nums; font-weight: normal; }
thead th { color: #57606a; vertical-align: bottom; }
th:first-child { text-align: left; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; flex: 1 1 22rem; min-width: 0; } img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .92rem; }
"""
_FIGURES = ("n", "accuracy", "macro_f1", "auc", "ece", "ece_after_temperature", "temperature")
_OF_CLASS = ("n", "precision", "recall", "f1")
_NAMES = {
    "n": "texts",
    "macro_f1": "macro F1",
    "auc": "AUC",
    "ece": "ECE",
    "ece_after_temperature": "ECE after temperature",
    "f1": "F1",
}


def write_sentiment_report(
    path: Path, scored: ScoredTexts, figures: dict[str, Any], *, source: str
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The file to write.
        scored: Labelled texts as they were read.
        figures: What `sentiment_figures` says of them.
        source: Where the texts are from, for the reader.

    Raises:
        BadInputError: If the file cannot be written.
    """
    write_whole(path, sentiment_report(scored, figures, source=source))


def sentiment_report(scored: ScoredTexts, figures: dict[str, Any], *, source: str) -> str:
    """Return the page as HTML; see `write_sentiment_report`."""
    shares = class_shares(scored.probabilities, scored.label)
    areas = _area_words(roc_areas(shares))
    parts = [
        "<main><h1>How well polarity agrees with labels</h1>",
        f"<p class=dim>{_text(source)}; model {_text(figures['model_version'])}</p>",
        _table("All texts", "", [("all", figures)], _FIGURES),
        "<h2>Which classes are mistaken for which</h2><div class=pair>",
        _figure(draw_confusion(figures), _confusion_words(figures), "Labels, and what was found."),
        _figure(
            draw_roc(shares),
            f"ROC curves. {areas}.",
            f"{_rest_words(len(shares.classes))}. {areas}.",
        ),
        "</div>",
        _table("Each class", "class", list(figures["per_class"].items()), _OF_CLASS),
        _confusion_table(figures),
        "<h2>Whether probabilities can be believed</h2>",
        "<p>Where bars end at the dotted line, the model is right as often as it says: of texts "
        "that it is 80% sure of, 80% are right. The expected calibration error (ECE) is the mean "
        "distance. Each half of the texts is cooled by the temperature of the other half.</p>",
        _figure(
            draw_reliability(shares),
            _reliability_words(figures),
            f"Accuracy by the probability of the most likely class, {NUM_BINS} bins, and how many "
            "texts are in each.",
        ),
        "<h2>For which texts</h2>",
        _table("By language", "language", list(figures["language"].items()), _FIGURES),
        _table("By length", "characters", list(figures["length"].items()), _FIGURES),
        "<p>AUC is of each class against the rest, the mean over classes; texts whose labels are "
        "all the same have none. Where no label is neutral, two classes are compared.</p></main>",
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Polarity against labels: {_text(source)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _confusion_words(figures: dict[str, Any]) -> str:
    rows = (
        f"of {sum(counts):,} {label} texts "
        + ", ".join(f"{n:,} {name}" for name, n in zip(figures["classes"], counts, strict=True))
        for label, counts in zip(figures["classes"], figures["confusion"], strict=True)
    )
    return f"Confusion matrix. Found were {'; '.join(rows)}."


def _area_words(areas: dict[str, float | None]) -> str:
    return "; ".join(
        f"{name}: no curve, since all labels or none are {name}"
        if area is None
        else f"{name}: area {area:.4f}"
        for name, area in areas.items()
    )


def _rest_words(num_classes: int) -> str:
    return "Each class against the rest" if num_classes > 2 else "Positive against negative"


def _reliability_words(figures: dict[str, Any]) -> str:
    return (
        f"Reliability diagrams. Expected calibration error {figures['ece']:.4f} before and "
        f"{figures['ece_after_temperature']:.4f} after temperature."
    )


def _figure(figure: "Figure", alt: str, caption: str) -> str:
    """Return a drawing inside the page; its words are shapes, so that no font is needed."""
    from matplotlib import rc_context

    drawn = io.BytesIO()
    unsigned = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "sentirec"}):
        figure.savefig(drawn, format="svg", metadata=unsigned)
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<figure><img alt="{_text(alt)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _table(
    caption: str, first: str, rows: list[tuple[str, dict[str, Any]]], columns: tuple[str, ...]
) -> str:
    head = "".join(f"<th scope=col>{_text(_NAMES.get(name, name))}</th>" for name in columns)
    body = "".join(
        f"<tr><th scope=row>{_text(name)}</th>"
        + "".join(f"<td>{_number(found[column])}</td>" for column in columns)
        + "</tr>"
        for name, found in rows
    )
    return (
        f"<div class=wide><table><caption>{_text(caption)}</caption><thead><tr>"
        f"<th scope=col>{_text(first)}</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _confusion_table(figures: dict[str, Any]) -> str:
    classes = tuple(figures["classes"])
    rows = [
        (name, dict(zip(classes, counts, strict=True)))
        for name, counts in zip(classes, figures["confusion"], strict=True)
    ]
    return _table("Confusion: labels (rows) and what was found (columns)", "label", rows, classes)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _text(value: object) -> str:
    return html.escape(str(value))
