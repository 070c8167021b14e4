"""The commands `sentirec segments export`, `sync` and `verify-log`: lists leave the shop."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output
from jobs.segment_options import (
    DefinitionsOption,
    SegmentArgument,
    SetOption,
    open_segments,
    parameters_of,
)

if TYPE_CHECKING:
    import polars as pl

    from features.store import Store
    from jobs.config import Config
    from jobs.delivery.delivery import Mode
    from jobs.delivery.run_delivery import DeliveryReport
    from jobs.delivery.target import Target
    from jobs.segment_options import OpenedSegments

KEY_VARIABLE = "SENTIREC_API_KEY"
DestinationOption = Annotated[
    str, typer.Option("--to", help="Name of a [destinations.NAME] of the configuration file.")
]
ExperimentOption = Annotated[
    str | None,
    typer.Option("--experiment", help="Name for the exposures of who is sent and who held out."),
]
ExposuresOption = Annotated[
    Path | None,
    typer.Option("--exposures", help="Parquet file of exposures, for `sentirec abtest analyze`."),
]


def export(
    segment: SegmentArgument,
    to: DestinationOption,
    parameters: SetOption = None,
    experiment: ExperimentOption = None,
    exposures: ExposuresOption = None,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Hand a whole segment over: everybody on it is written to, and counts as contacted.

    Needs an API key with the scope `export` in SENTIREC_API_KEY.
    """
    if (experiment is None) != (exposures is None):
        raise BadInputError("--experiment and --exposures go together")
    opened = open_segments(definitions, store, config, as_of)
    _deliver(opened, segment, to, parameters, "export", experiment, exposures, Output(json))


def sync(
    segment: SegmentArgument,
    to: DestinationOption,
    parameters: SetOption = None,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Keep a list at a destination up with its segment: hand over who is new and who has left.

    Who is new counts as contacted; contacts of the segment itself do not count in its conditions,
    or everybody would leave the list for being on it. Needs an API key with the scope `export` in
    SENTIREC_API_KEY.
    """
    opened = replace(open_segments(definitions, store, config, as_of), uncounted=segment)
    _deliver(opened, segment, to, parameters, "sync", None, None, Output(json))


def verify_log(
    store: StoreOption = None, config: ConfigOption = None, json: JsonOption = None
) -> None:
    """Check the log of exports: any entry that was changed, dropped, added or moved is found."""
    from jobs.stage_commands import load_settings, open_store

    settings, output = load_settings(config), Output(json)
    log = settings.audit.open(open_store(store, settings))
    entries = log.entries()
    table = Table(title=f"{len(entries):,} entries in {log.path}, all as they were written")
    for column in ("at", "who", "what", "segment", "to", "people", "hash"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(
            entry["at"][:19],
            escape(str(entry["actor"].get("name", ""))),
            entry["kind"],
            escape(entry["segment"]),
            escape(entry["destination"]),
            f"{entry['size']:,}" if "size" in entry else "",
            entry["hash"][:12],
        )
    output.console.print(table)
    output.write_json({"path": str(log.path), "entries": entries})


def _deliver(
    opened: "OpenedSegments",
    segment: str,
    to: str,
    parameters: list[str] | None,
    mode: "Mode",
    experiment: str | None,
    exposures: Path | None,
    output: Output,
) -> None:
    from jobs.delivery.run_delivery import Audience, Delivering
    from jobs.whole_files import check_folder

    if exposures is not None:
        check_folder(exposures)
        if not opened.section.holdout.share:
            raise BadInputError("there is nobody to compare with: set [segments.holdout] share")
    definition = opened.definitions.definition(segment, parameters_of(parameters))
    target = _target(opened, segment, to)
    notes: list[str] = []

    def expose(sent: "pl.Series", control: "pl.Series") -> None:
        if exposures is not None and experiment is not None:
            notes.append(_expose(sent, control, exposures, experiment))

    with Console(stderr=True).status("open") as status:
        delivering = Delivering(
            store=opened.store,
            audit=opened.settings.audit.open(opened.store),
            actor=_actor(opened.store, opened.settings),
            now=lambda: datetime.now(UTC),
            pseudonyms=opened.pseudonyms,
            on_stage=status.update,
            on_plan=expose,
        )
        audience = Audience(
            segment=segment,
            definition_version=definition.version,
            as_of=opened.as_of,
            user_ids=_chosen(opened, definition),
        )
        report = delivering.run(audience, target, mode)
    report = replace(report, notes=[*report.notes, *notes])
    _print(output, report, target)
    output.write_json(report.to_dict())


def _chosen(opened: "OpenedSegments", definition: Any) -> "Callable[[], pl.Series]":
    from jobs.segment_priority import members_by_priority

    return lambda: members_by_priority(opened, definition)


def _target(opened: "OpenedSegments", segment: str, to: str) -> "Target":
    from jobs.delivery.section import known_destination
    from jobs.delivery.target import Target

    section, wanted = opened.section, known_destination(opened.settings.destinations, to)
    return Target(
        name=to,
        destination=wanted.build(segment),
        channel=wanted.channel,
        cap=section.cap(wanted.channel),
        holdout=section.held_out(segment),
        min_size=section.min_size,
        least_export_change=section.min_change,
        least_sync_change=wanted.least_change,
        is_contact=wanted.is_contact,
    )


def _actor(store: "Store", settings: "Config") -> dict[str, Any]:
    """Return who exports, by the key that they gave.

    Raises:
        BadInputError: If they gave none.
        KeysError: If it does not allow it.
    """
    from features.api_keys import FILE, key_that_allows

    given = os.environ.get(KEY_VARIABLE, "").strip()
    if not given:
        raise BadInputError(
            f"an export needs a key with the scope export in {KEY_VARIABLE}: "
            "`sentirec keys create --scope export --name WHO` makes one"
        )
    file = getattr(settings.serve, "keys_file", None)
    path = store.path(FILE) if file is None else Path(file)
    key = key_that_allows(path, given, "export")
    return {"name": key.name, "key_id": key.key_id}


def _expose(sent: "pl.Series", control: "pl.Series", path: Path, experiment: str) -> str:
    """Write who is sent and who is held out; return a note on it."""
    import io

    from jobs.whole_files import write_whole
    from recsys.segments.holdout import exposures

    buffer = io.BytesIO()
    exposures(sent, control, experiment=experiment, at=datetime.now(UTC)).write_parquet(buffer)
    write_whole(path, buffer.getvalue())
    return f"{path}: {len(sent):,} who are sent, {len(control):,} held out"


def _print(output: Output, report: "DeliveryReport", target: "Target") -> None:
    console = output.console
    for note in report.notes:
        console.print(note, markup=False, highlight=False)
    dropped = ", ".join(f"{count:,} {rule}" for rule, count in report.dropped.items() if count)
    if dropped:
        console.print(f"left out: {dropped}", highlight=False)
    if report.withheld:
        console.print(f"taken off again before it was sent: {report.withheld:,}", highlight=False)
    if report.delivery is None or report.receipt is None:
        return
    facts = report.delivery
    console.print(
        f"[bold]{escape(facts.segment)}[/bold] to [bold]{escape(target.name)}[/bold], "
        f"{facts.operation} {facts.number}: {facts.size:,} people ({len(facts.added):,} sent, "
        f"{len(facts.removed):,} taken off)",
        highlight=False,
    )
    console.print(f"  {report.receipt.place}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  audit log entry {report.audit_hash}", highlight=False, soft_wrap=True)
