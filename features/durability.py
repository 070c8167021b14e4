"""Delta commits that survive a power cut, and tables that did not.

deltalake itself never calls fsync, and Polars panics over a file that was cut short.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable


def sync_commits(folder: Path, before: int | None, after: int) -> None:
    """Force commits, their data files and the folders around them onto the disk.

    Args:
        folder: The table.
        before: The version that was on the disk already; None where there was no table.
        after: The newest version.
    """
    log = folder / "_delta_log"
    first = 0 if before is None else before + 1
    touched: set[Path] = {folder, log, log / "_last_checkpoint"}
    for version in range(first, after + 1):
        for entry in log.glob(f"{version:020d}.*"):
            touched.add(entry)
            if entry.suffix == ".json":
                touched |= {folder / name for name in _added_files(entry)}
    if before is None:
        touched |= {folder.parent, folder.parent.parent, folder.parent.parent.parent}
    touched |= {path.parent for path in touched if path.is_relative_to(folder)}
    for path in sorted(touched, key=lambda path: len(path.parts), reverse=True):
        _sync(path)


def damaged_files(folder: Path, table: DeltaTable) -> list[str]:
    """Name the data files that are missing or not as long as their commit says.

    Args:
        folder: The table.
        table: The same, opened.

    Returns:
        A line a file: its path, its size, and the size it should have.
    """
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    lines = []
    for name, size in actions.select("path", "size_bytes").iter_rows():
        path = folder / unquote(name)
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            has = "is missing" if found is None else f"has {found:,} bytes"
            lines.append(f"{path} {has}, {size:,} were committed")
    return lines


def drop_log_before(folder: Path, version: int) -> None:
    """Remove the log entries that a checkpoint of a version made needless.

    Args:
        folder: The table.
        version: That of the checkpoint.
    """
    log = folder / "_delta_log"
    for entry in log.iterdir():
        number = entry.name.split(".")[0]
        if number.isdigit() and int(number) < version:
            entry.unlink()
    _sync(log)


def added_since(folder: Path, since: int, version: int) -> list[Path] | None:
    """Name the data files that commits after one version, up to another, added to a table.

    Args:
        folder: The table.
        since: Whose files are known, -1 for none.
        version: The newest to be read.

    Returns:
        The files; None where a commit is no longer in the log, or did anything else to the rows
        than adding some. Joining small files changes no rows.
    """
    files = []
    for number in range(since + 1, version + 1):
        commit = folder / "_delta_log" / f"{number:020d}.json"
        if not commit.is_file():
            return None
        actions = _actions(commit)
        if any(
            action["remove"].get("dataChange", True) for action in actions if "remove" in action
        ):
            return None
        added = [action["add"] for action in actions if "add" in action]
        files += [folder / unquote(add["path"]) for add in added if add.get("dataChange", True)]
    return files if all(file.is_file() for file in files) else None


def _added_files(commit: Path) -> list[str]:
    return [unquote(action["add"]["path"]) for action in _actions(commit) if "add" in action]


def _actions(commit: Path) -> list[dict[str, Any]]:
    # Split at line feeds alone: statistics quote texts, which may hold other line separators.
    return [json.loads(line) for line in commit.read_bytes().split(b"\n") if line]


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # A concurrent compaction may have removed it; then a later commit no longer names it.
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
