"""What the routes of the HTTP interface share."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request, Response

from features.api_keys import KeyRing, Scope
from features.errors import EventLogError
from features.event_log import EventLog
from features.pseudonyms import Pseudonyms
from serving.callers import Caller, identify
from serving.config import ExposuresKept
from serving.experiments import ExperimentSection
from serving.metrics import Metrics
from serving.problems import ProblemError
from serving.ranking import StageCosts
from serving.retriever import Retriever
from serving.snapshot import Snapshot
from serving.state import ServingState

ReviewScoring = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Scores a cleaned text; gives at least `polarity` and `model_version`."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Service:
    """What requests are answered with.

    Attributes:
        state: What is live; may still be empty, then answers are 503.
        log: Takes in what happens; None for a server that takes nothing in.
        keys: Of those who may ask; None where nobody needs one.
        token_key: Signs the tokens of pages, the same in all replicas.
        score_review: Scores a review; None where nothing here can.
        pseudonyms: Under which the store knows users; None for plain ids.
        experiments: That run.
        exposures: Which answers are kept in the log.
        deadline_s: How long an answer may take, from when the request arrived.
        cors_origins: Pages of these origins may ask.
        metrics: What is measured.
        costs: What stages of an answer take.
        clock: Tells the time, with a zone.
    """

    state: ServingState
    log: EventLog | None = None
    keys: KeyRing | None = None
    token_key: bytes = field(repr=False)
    score_review: ReviewScoring | None = None
    retriever: Retriever | None = None
    pseudonyms: Pseudonyms | None = None
    experiments: Sequence[ExperimentSection] = ()
    exposures: ExposuresKept = "experiments"
    deadline_s: float | None = None
    cors_origins: Sequence[str] = ()
    metrics: Metrics = field(default_factory=Metrics)
    costs: StageCosts = field(default_factory=StageCosts)
    clock: Callable[[], datetime] = _now

    def caller(self, request: Request, scope: Scope) -> Caller:
        """Find out who asks.

        Raises:
            ProblemError: 401, 403 or 429, see `serving.callers.identify`.
        """
        return identify(request.headers, self.keys, scope)

    def fresh(self) -> Snapshot:
        """Return what to answer from, with all that was acknowledged so far.

        Where the event log cannot be asked, it goes without and `live.is_stale` says so.

        Raises:
            ProblemError: 503 before anything is loaded.
        """
        snapshot = self.ready()
        if snapshot.live is not None:
            snapshot.live.keep_up()
        return snapshot

    def ready(self) -> Snapshot:
        """Return what to answer from.

        Raises:
            ProblemError: 503 before anything is loaded.
        """
        snapshot = self.state.snapshot
        if snapshot is None:
            raise ProblemError(
                503,
                "not-ready",
                "no bundle is loaded yet: ask again in a moment",
                headers={"Retry-After": "1"},
            )
        return snapshot

    def taking(self) -> EventLog:
        """Return the event log.

        Raises:
            ProblemError: 503 where the server takes nothing in.
        """
        if self.log is None:
            raise ProblemError(503, "not-taking", "this server takes nothing in")
        return self.log

    def name_of(self, user_id: str) -> str:
        """Return the name under which tables and log know a user."""
        return user_id if self.pseudonyms is None else self.pseudonyms.of(user_id)

    def model_version(self) -> str | None:
        """Return the version of the live bundle, None before any."""
        snapshot = self.state.snapshot
        return None if snapshot is None else snapshot.manifest.version


def json_response(body: Any, status_code: int = 200) -> Response:
    """Write plain values as JSON."""
    return Response(orjson.dumps(body), status_code=status_code, media_type="application/json")


def microseconds(moment: datetime) -> int:
    """Return a moment as the log and the tables keep it."""
    return round(moment.timestamp() * 1e6)


def not_written(error: EventLogError) -> ProblemError:
    """Return the answer to what could not be written; the details are in the server's log."""
    problem = ProblemError(
        503,
        "not-written",
        "nothing was kept: send it again in a moment",
        headers={"Retry-After": "1"},
    )
    problem.__cause__ = error
    return problem
