"""The command `sentirec sentiment train`: a review model on a shop's own labels."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from jobs.errors import BadInputError
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
from jobs.stage_commands import load_settings


def train(
    file: LabelledFileOption,
    text_column: TextColumnOption,
    label_column: LabelColumnOption,
    out: Annotated[Path, typer.Option(help="Folder of the model; goes on where it stopped.")],
    map: MapOption = None,
    language: Annotated[str, typer.Option(help="en or zh: which model to begin from.")] = "en",
    start: Annotated[
        Path | None, typer.Option(help="Review model to begin from instead of the shipped one.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Begin anew over this encoder: a folder, or a hub name."),
    ] = None,
    method: Annotated[str, typer.Option(help="full, lora or heads.")] = "full",
    epochs: Annotated[int, typer.Option(help="Passes at most.")] = 4,
    patience: Annotated[int, typer.Option(help="Passes without gain before it ends.")] = 2,
    validation_share: Annotated[float, typer.Option(help="Of the texts.")] = 0.1,
    class_weights: Annotated[bool, typer.Option(help="Rare classes count as common ones.")] = True,
    label_smoothing: Annotated[float, typer.Option(help="Share that asks for all alike.")] = 0.05,
    augment: Annotated[int, typer.Option(help="Changed copies of each text.")] = 0,
    seeds: Annotated[int, typer.Option(help="Models to train and average.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes, under Ray Train.")] = 1,
    threads: ThreadsOption = 2,
    seed: Annotated[int, typer.Option(help="Of the split and the order.")] = 0,
    device: DeviceOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Train a review model on your own labels; the configuration names it as the score model."""
    from dataclasses import asdict

    from jobs.evaluate_sentiment import read_labelled
    from jobs.ray_shop_training import Start, train_on_ray
    from jobs.settings import resolve_device
    from jobs.train_shop_model import ShopTraining, train_shop_model
    from sentiment.scorer import CHINESE_MODEL, ENGLISH_MODEL
    from sentiment.torch_threads import use_threads

    use_threads(threads)
    output, settings = Output(json), load_settings(config, device)
    if language not in ("en", "zh"):
        raise BadInputError(f"--language must be en or zh, not {language!r}")
    if start is not None and encoder is not None:
        raise BadInputError("--start and --encoder exclude each other")
    try:
        training = ShopTraining(
            method=method,  # type: ignore[arg-type]
            epochs=epochs,
            patience=patience,
            validation_share=validation_share,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            augment=augment,
            seeds=seeds,
            seed=seed,
        )
    except ValueError as error:
        raise BadInputError(str(error)) from error
    labelled = read_labelled(file, text_column, label_column, map)
    begin = start or (ENGLISH_MODEL if language == "en" else CHINESE_MODEL)
    begin_from = Start(model=begin, encoder=encoder, seed=seed)
    on = resolve_device(settings.score.device)
    with StepBars() as bars:

        def progress(done: int, total: int) -> None:
            bars.step("train", done, total)

        if workers > 1:
            report = train_on_ray(
                begin_from,
                labelled,
                out,
                training,
                num_workers=workers,
                use_gpu=on.startswith("cuda"),
                threads=threads,
                progress=progress,
            )
        else:
            report = train_shop_model(
                begin_from.load, labelled, out, training, device=on, progress=progress
            )
    table = Table(title=f"{report.file}: {report.num_validation:,} texts of validation")
    table.add_column("")
    for name in report.before:
        table.add_column(name.replace("_", " "), justify="right")
    for name, figures in (("before", report.before), ("after", report.after)):
        table.add_row(name, *(f"{value:.4f}" for value in figures.values()))
    output.console.print(table)
    output.write_json(asdict(report) | {"file": str(report.file)})
