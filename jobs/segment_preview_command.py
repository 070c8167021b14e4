"""The command `sentirec segments preview`: how many, who of them may be written to, what like."""

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output
from jobs.segment_options import (
    ChannelOption,
    DefinitionsOption,
    OpenedSegments,
    SegmentArgument,
    SetOption,
    open_segments,
    parameters_of,
)

if TYPE_CHECKING:
    from jobs.preview_segment import Preview
    from recsys.segments.profiling import Spread


def preview(
    segment: SegmentArgument,
    parameters: SetOption = None,
    channel: ChannelOption = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, max=100, help="Users to show, by a name of this run.")
    ] = 5,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Count a segment exactly, after each gate, and show what its users are like.

    Without --channel the gates of every channel are shown that any member agreed to. Some users who
    may be written to are shown; nobody where fewer than [segments] min_size match.
    """
    from jobs.preview_segment import preview_segment

    output = Output(json)
    if channel is not None and not channel.strip():
        raise BadInputError("--channel is empty")
    opened = open_segments(definitions, store, config, as_of)
    definition = opened.definitions.definition(segment, parameters_of(parameters))
    found = preview_segment(
        opened.select(definition),
        opened.admission_tables(),
        opened.section,
        channel=channel,
        sample=sample,
        key=secrets.token_bytes(32),
    )
    output.console.print(
        f"[bold]{segment}[/bold] {definition.version[:12]} as of {found.as_of.isoformat()}: "
        f"{found.matched:,} of {found.everybody:,} users",
        highlight=False,
    )
    output.console.print(f"  {definition.condition.says()}", markup=False, highlight=False)
    output.console.print(_gates_table(found, opened))
    if found.of_members:
        output.console.print(_spread_table(found))
    for note in found.notes:
        output.console.print(note, markup=False, highlight=False)
    if found.sample:
        output.console.print(_sample_table(found.sample))
    output.write_json(
        asdict(found)
        | {
            "as_of": found.as_of.isoformat(),
            "segment": segment,
            "version": definition.version,
            "parameters": dict(definition.parameters),
            "says": definition.condition.says(),
        }
    )


def _gates_table(found: "Preview", opened: OpenedSegments) -> Table:
    from recsys.segments.admission import RULES

    table = Table(title="who of them may be written to")
    table.add_column("channel")
    for name in ("matched", *(f"less {rule}" for rule in RULES), "held out", "left"):
        table.add_column(name, justify="right")
    for channel, gates in found.channels.items():
        table.add_row(
            escape(channel),
            f"{found.matched:,}",
            *(f"{gates.dropped[rule]:,}" for rule in RULES),
            f"{gates.held_out:,}",
            f"{gates.left:,}",
        )
    if not found.channels:
        table.caption = "no member agreed to any channel: nobody may be written to"
    smallest = opened.section.min_size
    if any(0 < gates.left < smallest for gates in found.channels.values()):
        table.caption = f"a list of fewer than {smallest} users is not exported"
    return table


def _spread_table(found: "Preview") -> Table:
    table = Table(title="what they are like: lower quartile, median, upper quartile (mean)")
    for name in ("feature", "segment", "known of", "everybody", "known of"):
        table.add_column(name, justify="left" if name == "feature" else "right")
    for name, of_all in found.of_everybody.items():
        own = found.of_members[name]
        table.add_row(name, _shown(own), f"{own.known:.0%}", _shown(of_all), f"{of_all.known:.0%}")
    return table


def _shown(spread: "Spread") -> str:
    if spread.mean is None:
        return "–"
    low, middle, high = map(_cell, spread.quartiles)
    return f"{low}, {middle}, {high} ({_cell(spread.mean)})"


def _sample_table(rows: list[dict[str, Any]]) -> Table:
    names = list(rows[0])
    table = Table(title="some of them")
    for name in names:
        table.add_column(name, justify="left" if name == "user" else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, int | float):
        return escape(str(value))
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
