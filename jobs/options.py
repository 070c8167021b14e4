"""Command-line options that several commands share."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import BadInputError

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file; default: sentirec.toml where there is one."),
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="Folder or s3:// or gs:// address of the tables.")
]
JsonOption = Annotated[
    str | None,
    typer.Option("--json", help="Also write the result as JSON to this file; - is stdout."),
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="ISO 8601; rows at or after it are not used. Default: all rows."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="Torch device: auto, cpu, cuda. Default: auto.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Training processes; above one the tables are sharded."),
]
LabelledFileOption = Annotated[
    Path, typer.Option("--file", help="CSV, JSON lines or Parquet; plain or .gz.")
]
TextColumnOption = Annotated[str, typer.Option("--text-column", help="Column of texts.")]
LabelColumnOption = Annotated[str, typer.Option("--label-column", help="Column of labels.")]
MapOption = Annotated[
    str | None,
    typer.Option(
        "--map",
        help='JSON from label to class, such as \'{"0": "negative", "1": "positive"}\'; '
        "needed unless labels are class names or one to five stars.",
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]


def parse_moment(text: str | None) -> datetime | None:
    """Read an ISO 8601 time; one without a zone is UTC.

    Raises:
        BadInputError: If it is no such time.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(
            f"{text!r} is no ISO 8601 time such as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
