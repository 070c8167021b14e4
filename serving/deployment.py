"""The Ray Serve deployment: each replica is the HTTP application over a state of its own."""

from pathlib import Path

import faiss
from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from features.pseudonyms import Pseudonyms
from features.store import Store
from recsys.rerank_section import RERANK_DEFAULTS, RerankSection
from serving.app import build_app
from serving.state import ServingState

APP_NAME = "sentirec"
# More requests wait in HAProxy rather than in one replica's event loop.
MAX_ONGOING_REQUESTS = 100


@serve.ingress()
class Recommendations:
    """One replica.

    Args:
        store: Address of the store.
        poll_interval_s: How often to look for a newer bundle or side table.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
    """

    def __init__(
        self,
        store: str,
        poll_interval_s: float,
        pseudonyms: Pseudonyms | None,
        rerank: RerankSection,
    ) -> None:
        # One request, one core: threads would only fight with those of other replicas.
        faiss.omp_set_num_threads(1)
        self._state = ServingState(Store(store), pseudonyms=pseudonyms, rerank=rerank)
        self._state.load()
        self._state.start_polling(poll_interval_s)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Ray the application, after the state is loaded."""
        return build_app(self._state)


def application(
    store: str | Path,
    *,
    num_replicas: int,
    poll_interval_s: float,
    pseudonyms: Pseudonyms | None = None,
    rerank: RerankSection = RERANK_DEFAULTS,
) -> Application:
    """Describe the deployment.

    Args:
        store: Address of the store.
        num_replicas: Processes that answer.
        poll_interval_s: How often each looks for a newer bundle or side table.
        pseudonyms: Under which the store knows users; None for plain ids.
        rerank: How lists are rearranged.
    """
    # A replica names users; it has no business opening what is sealed.
    naming = None if pseudonyms is None else pseudonyms.naming_only()
    deployment = serve.deployment(
        name="recommendations",
        num_replicas=num_replicas,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=5.0,
    )(Recommendations)
    return deployment.bind(str(store), poll_interval_s, naming, rerank)
