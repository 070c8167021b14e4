"""Training data from a label queue that a person has filled in."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from jobs.csv_cells import unescape_formulas
from jobs.errors import BadInputError
from jobs.evaluate_sentiment import STAR_CLASSES, check_columns
from jobs.label_queue import NEW_LABEL
from jobs.sentiment_figures import CLASSES
from jobs.text_files import read_table

SKIP = "skip"
_NUM_SHOWN = 8
_VALUES = {name: name for name in CLASSES} | {
    stars: CLASSES[place] for stars, place in STAR_CLASSES.items()
}


@dataclass(frozen=True, kw_only=True)
class FilledLabels:
    """What a person has labelled.

    Attributes:
        rows: `text`, `label` (a class name), and `id` where the file has one.
        num_skipped: Rows that are marked to be left out.
        num_empty: Rows that nobody has labelled yet.
    """

    rows: pl.DataFrame
    num_skipped: int
    num_empty: int


def read_filled(path: Path) -> FilledLabels:
    """Read a label queue whose column `new_label` has been filled in.

    Args:
        path: CSV; `new_label` holds class names in any case, 1 to 5 stars, `skip`, or nothing.

    Raises:
        BadInputError: If a column is missing, a label is unknown, a labelled row has no text, or
            no row is labelled.
    """
    frame = read_table(path, text_columns=["id", "text", NEW_LABEL])
    check_columns(frame, path, "text", NEW_LABEL)
    has_id = "id" in frame.columns
    written = pl.col(NEW_LABEL).cast(pl.String).str.strip_chars()
    frame = frame.select(
        pl.col("text").cast(pl.String).fill_null(""),
        written=written.fill_null(""),
        # A spreadsheet may write one star as 1.0.
        label=written.str.to_lowercase().str.replace(r"^(\d)\.0+$", "$1").fill_null(""),
        id=pl.col("id").cast(pl.String) if has_id else pl.lit(None, pl.String),
    ).with_row_index("row", offset=2)
    is_empty, is_skipped = pl.col("label") == "", pl.col("label") == SKIP
    labelled = frame.filter(~is_empty & ~is_skipped)
    _check_labels(labelled, path)
    if labelled.is_empty():
        raise BadInputError(
            f"{path}: no row of {len(frame):,} has a label in {NEW_LABEL}; fill in "
            f"{', '.join(CLASSES)}, or 1 to 5 stars"
        )
    rows = labelled.select(
        unescape_formulas("text"),
        pl.col("label").replace_strict(_VALUES, return_dtype=pl.String),
        *([unescape_formulas("id")] if has_id else []),
    )
    return FilledLabels(
        rows=rows,
        num_skipped=len(frame.filter(is_skipped)),
        num_empty=len(frame.filter(is_empty)),
    )


def _check_labels(labelled: pl.DataFrame, path: Path) -> None:
    unknown = labelled.filter(~pl.col("label").is_in(list(_VALUES)))
    if len(unknown):
        raise BadInputError(
            f"{path}: {NEW_LABEL} must be {', '.join(CLASSES)}, 1 to 5 stars, {SKIP} or empty, but "
            f"{_named(unknown)}; nothing was written"
        )
    textless = labelled.filter(pl.col("text").str.strip_chars() == "")
    if len(textless):
        raise BadInputError(
            f"{path}: a label needs a text, but there is none where {_named(textless)}; "
            "nothing was written"
        )


def _named(rows: pl.DataFrame) -> str:
    """Name the first of some rows, by the numbers a spreadsheet shows: the header is row 1."""
    shown = [
        f"row {row} ({'' if name is None else f'id {name}, '}text {text[:30]!r}) says {value!r}"
        for row, name, text, value in rows.head(_NUM_SHOWN)
        .select("row", "id", "text", "written")
        .iter_rows()
    ]
    more = f", and {len(rows) - _NUM_SHOWN:,} more" if len(rows) > _NUM_SHOWN else ""
    return "; ".join(shown) + more
