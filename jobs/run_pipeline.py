"""The chain for a shop: new rows -> score -> profiles -> train -> gate -> publish.

Every step does only what is new, so the chain can be killed anywhere and started again, and cron
can start it as often as it likes: one run at a time holds the store's lock, a second waits.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from features.event_log.of_store import event_log_of
from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.build_profiles import SIDE_TABLES, ProfilesReport, profiles
from jobs.drain_event_log import drain
from jobs.errors import BadInputError
from jobs.ingest_tables import IngestReport, ingest
from jobs.newest_row import after_last_row
from jobs.publish_bundle import newest_bundle, publish
from jobs.score_reviews import ScoreConfig, ScoreReport, score
from jobs.train_models import TrainReport, data_versions, train
from recsys.bundle_manifest import Manifest, read_manifest
from recsys.bundle_versions import BUNDLES, current_bundle
from recsys.errors import BundleError
from recsys.retrieval import RecommenderConfig, TowerTrainer

# A step's name, what is done so far and in all; (0, 0) where that is not known.
StepProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Everything the chain needs to know.

    Attributes:
        score: How reviews are scored.
        recommender: What decides the fit.
        gate_tolerance: See `publish`.
        pseudonyms: See `jobs.ingest_tables.ingest`.
        event_log: Address of the store's event log; None for a file in the store.
    """

    score: ScoreConfig
    recommender: RecommenderConfig = field(default_factory=RecommenderConfig)
    gate_tolerance: float = 0.05
    pseudonyms: Pseudonyms | None = None
    event_log: str | None = field(default=None, repr=False)


@dataclass(kw_only=True)
class PipelineReport:
    """What each step did; None where there was nothing new to do."""

    drained: IngestReport | None = None
    ingest: IngestReport | None = None
    score: ScoreReport | None = None
    profiles: ProfilesReport | None = None
    train: TrainReport | None = None
    published: Manifest | None = None
    timings_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a block to `timings_s`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.timings_s[step] = round(self.timings_s.get(step, 0.0) + spent, 3)


def run(
    store: Store,
    files: Sequence[Path],
    config: PipelineConfig,
    make_trainer: Callable[[Callable[[int, int], None]], TowerTrainer],
    *,
    format: str | None = None,
    as_of: datetime | None = None,
    now: datetime,
    progress: StepProgress = lambda step, done, total: None,
) -> PipelineReport:
    """Run the chain.

    Args:
        store: Where everything is.
        files: New source files; may be empty.
        config: How to do it.
        make_trainer: Makes the two-tower trainer, given where to report epochs.
        format: Format of the files; None tells it from each.
        as_of: Rows at or after it are not used; None takes everything that has happened by `now`.
        now: Names the bundle; enters quarantine rows.
        progress: Told what is being done.

    Raises:
        BadInputError: If a file cannot be read; the others are still ingested.
        GateRefusedError: If the new bundle is worse; what is live stays live.
        NotDecidableError: If there is too little data.
    """
    report = PipelineReport()
    with store.lock("run"):
        log = event_log_of(store, config.event_log, make=False)
        if log is not None:
            with report.timed("ingest"), closing(log):
                progress("event log", 0, 0)
                report.drained = drain(store, log, now=now, pseudonyms=config.pseudonyms)
        if files:
            with report.timed("ingest"):
                report.ingest = _ingest(store, files, format, now, config.pseudonyms, progress)
        with report.timed("score"):
            report.score = score(
                store, config.score, progress=lambda done, total: progress("score", done, total)
            )
        version = report.score.model_version
        moment = as_of or after_last_row(store, now)
        if _is_trained(store, version, moment):
            report.published = _publish_waiting(store, config)
            return report
        with report.timed("profiles"):
            progress("profiles", 0, 0)
            report.profiles = profiles(
                store, version=version, as_of=moment, event_log=config.event_log
            )
        with report.timed("train"):
            report.train = train(
                store,
                config.recommender,
                make_trainer(lambda done, total: progress("train", done, total)),
                version=version,
                as_of=moment,
                now=now,
                progress=lambda step: progress(f"train: {step}", 0, 0),
            )
        with report.timed("publish"):
            progress("publish", 0, 0)
            report.published = publish(store, tolerance=config.gate_tolerance)
    return report


def _ingest(
    store: Store,
    files: Sequence[Path],
    format: str | None,
    now: datetime,
    pseudonyms: Pseudonyms | None,
    progress: StepProgress,
) -> IngestReport:
    total = sum(path.stat().st_size for path in files if path.is_file())
    done = 0

    def count(path: Path, num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress("ingest", min(done, total), total)

    report = ingest(store, files, format=format, now=now, pseudonyms=pseudonyms, progress=count)
    if report.errors:
        raise BadInputError("\n".join(report.errors))
    return report


def _is_trained(store: Store, version: str, as_of: datetime) -> bool:
    """Tell whether the newest bundle was made from just these tables, and side tables exist."""
    folder = newest_bundle(store.path(BUNDLES))
    if folder is None or not all(store.exists(table) for table in SIDE_TABLES):
        return False
    try:
        made_from = read_manifest(folder).data
    except BundleError:
        return False
    wanted: dict[str, Any] = data_versions(store, version) | {"as_of": as_of.isoformat()}
    return all(made_from.get(key) == value for key, value in wanted.items())


def _publish_waiting(store: Store, config: PipelineConfig) -> Manifest | None:
    """Publish the newest bundle if a run ended between train and publish; None where it is live."""
    bundles = store.path(BUNDLES)
    newest, live = newest_bundle(bundles), current_bundle(bundles)
    if newest is None or (live is not None and live.name == newest.name):
        return None
    return publish(store, newest.name, tolerance=config.gate_tolerance)
