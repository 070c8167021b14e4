"""What the commands of segments share: their options, and how they open a store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import BadInputError
from jobs.options import parse_moment

if TYPE_CHECKING:
    from features.pseudonyms import Pseudonyms
    from features.store import Store
    from jobs.config import Config
    from jobs.segment_members import Selection
    from recsys.segments.admission import AdmissionTables
    from recsys.segments.definition import Definition, Definitions
    from recsys.segments.section import SegmentsSection

# Somebody whom others wrote to after the last event was written to.
_DATED = ("events", "reviews", "contacts")
DefinitionsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--definitions",
        help="File or folder of TOML and YAML; may be repeated. Default: [segments] definitions, "
        "or the folder segments.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE of a parameter of the segment; may be repeated."),
]
ChannelOption = Annotated[
    str | None, typer.Option("--channel", help="Such as email; default: see each command.")
]
SegmentArgument = Annotated[str, typer.Argument(help="Name of a segment.")]


@dataclass(frozen=True, kw_only=True)
class OpenedSegments:
    """A store and its segments, as of a moment.

    Attributes:
        store: Where the tables are.
        as_of: The moment asked about.
        definitions: Of all files.
        settings: The configuration.
        pseudonyms: Under which the store knows users; None for plain ids.
        uncounted: Segment whose contacts no condition counts; None where all count.
    """

    store: "Store"
    as_of: datetime
    definitions: "Definitions"
    settings: "Config"
    pseudonyms: "Pseudonyms | None"
    uncounted: str | None = None

    @property
    def section(self) -> "SegmentsSection":
        """`[segments]` of the configuration."""
        return self.settings.segments

    def name_of(self, user_id: str) -> str:
        """Return the name under which the store knows a user."""
        return user_id if self.pseudonyms is None else self.pseudonyms.of(user_id)

    def select(self, definition: "Definition", as_of: datetime | None = None) -> "Selection":
        """Ask who is in a segment; see `jobs.segment_members.select_members`."""
        from jobs.segment_members import select_members, signals_version

        version = signals_version(self.store, self.settings)
        return select_members(
            self.store,
            definition,
            as_of or self.as_of,
            version=version,
            uncounted=self.uncounted,
        )

    def admission_tables(self) -> "AdmissionTables":
        """Open what decides who may be written to."""
        from jobs.segment_tables import admission_tables

        return admission_tables(self.store)


def open_segments(
    definitions: list[Path] | None, store: str | None, config: Path | None, as_of: str | None
) -> OpenedSegments:
    """Open a store and all definitions.

    Raises:
        BadInputError: A place of definitions is not there, or the time is none.
        SegmentError: A file of definitions is wrong.
        StoreError: The store cannot be read.
    """
    from jobs.newest_row import after_last_row
    from jobs.segment_definitions import read_definitions
    from jobs.stage_commands import load_settings, open_store

    settings = load_settings(config)
    # Definitions first: a mistake in them is told without a store.
    known = read_definitions(definitions or settings.segments.definitions)
    opened = open_store(store, settings)
    return OpenedSegments(
        store=opened,
        as_of=parse_moment(as_of) or after_last_row(opened, datetime.now(UTC), _DATED),
        definitions=known,
        settings=settings,
        pseudonyms=settings.privacy.pseudonyms(),
    )


def parameters_of(given: list[str] | None) -> Mapping[str, str]:
    """Read NAME=VALUE pairs.

    Raises:
        BadInputError: One is no such pair, or a name is given twice.
    """
    found: dict[str, str] = {}
    for pair in given or []:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise BadInputError(f"--set wants NAME=VALUE, not {pair!r}")
        if name.strip() in found:
            raise BadInputError(f"--set gives {name.strip()} twice")
        found[name.strip()] = value
    return found
