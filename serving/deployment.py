"""The Ray Serve deployment: each replica is the HTTP application over a state of its own."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import faiss
from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from features.api_keys import KeyRing
from features.event_log.of_store import event_log_of
from features.pseudonyms import Pseudonyms
from features.store import Store
from recsys.bundle_hashes import NOTHING_KNOWN, HashedFiles
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.app import build_app
from serving.experiments import ExperimentSection
from serving.metrics import Metrics
from serving.retriever import Retriever
from serving.retriever_deployment import retrieving
from serving.sentiment_deployment import SENTIMENT_APP_NAME
from serving.server import ServeOptions
from serving.service import ExposuresKept, ReviewScoring, Service
from serving.state import ServingState

APP_NAME = "sentirec"
# More requests wait in HAProxy rather than in one replica's event loop.
MAX_ONGOING_REQUESTS = 100
SCORING_LIMIT_S = 2.0
"""A review that was not scored by then waits for the next batch."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every replica is told.

    Attributes:
        store: Address of the store.
        num_replicas: Processes that answer, this one among them.
        poll_interval_s: How often to look for a newer bundle or side table.
        token_key: Signs the tokens of pages.
        keys_file: Of those who may ask; None where nobody needs a key.
        event_log: Address of the event log; None for one in the store.
        has_retriever: Whether a retriever beside the replicas can be asked.
        has_sentiment: Whether the sentiment endpoint scores reviews that come in.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
        experiments: That run.
        exposures: Which answers are kept in the event log.
        deadline_s: How long an answer may take; None for any time.
        cors_origins: Pages of these origins may ask.
        hashed: What this machine found of the live bundle's files just now.
    """

    store: str
    num_replicas: int = 1
    poll_interval_s: float = 3.0
    token_key: bytes = field(repr=False)
    keys_file: Path | None = None
    event_log: str | None = field(default=None, repr=False)
    has_retriever: bool = False
    has_sentiment: bool = False
    pseudonyms: Pseudonyms | None = None
    rerank: RerankSection = RERANK_DEFAULTS
    experiments: Sequence[ExperimentSection] = ()
    exposures: ExposuresKept = "experiments"
    deadline_s: float | None = None
    cors_origins: Sequence[str] = ()
    hashed: HashedFiles = field(default_factory=dict, repr=False)


@serve.ingress()
class Recommendations:
    """One replica.

    Args:
        settings: What it is told.
    """

    def __init__(self, settings: Settings) -> None:
        # One request, one core: threads would only fight with those of other replicas.
        faiss.omp_set_num_threads(1)
        # All that is made while loading stays: looking through it again and again takes a tenth
        # of the time.
        gc.disable()
        store = Store(settings.store)
        log = event_log_of(store, settings.event_log)
        state = ServingState(
            store,
            pseudonyms=settings.pseudonyms,
            rerank=settings.rerank,
            log=log,
            experiments=settings.experiments,
            hashed=settings.hashed,
        )
        state.load()
        state.start_polling(settings.poll_interval_s)
        keys, metrics = settings.keys_file, Metrics()
        self._service = Service(
            state=state,
            log=log,
            keys=None if keys is None else KeyRing(keys, settings.num_replicas),
            token_key=settings.token_key,
            score_review=_scoring() if settings.has_sentiment else None,
            retriever=(
                Retriever(retrieving(), metrics.retrieved) if settings.has_retriever else None
            ),
            metrics=metrics,
            pseudonyms=settings.pseudonyms,
            experiments=settings.experiments,
            exposures=settings.exposures,
            deadline_s=settings.deadline_s,
            cors_origins=settings.cors_origins,
        )
        # What lives by now stays; the collector has no need to look at a million items again.
        gc.collect()
        gc.freeze()
        gc.enable()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Ray the application, after the state is loaded."""
        return build_app(self._service)

    def __del__(self) -> None:
        """Finish what was submitted to the event log."""
        service = getattr(self, "_service", None)
        if service is not None and service.log is not None:
            service.log.close()


def application(settings: Settings) -> Application:
    """Describe the deployment."""
    # A replica names users; it has no business opening what is sealed.
    naming = None if settings.pseudonyms is None else settings.pseudonyms.naming_only()
    deployment = serve.deployment(
        name="recommendations",
        num_replicas=settings.num_replicas,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        # A killed replica is noticed, and begins anew, at the next check.
        health_check_period_s=1.0,
    )(Recommendations)
    return deployment.bind(replace(settings, pseudonyms=naming))


def settings_of(
    options: ServeOptions, token_key: bytes, hashed: HashedFiles = NOTHING_KNOWN
) -> Settings:
    """Return what the replicas of a server are told."""
    section = options.section
    return Settings(
        store=str(options.store.resolve()),
        num_replicas=section.replicas,
        poll_interval_s=section.poll_interval_s,
        token_key=token_key,
        keys_file=options.keys_file.resolve() if options.needs_keys else None,
        event_log=options.event_log,
        has_retriever=section.retriever != "none",
        has_sentiment=bool(section.sentiment_replicas),
        pseudonyms=options.pseudonyms,
        rerank=options.rerank,
        experiments=section.experiments,
        exposures=section.exposures,
        deadline_s=section.deadline_ms / 1000,
        cors_origins=section.cors_origins,
        hashed=dict(hashed),
    )


def _scoring() -> ReviewScoring:
    """Return what asks the sentiment endpoint for the signals of a review."""

    async def score(text: str) -> Mapping[str, Any]:
        # Asked for each time: on a cluster it may come up later.
        handle = serve.get_app_handle(SENTIMENT_APP_NAME)
        return await asyncio.wait_for(handle.signals.remote(text), SCORING_LIMIT_S)

    return score
