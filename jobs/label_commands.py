"""The command `sentirec sentiment queue`: what a person should label next, and what came back."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from jobs.errors import BadInputError
from jobs.options import ConfigOption, DeviceOption, JsonOption, MapOption
from jobs.output import STDOUT, Output
from jobs.progress import StepBars
from jobs.stage_commands import load_scorer

if TYPE_CHECKING:
    import polars as pl

    from sentiment.scorer import ReviewScorer


def queue(
    file: Annotated[
        Path | None, typer.Option(help="CSV, JSON lines or Parquet; plain or .gz.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="Column of labels, if there are any: class names, or 1 to 5 stars."),
    ] = None,
    map: MapOption = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column that tells rows apart; default: number of the row.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to give out.")] = 200,
    filled: Annotated[
        Path | None,
        typer.Option("--import", help="A filled file instead: write its labels as training data."),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", help="CSV file to write; - is standard output.")
    ] = STDOUT,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Write the texts that a person should label next as CSV, or read such a file back.

    Chosen are texts whose label disagrees with what they clearly say, labels that are likely
    errors (confident learning), texts the model is uncertain of, and texts unlike the others; near
    duplicates are left out. Likely errors are found by what a model says that has NOT been trained
    on these texts: a model that has seen a wrong label may agree with it.

    Fill the column new_label with negative, neutral, positive or 1 to 5 stars; `skip` leaves a row
    out, and so does an empty cell. Then `--import FILLED.csv --out TRAINING.csv` writes
    text, label and id for `sentirec sentiment evaluate` and for training. Cells that a spreadsheet
    would run as formulas have an apostrophe before them, which the import takes away again.
    """
    if out == STDOUT == json:
        raise BadInputError("only one of --out and --json can go to standard output")
    output = Output(json)
    console = Console(stderr=True, width=120) if out == STDOUT else output.console
    if out != STDOUT:
        from jobs.whole_files import check_folder

        check_folder(Path(out))
    if filled is not None:
        if file or text_column or label_column or map or id_column:
            raise BadInputError("--import takes no other input: it reads what `queue` has written")
        output.write_json(_import_labels(filled, out, console))
        return
    if file is None or text_column is None:
        raise BadInputError("give --file and --text-column, or --import")
    if map is not None and label_column is None:
        raise BadInputError("--map goes with --label-column")
    from jobs.label_queue import read_candidates

    candidates = read_candidates(
        file, text_column, label_column=label_column, id_column=id_column, mapping=map
    )
    scorer = load_scorer(device, config)
    output.write_json(_write_queue(candidates, scorer, limit, out, console))


def _write_queue(
    candidates: "pl.DataFrame", scorer: "ReviewScorer", limit: int, out: str, console: Console
) -> dict[str, Any]:
    from jobs.evaluate_sentiment import score_texts
    from jobs.label_queue import REASONS, SIGNALS, label_queue

    with StepBars() as bars:
        signals = score_texts(
            scorer,
            candidates["text"].to_list(),
            SIGNALS,
            progress=lambda done, total: bars.step("score", done, total),
        )
        bars.step("choose")
        found = label_queue(candidates, signals, limit=limit)
    _write_csv(found.rows, out, for_spreadsheets=True)
    counts = Counter(found.rows["reason"])
    summary = {
        "out": out,
        "model_version": scorer.version,
        "num_texts": len(candidates),
        "num_queued": len(found.rows),
        "num_near_duplicates": found.num_near_duplicates,
        "num_wordless": found.num_wordless,
        "reasons": {reason: counts[reason] for reason in REASONS},
    }
    reasons = ", ".join(f"{count:,} {name}" for name, count in summary["reasons"].items())
    console.print(f"{len(found.rows):,} of {len(candidates):,} texts to label: {reasons}")
    if len(found.rows) < limit:
        console.print(
            f"not {limit:,}: {found.num_near_duplicates:,} texts say nearly the same as those, and "
            f"{found.num_wordless:,} have no words"
        )
    return summary


def _import_labels(filled: Path, out: str, console: Console) -> dict[str, Any]:
    from jobs.filled_labels import read_filled

    found = read_filled(filled)
    _write_csv(found.rows, out, for_spreadsheets=False)
    counts = Counter(found.rows["label"])
    summary = {
        "out": out,
        "num_labelled": len(found.rows),
        "num_skipped": found.num_skipped,
        "num_empty": found.num_empty,
        "labels": {name: counts[name] for name in sorted(counts)},
    }
    labels = ", ".join(f"{count:,} {name}" for name, count in summary["labels"].items())
    console.print(
        f"{len(found.rows):,} labels: {labels}; left out: {found.num_skipped:,} to skip, "
        f"{found.num_empty:,} not filled in"
    )
    return summary


def _write_csv(rows: "pl.DataFrame", out: str, *, for_spreadsheets: bool) -> None:
    """Write a file, with the mark by which spreadsheets know UTF-8, or standard output."""
    from jobs.whole_files import write_whole

    if out == STDOUT:
        sys.stdout.write(rows.write_csv())
        sys.stdout.flush()
    else:
        write_whole(Path(out), rows.write_csv(include_bom=for_spreadsheets))
