"""The live state of a server: one reference to a snapshot, renewed when the store changes.

A bundle or table that cannot be read never replaces what is live: the old snapshot goes on
answering and the error is kept for whoever asks.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from features.errors import FeaturesError
from features.pseudonyms import Pseudonyms, check
from features.store import Store
from recsys.bundle import Manifest, load_bundle
from recsys.bundle_versions import current_bundle
from recsys.errors import RecsysError
from recsys.recommender import Recommender
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.errors import NothingToServeError, ServingError
from serving.side_tables import Versions, read_side_tables, table_versions
from serving.snapshot import Snapshot

BUNDLES = "bundles"
RETRY_AFTER_S = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the store held at one look."""

    bundle: Path
    versions: Versions


class ServingState:
    """Loads what is live, and keeps up with it.

    Args:
        store: Where side tables and bundles are.
        bundles: Folder of bundles; default: `bundles` in the store.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
    """

    def __init__(
        self,
        store: Store,
        bundles: Path | None = None,
        pseudonyms: Pseudonyms | None = None,
        rerank: RerankSection = RERANK_DEFAULTS,
    ) -> None:
        self._store = store
        self._rerank = rerank
        self._pseudonyms = pseudonyms
        self._bundles = store.path(BUNDLES) if bundles is None else bundles
        self._snapshot: Snapshot | None = None
        self._live: _Seen | None = None
        self._failed: tuple[_Seen | None, float] | None = None
        self._reload_error: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """What to answer from; None until the first load has succeeded."""
        return self._snapshot

    @property
    def reload_error(self) -> str | None:
        """Why the last look at the store could not be taken over, or None."""
        return self._reload_error

    def load(self) -> None:
        """Load what is live now.

        Raises:
            NothingToServeError: If no bundle was published, or a side table is missing.
            StoreError: If the store holds pseudonyms of another key, or plain ids.
            RecsysError: If the bundle is damaged.
            FeaturesError: If a side table is damaged.
        """
        check(self._store, self._pseudonyms)
        with self._lock:
            seen = self._look()
            recommender, manifest = load_bundle(seen.bundle)
            self._swap(recommender, manifest, seen.bundle)

    def refresh(self) -> bool:
        """Take over what changed since the last load.

        A damaged bundle does not keep newer side tables from being used with the live bundle.

        Returns:
            Whether there is a new snapshot. False also where the change cannot be used: then
            `reload_error` says why, and the same change is tried again after `RETRY_AFTER_S`.
        """
        with self._lock:
            seen = None
            try:
                seen = self._look()
                if seen == self._live:
                    self._reload_error = self._failed = None
                    return False
                if self._is_failed(seen):
                    return False
                return self._take_over(seen)
            except Exception as error:
                # Whatever is wrong with what was published, what is live goes on answering.
                self._fail(seen, error)
                return False

    def start_polling(self, interval_s: float) -> None:
        """Refresh every `interval_s` seconds in a background thread, until `close`."""
        assert self._poller is None, "already polling"
        self._poller = threading.Thread(
            target=self._poll, args=(interval_s,), name="serving-state", daemon=True
        )
        self._poller.start()

    def close(self) -> None:
        """End the polling; the snapshot stays."""
        self._ended.set()
        if self._poller is not None:
            self._poller.join()
            self._poller = None

    def _poll(self, interval_s: float) -> None:
        while not self._ended.wait(interval_s):
            self.refresh()

    def _look(self) -> _Seen:
        bundle = current_bundle(self._bundles)
        if bundle is None:
            raise NothingToServeError(
                f"no bundle is published in {self._bundles}: run `sentirec train` and "
                "`sentirec publish` first"
            )
        return _Seen(bundle=bundle, versions=table_versions(self._store))

    def _take_over(self, seen: _Seen) -> bool:
        live, snapshot = self._live, self._snapshot
        if live is None or snapshot is None or seen.bundle != live.bundle:
            try:
                recommender, manifest = load_bundle(seen.bundle)
                self._swap(recommender, manifest, seen.bundle)
            except Exception as error:
                if live is None or snapshot is None or seen.versions == live.versions:
                    raise
                self._fail(seen, error)
                self._swap(snapshot.recommender, snapshot.manifest, live.bundle)
                return True
        else:
            self._swap(snapshot.recommender, snapshot.manifest, live.bundle)
        self._reload_error = self._failed = None
        return True

    def _swap(self, recommender: Recommender, manifest: Manifest, bundle: Path) -> None:
        tables = read_side_tables(self._store)
        self._snapshot = Snapshot.of(recommender, manifest, tables, self._pseudonyms, self._rerank)
        self._live = _Seen(bundle=bundle, versions=tables.versions)
        _logger.info("serving bundle %s with tables %s", manifest.version, tables.versions)

    def _is_failed(self, seen: _Seen) -> bool:
        if self._failed is None or self._failed[0] != seen:
            return False
        return time.monotonic() - self._failed[1] < RETRY_AFTER_S

    def _fail(self, seen: _Seen | None, error: Exception) -> None:
        if str(error) != self._reload_error:
            is_foreseen = isinstance(error, FeaturesError | RecsysError | ServingError | OSError)
            _logger.warning(
                "still serving what was live: %s", error, exc_info=None if is_foreseen else error
            )
        self._reload_error = str(error)
        self._failed = (seen, time.monotonic())
