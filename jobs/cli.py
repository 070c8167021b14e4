"""The `sentirec` command. Nothing heavy is imported before a command needs it.

Exit codes: 0 ok, 1 crash, 2 bad input, 3 gate refused, 4 not decidable.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from jobs import (
    abtest_commands,
    alerts_commands,
    bundle_commands,
    demo_command,
    frames_command,
    outcomes_command,
    privacy_commands,
    report_commands,
    repurchases_command,
    satisfaction_command,
    segments_commands,
    sentiment_commands,
    stage_commands,
    user_command,
)
from jobs.command_plugins import PluginGroup
from jobs.config import load_config
from jobs.errors import BadInputError, JobsError
from jobs.options import ConfigOption, JsonOption, StoreOption
from jobs.output import Output

if TYPE_CHECKING:
    from jobs.ingest_tables import IngestReport

BAD_INPUT = 2
# A base error can only have been raised where its module is loaded, so none is imported for it.
_KNOWN_ERRORS = (
    ("sentiment.errors", "SentimentError"),
    ("features.errors", "FeaturesError"),
    ("recsys.errors", "RecsysError"),
    ("serving.errors", "ServingError"),
)

app = typer.Typer(
    name="sentirec",
    cls=PluginGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recommendations that know how people felt about what they bought.",
)


@app.callback()
def _root() -> None:
    """Keep `sentirec` a group of commands, however many there are."""


@app.command()
def ingest(
    files: Annotated[
        list[Path] | None, typer.Argument(help="CSV, JSON lines or Parquet; plain or gzip.")
    ] = None,
    from_event_log: Annotated[
        bool,
        typer.Option(
            "--from-event-log", help="First bring in what the server took in, each thing once."
        ),
    ] = False,
    store: StoreOption = None,
    format: Annotated[
        str | None, typer.Option("--format", help="Format of the files; default: found out.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Read source files into the tables of a store. Reading a file again changes nothing."""
    from features.store import Store
    from jobs.drain_event_log import drain_store
    from jobs.ingest_tables import ingest as ingest_tables
    from jobs.ingest_tables import joined_reports

    settings = load_config(config)
    output = Output(json)
    if not files and not from_event_log:
        raise BadInputError("nothing to ingest: name files, or say --from-event-log")
    opened, now = Store(store or settings.store.path), datetime.now(UTC)
    pseudonyms = settings.privacy.pseudonyms()
    drained = None
    if from_event_log:
        address = settings.event_log.resolved()
        drained = drain_store(opened, now=now, pseudonyms=pseudonyms, event_log=address)
    files = files or []
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    # The bar goes to standard error, so that a table on standard output can be piped.
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    errors = Console(stderr=True)
    is_silent = not errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=is_silent) as bar:
        task = bar.add_task("ingest", total=sum(sizes) or None)
        report = ingest_tables(
            opened,
            files,
            format=format or settings.ingest.format,
            now=now,
            pseudonyms=pseudonyms,
            progress=lambda path, count: bar.update(task, advance=count, description=path.name),
        )
    if drained is not None:
        output.console.print(f"event log: {drained.files[0].records:,} entries brought in")
        report = joined_reports(drained, report)
    if report.tables:
        output.console.print(_counts_table(report))
    if any(counts.quarantined for counts in report.tables.values()):
        output.console.print(_quarantine_table(report))
    output.write_json(report.to_dict())
    if report.errors:
        raise BadInputError("\n".join(report.errors))


for _command in (
    stage_commands.score,
    stage_commands.profiles,
    stage_commands.train,
    stage_commands.evaluate,
    stage_commands.publish,
    stage_commands.run,
    satisfaction_command.satisfaction,
    outcomes_command.outcomes,
    repurchases_command.repurchases,
    user_command.user,
    frames_command.frames,
    privacy_commands.erase,
    privacy_commands.export,
    demo_command.demo,
):
    app.command()(_command)


app.add_typer(abtest_commands.app, name="abtest")
app.add_typer(alerts_commands.app, name="alerts")
app.add_typer(bundle_commands.app, name="bundle")
app.add_typer(report_commands.app, name="report")
app.add_typer(segments_commands.app, name="segments")
app.add_typer(sentiment_commands.app, name="sentiment")


def main() -> None:
    """Run the command line and end the process with the exit code of the outcome."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        code = exit_code_of(error)
        if code is None:
            raise
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        sys.exit(code)


def exit_code_of(error: Exception) -> int | None:
    """Give the exit code of an error that is raised on purpose.

    Args:
        error: What was raised.

    Returns:
        2, 3 or 4; None for an error that nobody foresaw.
    """
    if isinstance(error, JobsError):
        return error.exit_code
    for module, name in _KNOWN_ERRORS:
        base = getattr(sys.modules.get(module), name, None)
        if base is not None and isinstance(error, base):
            return BAD_INPUT
    return None


def _counts_table(report: "IngestReport") -> Table:
    table = Table(title="ingest")
    table.add_column("table")
    for name in ("read", "added", "updated", "unchanged", "quarantined", "erased"):
        table.add_column(name, justify="right")
    for name, counts in report.tables.items():
        table.add_row(
            name,
            f"{counts.read:,}",
            f"{counts.added:,}",
            f"{counts.updated:,}",
            f"{counts.unchanged:,}",
            f"{sum(counts.quarantined.values()):,}",
            f"{counts.erased:,}",
        )
    return table


def _quarantine_table(report: "IngestReport") -> Table:
    table = Table(title="rows that broke a contract")
    table.add_column("table")
    table.add_column("rule", overflow="fold")
    table.add_column("rows", justify="right")
    for name, counts in report.tables.items():
        for rule, count in sorted(counts.quarantined.items(), key=lambda pair: (-pair[1], pair)):
            table.add_row(name, rule, f"{count:,}")
    return table


if __name__ == "__main__":
    main()
