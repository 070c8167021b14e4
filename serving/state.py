"""The live state of a server: one reference to a snapshot, renewed when the store changes.

A bundle or table that cannot be read never replaces what is live: the old snapshot goes on
answering and the error is kept for whoever asks.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.errors import FeaturesError
from features.event_log import EventLog
from features.pseudonyms import Pseudonyms, check
from features.store import Store
from recsys.bundle import load_bundle
from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles
from recsys.bundle_manifest import Manifest
from recsys.bundle_versions import BUNDLES, bundle_folder, current_bundle, read_history
from recsys.errors import RecsysError
from recsys.recommender import Recommender
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.errors import NothingToServeError, ServingError
from serving.experiments import Assignment, ExperimentSection
from serving.live_profile import LiveProfiles
from serving.live_users import LiveUsers
from serving.side_tables import Versions, read_side_tables, table_versions
from serving.snapshot import Snapshot

RETRY_AFTER_S = 60.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the store held at one look."""

    bundle: Path
    versions: Versions


@dataclass(frozen=True, kw_only=True)
class _Answering:
    """What is answered from, swapped as one."""

    snapshot: Snapshot | None = None
    variants: Mapping[tuple[str, str], Snapshot] = field(default_factory=dict)


class ServingState:
    """Loads what is live, and keeps up with it.

    Args:
        store: Where side tables and bundles are.
        bundles: Folder of bundles; default: `bundles` in the store.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
        log: What users did since the side tables were made; None where nothing is taken in.
        experiments: Whose variants are loaded beside what is live.
        hashed: What was found of the live bundle's files before; those that are untouched since
            are not hashed again.
    """

    def __init__(
        self,
        store: Store,
        bundles: Path | None = None,
        pseudonyms: Pseudonyms | None = None,
        rerank: RerankSection = RERANK_DEFAULTS,
        log: EventLog | None = None,
        experiments: Sequence[ExperimentSection] = (),
        hashed: HashedFiles = NOTHING_KNOWN,
    ) -> None:
        self._store = store
        self.profiles = LiveProfiles(store)
        """Users' declared features as of now."""
        self._rerank = rerank
        self._log = log
        self._pseudonyms = pseudonyms
        self._bundles = store.path(BUNDLES) if bundles is None else bundles
        self._experiments = experiments
        self._hashed = hashed
        self._answering = _Answering()
        self._live: _Seen | None = None
        self._failed: tuple[_Seen | None, float] | None = None
        self._reload_error: str | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._poller: threading.Thread | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """What to answer from; None until the first load has succeeded."""
        return self._answering.snapshot

    def variant(self, assignment: Assignment) -> Snapshot | None:
        """Return what a variant answers from; None where its bundle cannot be used."""
        return self._answering.variants.get((assignment.experiment, assignment.variant))

    def experiments(self) -> dict[str, list[str]]:
        """Return the variants that can be shown, by experiment."""
        found: dict[str, list[str]] = {each.name: [] for each in self._experiments}
        for experiment, variant in self._answering.variants:
            found[experiment].append(variant)
        return found

    @property
    def bundles(self) -> Path:
        """Folder of bundles."""
        return self._bundles

    @property
    def reload_error(self) -> str | None:
        """Why the last look at the store could not be taken over, or None."""
        return self._reload_error

    def try_out(self, version: str) -> None:
        """Make sure that a bundle of the folder can answer with the tables as they are.

        Raises:
            RecsysError: If it is damaged, or no bundle.
            ServingError: If it cannot answer.
            FeaturesError: If a side table is damaged.
        """
        recommender, manifest = load_bundle(bundle_folder(self._bundles, version))
        tables = read_side_tables(self._store)
        tried = Snapshot.of(recommender, manifest, tables, self._pseudonyms, self._rerank)
        tried.deferred.wait()

    def load(self) -> None:
        """Load what is live now; where that cannot answer, the newest bundle before it that can.

        Raises:
            NothingToServeError: If no bundle was published, or a side table is missing.
            StoreError: If the store holds pseudonyms of another key, or plain ids.
            RecsysError: If the bundle is damaged.
            FeaturesError: If a side table is damaged, or the event log cannot be read.
        """
        check(self._store, self._pseudonyms)
        with self._lock:
            seen = self._look()
            try:
                self._swap(*load_bundle(seen.bundle, self._hashed), seen.bundle)
            except (RecsysError, ServingError) as error:
                if not self._load_earlier(seen):
                    raise
                self._fail(seen, error)

    def _load_earlier(self, seen: _Seen) -> bool:
        """Load the newest bundle before the live one that can answer; tell whether there is one."""
        for version in reversed(read_history(self._bundles)[:-1]):
            folder = self._bundles / version
            if folder == seen.bundle:
                continue
            try:
                self._swap(*load_bundle(folder), folder)
            except (RecsysError, ServingError) as error:
                _logger.warning("bundle %s cannot answer either: %s", version, error)
            else:
                return True
        return False

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
        live, snapshot = self._live, self._answering.snapshot
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
        live = self._live_users(tables.covered)

        def snapshot_of(recommender: Recommender, manifest: Manifest) -> Snapshot:
            before = self._answering.snapshot
            return Snapshot.of(
                recommender, manifest, tables, self._pseudonyms, self._rerank, live, before
            )

        snapshot = snapshot_of(recommender, manifest)
        variants = self._load_variants(snapshot, snapshot_of)
        self._answering = _Answering(snapshot=snapshot, variants=variants)
        self._live = _Seen(bundle=bundle, versions=tables.versions)
        _logger.info("serving bundle %s with tables %s", manifest.version, tables.versions)

    def _load_variants(
        self, live: Snapshot, snapshot_of: Callable[[Recommender, Manifest], Snapshot]
    ) -> dict[tuple[str, str], Snapshot]:
        """Return what each variant answers from; one that cannot be loaded is left out and told."""
        of_bundle = {live.manifest.version: live}
        found = {}
        for experiment in self._experiments:
            for variant in experiment.variants:
                version = variant.bundle or live.manifest.version
                try:
                    if version not in of_bundle:
                        folder = bundle_folder(self._bundles, version)
                        of_bundle[version] = snapshot_of(*load_bundle(folder))
                except (RecsysError, ServingError) as error:
                    _logger.warning(
                        "variant %s of %s is not shown: %s", variant.name, experiment.name, error
                    )
                    continue
                snapshot = of_bundle[version]
                if variant.rerank is not None:
                    snapshot = snapshot.rearranged(variant.rerank)
                found[experiment.name, variant.name] = snapshot
        return found

    def _live_users(self, covered: int) -> LiveUsers | None:
        """Return what happened since the tables were made; anew where they now know more."""
        if self._log is None:
            return None
        snapshot = self._answering.snapshot
        live = None if snapshot is None else snapshot.live
        if live is not None and live.covered == covered:
            return live
        return LiveUsers(self._log, covered)

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
