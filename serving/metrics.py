"""What is measured of requests, for Prometheus.

Every process of one server counts in files of its own in one folder (`PROMETHEUS_MULTIPROC_DIR`);
any of them writes the page of all. Without that folder a process tells of itself alone.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from serving.snapshot import Snapshot

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1, 5)
_CANDIDATES = (0, 10, 50, 100, 200, 300, 500, 1000)
_POLARITIES = tuple(step / 5 for step in range(-4, 6))


class Metrics:
    """Counters and times of one process."""

    def __init__(self) -> None:
        # Checking the names of labels takes longer than counting.
        self._counting: dict[tuple[int | str, ...], Any] = {}
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Histogram(
            "sentirec_request_seconds",
            "Time of requests by route and status, from the whole body to the last byte.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        stages = Histogram(
            "sentirec_stage_seconds",
            "Time of the stages of a recommendation.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = stages
        self._answers = Counter(
            "sentirec_answers",
            "Recommendations by how they were made; empty for as they should be.",
            ("degraded",),
            registry=registry,
        )
        self._candidates = Histogram(
            "sentirec_candidates",
            "Candidates that were ranked for an answer.",
            buckets=_CANDIDATES,
            registry=registry,
        )
        self._ready_made = Counter(
            "sentirec_ready_made_answers",
            "Answers from the ranking that is kept for strangers.",
            registry=registry,
        )
        self._retriever = Counter(
            "sentirec_retriever_questions",
            "Questions to the retriever beside the replicas, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self._polarity = Histogram(
            "sentirec_review_polarity",
            "Polarity of reviews that were scored as they came in.",
            buckets=_POLARITIES,
            registry=registry,
        )
        self._table_polarity = Gauge(
            "sentirec_table_polarity_mean",
            "Mean polarity of the users' reviews in the profiles: what fresh reviews drift from.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._behind = Gauge(
            "sentirec_event_log_entries_behind",
            "Entries of the event log that the tables do not know yet.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self._event_lag = Gauge(
            "sentirec_event_log_newest_timestamp_seconds",
            "When the newest entry that answers know was received.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._of(self._requests, method, route, str(status)).observe(seconds)

    def recommended(
        self, degraded: str | None, num_candidates: int, stages: Mapping[str, float]
    ) -> None:
        """Count an answer.

        Args:
            degraded: How it was made.
            num_candidates: Ranked for it; 0 for an answer that was ready made.
            stages: Seconds by stage.
        """
        self._of(self._answers, degraded or "").inc()
        if num_candidates:
            self._candidates.observe(num_candidates)
        else:
            self._ready_made.inc()
        for stage, seconds in stages.items():
            self._of(self._stages, stage).observe(seconds)

    def retrieved(self, outcome: str) -> None:
        """Count a question to the retriever."""
        self._of(self._retriever, outcome).inc()

    def _of(self, metric: Counter | Histogram, *labels: str) -> Any:
        """Return what counts under the given labels."""
        key = (id(metric), *labels)
        found = self._counting.get(key)
        if found is None:
            found = self._counting[key] = metric.labels(*labels)
        return found

    def scored(self, polarity: float) -> None:
        """Count a review that was scored."""
        self._polarity.observe(polarity)

    def page(self, snapshot: "Snapshot | None") -> tuple[bytes, str]:
        """Return the page of all processes and its media type.

        Args:
            snapshot: What this process answers from.
        """
        if snapshot is not None:
            self._table_polarity.set(snapshot.polarity_mean)
            if snapshot.live is not None:
                self._behind.set(snapshot.live.position - snapshot.live.covered)
                self._event_lag.set(snapshot.live.received_at / 1e6)
        registry = self._registry
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST


class StageTimes:
    """Seconds by stage of one answer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take the time of a block."""
        started = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Count time that a stage took."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
