"""The commands `sentirec bundle`: what is done with a trained bundle without training again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output
from jobs.progress import StepBars
from jobs.stage_commands import load_settings, open_store

app = typer.Typer(no_args_is_help=True, help="Change a bundle between trainings.")


@app.callback()
def bundle() -> None:
    """Change a bundle between trainings."""


@app.command()
def update(
    version: Annotated[
        str | None, typer.Argument(help="Which bundle; default: the live one, else the newest.")
    ] = None,
    remove: Annotated[
        Path | None, typer.Option(help="Ids of items to be offered no more, one a line.")
    ] = None,
    as_of: AsOfOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Write a bundle with the store's new items in it, and without some old ones (not yet live)."""
    from jobs.newest_row import after_last_row
    from jobs.update_bundle import read_item_ids, update_bundle

    output = Output(json)
    opened, now = open_store(store, load_settings(config)), datetime.now(UTC)
    removed = [] if remove is None else read_item_ids(remove)
    with StepBars() as bars:
        report = update_bundle(
            opened,
            version,
            removed,
            as_of=parse_moment(as_of) or after_last_row(opened, now),
            now=now,
            progress=bars.step,
        )
    told = f" ({report.without_text:,} without text)" if report.without_text else ""
    output.console.print(
        f"{len(report.added):,} items added{told}, {len(report.removed):,} removed; "
        f"made of bundle {report.made_of}"
    )
    output.console.print(f"bundle {report.folder}; `sentirec publish` makes it live")
    output.write_json(
        {
            "version": report.manifest.version,
            "made_of": report.made_of,
            "added": report.added,
            "without_text": report.without_text,
            "removed": report.removed,
        }
    )
