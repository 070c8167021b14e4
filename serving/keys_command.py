"""The command `sentirec keys`: who may ask the server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.api_keys import FILE, SCOPES, changing_keys, new_key, read_keys, write_keys
from features.errors import KeysError
from serving.config import load_serve_file

keys = typer.Typer(
    name="keys", no_args_is_help=True, add_completion=False, help="Keys of the HTTP interface."
)
_console = Console()
_StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of the tables and bundles.")
]
_ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file; default: sentirec.toml where there is one."),
]


@keys.command()
def create(
    scope: Annotated[
        list[str], typer.Option(help="read, write, admin or export; give it as often as needed.")
    ],
    name: Annotated[str, typer.Option(help="For people: whose it is, what for.")] = "",
    user: Annotated[
        str | None, typer.Option(help="The one user that it sees and writes for.")
    ] = None,
    per_second: Annotated[
        float | None, typer.Option(help="Requests that are answered a second.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="After so many days it ends.")] = None,
    store: _StoreOption = None,
    config: _ConfigOption = None,
) -> None:
    """Make a key and print it, once; only its hash is kept. Running servers know it at once."""
    path, now = _path(store, config), datetime.now(UTC)
    if days is not None and not 0 < days <= 36_500:
        raise KeysError(f"--days must be within 0..36500, not {days:g}")
    unknown = set(scope) - set(SCOPES)
    if unknown:
        raise KeysError(f"--scope is one of {', '.join(SCOPES)}, not {', '.join(sorted(unknown))}")
    kept, key = new_key(
        frozenset(known for known in SCOPES if known in scope),
        now=now,
        name=name,
        user_id=user,
        per_second=per_second,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    with changing_keys(path):
        write_keys(path, [*read_keys(path), kept])
    typer.echo(key)


@keys.command("list")
def list_keys(store: _StoreOption = None, config: _ConfigOption = None) -> None:
    """Show what each key allows."""
    path, now = _path(store, config), datetime.now(UTC)
    table = Table(title=str(path))
    for column in ("id", "name", "scopes", "users", "a second", "made", "ends"):
        table.add_column(column)
    for key in read_keys(path):
        ends = "" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}"
        table.add_row(
            key.key_id,
            key.name,
            ", ".join(sorted(key.scopes)),
            "all" if key.user_mac is None else "one",
            "" if key.per_second is None else f"{key.per_second:g}",
            f"{key.created_at:%Y-%m-%d}",
            f"{ends} (over)" if key.is_expired(now) else ends,
        )
    _console.print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="As `sentirec keys list` shows it.")],
    store: _StoreOption = None,
    config: _ConfigOption = None,
) -> None:
    """End a key; running servers refuse it within a second."""
    path = _path(store, config)
    with changing_keys(path):
        found = read_keys(path)
        left = [key for key in found if key.key_id != key_id]
        if len(left) == len(found):
            known = ", ".join(key.key_id for key in found) or "none"
            raise KeysError(f"there is no key {key_id} in {path}; there are: {known}")
        write_keys(path, left)


def _path(store: Path | None, config: Path | None) -> Path:
    file = load_serve_file(config)
    folder = Path(store or file.store.path)
    if file.serve.keys_file is not None:
        return Path(file.serve.keys_file)
    if not folder.is_dir():
        raise KeysError(f"there is no store at {folder}: name it with --store")
    return folder / FILE
