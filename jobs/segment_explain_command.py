"""The command `sentirec segments explain-user`: why somebody is in a segment, or not."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

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
    from recsys.segments.explaining import Explanation

_TRUTHS = {True: "yes", False: "no", None: "unknown"}


def explain_user(
    segment: SegmentArgument,
    user: Annotated[str, typer.Option("--user", help="Id of the user.")],
    parameters: SetOption = None,
    channel: ChannelOption = None,
    definitions: DefinitionsOption = None,
    store: StoreOption = None,
    as_of: AsOfOption = None,
    config: ConfigOption = None,
    json: JsonOption = None,
) -> None:
    """Say what a user answers to every condition of a segment, and to every gate of a channel.

    Without --channel every channel is shown that the user agreed to.
    """
    from recsys.segments.explaining import explain

    output = Output(json)
    opened = open_segments(definitions, store, config, as_of)
    definition = opened.definitions.definition(segment, parameters_of(parameters))
    name = opened.name_of(user)
    found = explain(opened.select(definition).compiled, name)
    gates = _gates(opened, segment, name, channel)
    verdict = "in" if found.holds else "not in"
    reason = "" if found.holds is not None else ": too little is known of them"
    output.console.print(
        f"[bold]{escape(user)}[/bold] is {verdict} {segment} {definition.version[:12]} as of "
        f"{opened.as_of.isoformat()}{reason}",
        highlight=False,
    )
    output.console.print(_answers(found))
    output.console.print(_gates_table(gates))
    output.write_json(
        {
            "user_id": user,
            "segment": segment,
            "version": definition.version,
            "as_of": opened.as_of.isoformat(),
            "is_in": found.holds is True,
            "holds": found.holds,
            "conditions": [
                {
                    "path": answer.path,
                    "asked": answer.says,
                    "value": _plain(answer.value),
                    "holds": answer.holds,
                }
                for answer in found.answers
            ],
            "channels": gates,
        }
    )


def _gates(
    opened: OpenedSegments, segment: str, user: str, channel: str | None
) -> dict[str, dict[str, Any]]:
    """Return of each channel the rule that drops the user, and whether they are held out."""
    import polars as pl

    from recsys.segments.admission import rules_of
    from recsys.segments.holdout import held_out

    tables = opened.admission_tables()
    users = pl.Series("user_id", [user])
    channels = [channel] if channel is not None else []
    if channel is None:
        own = tables.users.filter(pl.col("user_id") == user).select("consents").collect()
        channels = sorted(
            {name for said in own["consents"].to_list() for name in said or [] if name.strip()}
        )
    found = {}
    for name in channels:
        ruled = rules_of(
            tables, users, channel=name, at=opened.as_of, caps=opened.section.cap(name)
        )
        is_held_out = bool(held_out(users, opened.section.held_out(segment)).item())
        found[name] = {"dropped_by": ruled["rule"].item(), "held_out": is_held_out}
    return found


def _answers(found: "Explanation") -> Table:
    table = Table("where", "asked", "the user's", "holds", title="conditions")
    for answer in found.answers:
        table.add_row(
            escape(answer.path), escape(answer.says), _shown(answer.value), _TRUTHS[answer.holds]
        )
    return table


def _gates_table(gates: dict[str, dict[str, Any]]) -> Table:
    table = Table("channel", "may be written to", "held out", title="gates")
    for channel, gate in gates.items():
        dropped = gate["dropped_by"]
        table.add_row(
            escape(channel),
            "yes" if dropped is None else f"no: {dropped}",
            "yes" if gate["held_out"] else "no",
        )
    if not gates:
        table.caption = "the user agreed to no channel: they may not be written to"
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.6g}" if isinstance(value, float) else escape(str(value))


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list | None) else str(value)
