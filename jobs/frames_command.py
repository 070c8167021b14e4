"""`sentirec frames`: training frames, for whoever learns models of their own from this shop."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output


def frames(
    labels: Annotated[
        Path, typer.Argument(help="Table with label_time, and user_id, item_id or both.")
    ],
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .csv.")],
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Add the features of each label's user and item as of its time, from strictly before it."""
    from jobs.stage_commands import open_scored
    from jobs.write_frames import check_out, read_labels, write_frame

    output = Output(json)
    check_out(out)
    asked = read_labels(labels)
    opened, version, moment, pseudonyms = open_scored(store, config, as_of)
    columns = write_frame(opened, asked, out, version=version, as_of=moment, pseudonyms=pseudonyms)
    output.console.print(f"{out}: {len(asked):,} rows, {len(columns):,} columns")
    output.write_json({"rows": len(asked), "columns": columns})
