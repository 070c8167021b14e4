"""One self-contained HTML page of how well polarity agrees with labels. No script, no network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.report_page import page, picture, table, text
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
    pass

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
        f"<p class=dim>{text(source)}; model {text(figures['model_version'])}</p>",
        _table("All texts", "", [("all", figures)], _FIGURES),
        "<h2>Which classes are mistaken for which</h2><div class=pair>",
        picture(draw_confusion(figures), _confusion_words(figures), "Labels, and what was found."),
        picture(
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
        picture(
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
    return page(f"Polarity against labels: {source}", "".join(parts))


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


def _table(
    caption: str, first: str, rows: list[tuple[str, dict[str, Any]]], columns: tuple[str, ...]
) -> str:
    head = [first, *(_NAMES.get(name, name) for name in columns)]
    return table(
        caption, head, [(name, *(_number(found[c]) for c in columns)) for name, found in rows]
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
