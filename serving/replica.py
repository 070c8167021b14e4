"""What a replica answers with, from what it is told."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import faiss
from ray import serve

from features.api_keys import KeyRing
from features.event_log.of_store import event_log_of
from features.store import Store
from serving.metrics import Metrics
from serving.replica_settings import Settings
from serving.retriever import Retriever
from serving.retriever_deployment import retrieving
from serving.sentiment_deployment import SENTIMENT_APP_NAME
from serving.service import ReviewScoring, Service
from serving.state import ServingState

SCORING_LIMIT_S = 2.0
"""A review that was not scored by then waits for the next batch."""


def load_service(settings: Settings) -> Service:
    """Load what is live, and keep up with it.

    Raises:
        ServingError, RecsysError, FeaturesError: If nothing can be served.
    """
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
    service = Service(
        state=state,
        log=log,
        keys=None if keys is None else KeyRing(keys, settings.num_replicas),
        token_key=settings.token_key,
        score_review=_scoring() if settings.has_sentiment else None,
        retriever=(Retriever(retrieving(), metrics.retrieved) if settings.has_retriever else None),
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
    return service


def _scoring() -> ReviewScoring:
    """Return what asks the sentiment endpoint for the signals of a review."""

    async def score(text: str) -> Mapping[str, Any]:
        # Asked for each time: on a cluster it may come up later.
        handle = serve.get_app_handle(SENTIMENT_APP_NAME)
        return await asyncio.wait_for(handle.signals.remote(text), SCORING_LIMIT_S)

    return score
