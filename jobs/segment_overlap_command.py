"""The command `sentirec segments overlap`: who is in several, and which message they get."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.errors import BadInputError
from jobs.options import AsOfOption, ConfigOption, JsonOption, StoreOption
from jobs.output import Output
from jobs.segment_options import ChannelOption, DefinitionsOption, open_segments

if TYPE_CHECKING:
    from recsys.segments.overlap import Overlap


def overlap(
    segments: Annotated[
        list[str] | None,
        typer.Argument(help="Names, the most important first; default: [segments] priority."),
    ] = None,
    channel: ChannelOption = None,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Count who is in several segments, and whom each keeps where a user gets one message.

    With --channel only users who may be written to in it count.
    """
    from jobs.preview_segment import admitted
    from recsys.segments.overlap import MOST_SEGMENTS
    from recsys.segments.overlap import overlap as compare

    output = Output(json)
    opened = open_segments(definitions, store, config, as_of)
    names = segments or opened.section.priority
    if len(names) < 2 or len(set(names)) < len(names) or len(names) > MOST_SEGMENTS:
        raise BadInputError(
            f"overlap compares 2 to {MOST_SEGMENTS} different segments, not {names}: name them, or "
            "set [segments] priority"
        )
    members = {}
    for name in names:
        selection = opened.select(opened.definitions.definition(name))
        users = selection.user_ids()
        if channel is not None:
            tables = opened.admission_tables()
            users = admitted(selection, tables, opened.section, users, channel).user_ids
        members[name] = users
    found = compare(members)
    output.console.print(_counts(found))
    output.console.print(_kept(found))
    output.write_json(
        {
            "as_of": opened.as_of.isoformat(),
            "segments": found.names,
            "counts": found.counts_SS.tolist(),
            "jaccard": [
                [None if value != value else value for value in row]
                for row in found.jaccard_SS.tolist()
            ],
            "kept": dict(zip(found.names, found.kept_S.tolist(), strict=True)),
            "num_users": found.num_users,
        }
    )


def _counts(found: "Overlap") -> Table:
    table = Table(title="users in both (share of those in either)")
    table.add_column("")
    for number in range(len(found.names)):
        table.add_column(str(number + 1), justify="right")
    for number, name in enumerate(found.names):
        cells = [
            f"{count:,} ({share:.2f})" if other != number else f"{count:,}"
            for other, (count, share) in enumerate(
                zip(found.counts_SS[number], found.jaccard_SS[number], strict=True)
            )
        ]
        table.add_row(f"{number + 1} {name}", *cells)
    return table


def _kept(found: "Overlap") -> Table:
    table = Table(title=f"one message each: {found.num_users:,} users")
    for name in ("priority", "segment", "users", "keeps"):
        table.add_column(name, justify="left" if name == "segment" else "right")
    for number, name in enumerate(found.names):
        size, keeps = found.counts_SS[number, number], found.kept_S[number]
        table.add_row(str(number + 1), name, f"{size:,}", f"{keeps:,}")
    return table
