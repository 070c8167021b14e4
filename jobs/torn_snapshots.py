"""Checkpoints that Ray Train can no longer find, since its list of them was torn by a kill.

Ray Train 2.60 writes `checkpoint_manager_snapshot.json` in place and after the checkpoint it tells
of. A kill in between leaves an empty or half list, with which every later run of that name fails,
although all checkpoints are there. Object stores replace whole objects: only folders are looked at.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

SNAPSHOT = "checkpoint_manager_snapshot.json"

logger = logging.getLogger(__name__)


def checkpoint_without_snapshot(
    storage_path: str, name: str, is_whole: Callable[[Path], bool]
) -> Path | None:
    """Return the newest whole checkpoint of a run that has no readable list of checkpoints.

    A list that cannot be read is taken away, so that the run can begin.

    Args:
        storage_path: Where runs are kept; addresses with a scheme are left alone.
        name: Of the run.
        is_whole: Tells whether all files of a checkpoint are there and can be read.

    Returns:
        A folder `checkpoint_<time>`; None where the list is whole or nothing was kept.
    """
    if "://" in storage_path:
        return None
    run = Path(storage_path) / name
    snapshot = run / SNAPSHOT
    if snapshot.exists():
        try:
            json.loads(snapshot.read_text())
        except ValueError:
            logger.warning("%s was torn by a kill and is written anew", snapshot)
            snapshot.unlink()
        else:
            return None
    newest_first = sorted(run.glob("checkpoint_*/"), reverse=True)
    return next((folder for folder in newest_first if is_whole(folder)), None)
