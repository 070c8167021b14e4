"""The command `sentirec segments list`: which segments there are."""

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from jobs.options import ConfigOption, JsonOption
from jobs.output import Output
from jobs.segment_options import DefinitionsOption

if TYPE_CHECKING:
    from recsys.segments.definition import Definitions


def list_segments(
    definitions: DefinitionsOption = None, config: ConfigOption = None, json: JsonOption = None
) -> None:
    """Name every segment, shipped and own, with its version and the tables that it reads."""
    from jobs.segment_definitions import read_definitions
    from jobs.stage_commands import load_settings

    output = Output(json)
    places = definitions or load_settings(config).segments.definitions
    known = read_definitions(places)
    rows = [_told(known, name) for name in known.names()]
    table = Table("segment", "version", "what it is", "reads", title="segments")
    for row in rows:
        version = row["version"]
        needs = ", ".join(f"--set {name}=…" for name in row["needs_values"])
        parameters = ", ".join(f"{k} = {v}" for k, v in row["parameters"].items() if v is not None)
        table.add_row(
            row["name"],
            version[:12] if version else escape(needs),
            escape(row["description"])
            + (f"\n[dim]{escape(parameters)}[/dim]" if parameters else ""),
            ", ".join(row["tables"]),
        )
    output.console.print(table)
    output.write_json({"segments": rows})


def _told(known: "Definitions", name: str) -> dict[str, Any]:
    from recsys.segments.reading import tables_read

    text = known.text(name)
    parameters = known.parameters(name)
    missing = [key for key, value in parameters.items() if value is None]
    # What a parameter stands for does not change which tables are read.
    filled = known.definition(name, {key: f"<{key}>" for key in missing})
    return {
        "name": name,
        "source": text.source,
        "description": str(text.content.get("description", "")),
        "extends": text.content.get("extends"),
        "version": None if missing else filled.version,
        "parameters": parameters,
        "needs_values": missing,
        "tables": sorted(tables_read(filled.condition)),
    }
