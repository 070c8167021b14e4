"""The commands `sentirec sentiment ...`: signals of any texts, and how good they are."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.table import Table

from jobs import explain_commands
from jobs.errors import BadInputError
from jobs.label_commands import queue
from jobs.options import (
    ConfigOption,
    DeviceOption,
    JsonOption,
    LabelColumnOption,
    LabelledFileOption,
    MapOption,
    TextColumnOption,
    ThreadsOption,
)
from jobs.output import Output
from jobs.progress import StepBars
from jobs.stage_commands import load_scorer, load_settings
from jobs.train_commands import train

app = typer.Typer(help="Signals of any texts, and how good they are.", no_args_is_help=True)
_LINES_AT_ONCE = 512
_STDIO = Path("-")
app.command()(queue)
app.command()(train)
explain_commands.register(app)


@app.command()
def analyze(
    file: Annotated[
        Path, typer.Argument(help="Lines of text, or JSON lines with a `text`; - is stdin.")
    ] = _STDIO,
    out: Annotated[
        Path, typer.Option("--out", help="File of JSON lines; - is standard output.")
    ] = _STDIO,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Write the embedding of each text too.")
    ] = False,
    device: DeviceOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the signals of each line as a line of JSON, in the same order.

    What else a JSON line holds is kept, but signals of the same name replace it.
    """
    import json

    from jobs.text_files import opened, text_lines

    scorer = load_scorer(device, config)
    with ExitStack() as stack:
        lines: BinaryIO = sys.stdin.buffer
        if file != _STDIO:
            lines = stack.enter_context(opened(file))
        target = sys.stdout if out == _STDIO else stack.enter_context(_writable(out))
        for rows in _windows(text_lines(iter(lines), str(file))):
            signals = scorer.score([row["text"] for row in rows])
            signals = signals if embedding else signals.drop("embedding")
            for row, found in zip(rows, signals.iter_rows(named=True), strict=True):
                target.write(json.dumps(row | found, ensure_ascii=False, default=list) + "\n")
            target.flush()


@app.command()
def evaluate(
    file: LabelledFileOption,
    text_column: TextColumnOption,
    label_column: LabelColumnOption,
    map: MapOption = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write tables and curves as one HTML page that needs no network."),
    ] = None,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Compare polarity with labels: accuracy, F1, AUC, calibration; per language and length."""
    from jobs.evaluate_sentiment import read_labelled, score_labelled
    from jobs.sentiment_figures import sentiment_figures
    from jobs.whole_files import check_folder

    output = Output(json)
    if report is not None:
        check_folder(report)
    labelled = read_labelled(file, text_column, label_column, map)
    scorer = load_scorer(device, config)
    with StepBars() as bars:
        scored = score_labelled(
            scorer, labelled, progress=lambda done, total: bars.step("score", done, total)
        )
    figures = sentiment_figures(scored)
    if report is not None:
        from jobs.sentiment_report import write_sentiment_report

        write_sentiment_report(report, scored, figures, source=f"{file}, column {label_column}")
    output.console.print(_figures_table(figures))
    output.console.print(_confusion_table(figures))
    output.write_json(figures)


@app.command()
def pretrain(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON lines or Parquet; plain or .gz.")],
    text_column: TextColumnOption,
    out: Annotated[Path, typer.Option(help="Folder of the encoder; goes on where it stopped.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the texts.")] = 3,
    width: Annotated[int, typer.Option(min=16, help="Hidden width.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Transformer layers.")] = 4,
    max_tokens: Annotated[int, typer.Option(min=8, max=512, help="Longest text.")] = 256,
    threads: ThreadsOption = 2,
    seed: Annotated[int, typer.Option(help="Of order, masks and initial weights.")] = 0,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Make an encoder of characters from texts without labels (masked language model)."""
    from dataclasses import asdict

    from jobs.pretrain_encoder import pretrain_encoder, read_texts
    from jobs.settings import resolve_device
    from sentiment.pretraining import EncoderShape, Pretraining
    from sentiment.torch_threads import use_threads

    use_threads(threads)
    output, settings = Output(json), load_settings(config, device)
    on = resolve_device(settings.score.device)
    try:
        shape = EncoderShape(width=width, num_layers=layers, max_tokens=max_tokens)
    except ValueError as error:
        raise BadInputError(str(error)) from error
    with StepBars() as bars:
        bars.step("read texts")
        report = pretrain_encoder(
            read_texts(files, text_column),
            out,
            shape,
            Pretraining(epochs=epochs, bf16=on.startswith("cuda"), seed=seed),
            device=on,
            progress=lambda done, total: bars.step("pretrain", done, total),
        )
    output.console.print(
        f"{report.folder}: {report.num_texts:,} texts, {report.vocabulary_size:,} characters, "
        f"loss {report.loss:.3f}; a start for training: the shipped heads read another encoder"
    )
    output.write_json(asdict(report) | {"folder": str(report.folder)})


def _windows(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while window := list(islice(rows, _LINES_AT_ONCE)):
        yield window


def _writable(path: Path):
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror or error}") from error


def _figures_table(figures: dict[str, Any]) -> Table:
    from jobs.sentiment_figures import figure_groups

    table = Table(title=f"polarity, model {figures['model_version']}")
    columns = ("n", "accuracy", "macro_f1", "auc", "ece", "ece_after_temperature")
    table.add_column("texts")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, found in figure_groups(figures):
        cells = (found[column] for column in columns)
        table.add_row(name, *(_cell(value) for value in cells))
    return table


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _confusion_table(figures: dict[str, Any]) -> Table:
    table = Table(title="labels (rows) and what was found")
    table.add_column("")
    for name in (*figures["classes"], "precision", "recall", "f1"):
        table.add_column(name, justify="right")
    for name, counts in zip(figures["classes"], figures["confusion"], strict=True):
        found = figures["per_class"][name]
        measures = (f"{found[key]:.4f}" for key in ("precision", "recall", "f1"))
        table.add_row(name, *(f"{count:,}" for count in counts), *measures)
    return table
