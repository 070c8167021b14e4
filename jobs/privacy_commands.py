"""`sentirec erase` and `sentirec export`: what a person may ask of a shop."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from jobs.errors import NotErasedError
from jobs.options import ConfigOption, JsonOption, StoreOption
from jobs.output import Output

UserOption = Annotated[str, typer.Option("--user", help="Id of the person.")]


def erase(
    user: UserOption,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Erase a person from all tables and their older versions, and search for what is left."""
    from features.erasure import erase_user
    from jobs.stage_commands import load_settings, open_store

    settings, output = load_settings(config), Output(json)
    report = erase_user(
        open_store(store, settings),
        user,
        now=datetime.now(UTC),
        pseudonyms=settings.privacy.pseudonyms(),
        event_log=settings.event_log.resolved(),
    )
    for table, count in report.rows.items():
        output.console.print(f"{table}: {count:,} rows deleted")
    found, left = (sum(t.places for t in traces) for traces in (report.before, report.after))
    output.console.print(
        f"found before in {len(report.before):,} files, {found:,} places; "
        f"after in {len(report.after):,}, {left:,} places"
    )
    output.write_json(asdict(report))
    if report.after:
        files = ", ".join(trace.file for trace in report.after)
        raise NotErasedError(f"ids of the person are still in {files}")


def export(
    user: UserOption,
    store: StoreOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Hand out everything that is held on a person, as JSON (`--json FILE`, default stdout)."""
    from features.erasure import export_user
    from jobs.stage_commands import load_settings, open_store

    settings, output = load_settings(config), Output(json or "-")
    held = export_user(
        open_store(store, settings),
        user,
        pseudonyms=settings.privacy.pseudonyms(),
        event_log=settings.event_log.resolved(),
    )
    for table, rows in held.items():
        output.console.print(f"{table}: {len(rows):,} rows")
    output.write_json({table: [plain_json(row) for row in rows] for table, rows in held.items()})


def plain_json(value: Any) -> Any:
    """Return a value of a table as JSON has it."""
    if isinstance(value, dict):
        return {name: plain_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(part) for part in value]
    return value.isoformat() if isinstance(value, date | datetime) else value
