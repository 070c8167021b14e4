"""Commands that other packages register, loaded only when they are called.

An entry of the group `sentirec.commands` names a function (or a Typer app) that becomes the command
of the entry's name. Loading is put off so that `--help` imports no model or server, and so that a
package that cannot be imported spoils its own command only.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from jobs.errors import MissingPartError

GROUP = "sentirec.commands"


class PluginCommand(TyperCommand):
    """Stands for a command until it is called.

    Args:
        entry: Where the command is.
    """

    def __init__(self, entry: EntryPoint) -> None:
        module = entry.value.partition(":")[0]
        super().__init__(name=entry.name, help=f"See `sentirec {entry.name} --help` ({module}).")
        self._entry = entry

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Load the command and hand the arguments on to it.

        Raises:
            MissingPartError: The entry cannot be loaded.
        """
        return self._load().make_context(info_name, args, parent=parent, **extra)

    def _load(self) -> Any:
        entry = self._entry
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            package = entry.value.split(".", 1)[0]
            raise MissingPartError(
                f"the command {entry.name} ({entry.value}) cannot be loaded: {error}. Install what "
                f"it needs with: pip install 'sentirec[{package}]'"
            ) from error
        if isinstance(loaded, typer.Typer):
            return typer.main.get_command(loaded)
        alone = typer.Typer(add_completion=False)
        alone.command(entry.name)(loaded)
        return typer.main.get_command(alone)


class PluginGroup(TyperGroup):
    """A group of commands that also has those of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the own commands, then the registered ones."""
        own = super().list_commands(ctx)
        return [*own, *sorted(name for name in registered() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command; an own one goes before a registered one of the same name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = registered().get(cmd_name)
        return None if entry is None else PluginCommand(entry)


def registered() -> dict[str, EntryPoint]:
    """List the entries of installed packages.

    Returns:
        Entries by command name.
    """
    return {entry.name: entry for entry in entry_points(group=GROUP)}
