"""The command `sentirec segments diff`: who enters and who leaves, and by which condition."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption, parse_moment
from jobs.output import Output
from jobs.segment_options import (
    DefinitionsOption,
    SegmentArgument,
    SetOption,
    open_segments,
    parameters_of,
)


def diff(
    segment: SegmentArgument,
    other: Annotated[
        str | None, typer.Option("--with", help="Another segment, in place of the same one.")
    ] = None,
    old: Annotated[
        list[Path] | None,
        typer.Option("--old", help="File or folder of the earlier definitions."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="ISO 8601: as of when the segment was before.")
    ] = None,
    parameters: SetOption = None,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Say who enters and leaves a segment from one version, or one moment, to another.

    Say what is compared with one of --old, --with and --since.
    """
    from jobs.segment_definitions import read_definitions
    from recsys.segments.explaining import kept_out_by

    output = Output(json)
    if sum(value is not None for value in (other, old, since)) != 1:
        raise BadInputError("say one of --old FILE, --with SEGMENT and --since TIME")
    opened = open_segments(definitions, store, config, as_of)
    values = parameters_of(parameters)
    after = opened.definitions.definition(segment, values)
    before = after
    if old is not None:
        before = read_definitions(old).definition(segment, values)
    elif other is not None:
        before = opened.definitions.definition(other)
    earlier, later = opened.select(before, parse_moment(since)), opened.select(after)
    if earlier.as_of > later.as_of:
        raise BadInputError(
            f"--since {earlier.as_of.isoformat()} is after {later.as_of.isoformat()}"
        )
    were, are = earlier.user_ids(), later.user_ids()
    enter = are.filter(~are.is_in(were.implode()))
    leave = were.filter(~were.is_in(are.implode()))
    kept_out = kept_out_by(earlier.compiled, enter)
    keeps_out = kept_out_by(later.compiled, leave)
    output.console.print(
        f"{before.name} {before.version[:12]} as of {earlier.as_of.isoformat()}: {len(were):,} "
        f"users\n{after.name} {after.version[:12]} as of {later.as_of.isoformat()}: {len(are):,} "
        f"users, {len(enter):,} enter, {len(leave):,} leave",
        highlight=False,
    )
    for title, counts in (
        ("who enters was kept out by", kept_out),
        ("who leaves is kept out by", keeps_out),
    ):
        if counts:
            table = Table("condition", title=title)
            table.add_column("users", justify="right")
            for says, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
                table.add_row(escape(says), f"{count:,}")
            output.console.print(table)
    output.write_json(
        {
            "before": {
                "segment": before.name,
                "version": before.version,
                "as_of": earlier.as_of.isoformat(),
                "users": len(were),
            },
            "after": {
                "segment": after.name,
                "version": after.version,
                "as_of": later.as_of.isoformat(),
                "users": len(are),
            },
            "enter": len(enter),
            "leave": len(leave),
            "entering_were_kept_out_by": kept_out,
            "leaving_are_kept_out_by": keeps_out,
        }
    )
