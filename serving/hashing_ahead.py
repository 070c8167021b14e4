"""The live bundle is hashed while Ray starts, once for all replicas."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles
from recsys.bundle_manifest import hash_bundle

_logger = logging.getLogger(__name__)


class HashingAhead:
    """Hashes a bundle in threads beside.

    Args:
        folder: Of the bundle.
    """

    def __init__(self, folder: Path) -> None:
        self._ended = threading.Event()
        beside = ThreadPoolExecutor(1, thread_name_prefix="hashing")
        self._hashing = beside.submit(hash_bundle, folder, self._ended)
        beside.shutdown(wait=False)

    def result(self) -> HashedFiles:
        """Wait, and return what was found; nothing where a file cannot be read.

        Whoever loads the bundle then finds that, too, and says so.
        """
        try:
            return self._hashing.result()
        except OSError as error:
            _logger.warning("the bundle could not be hashed ahead: %s", error)
            return NOTHING_KNOWN

    def end(self) -> None:
        """Break off; safe to repeat."""
        self._ended.set()
