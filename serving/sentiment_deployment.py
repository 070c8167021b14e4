"""The Ray Serve deployment of `POST /v1/sentiment`.

Apart from recommendations, which need no torch: docs/decisions/0004-serving-needs-no-torch.md.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from serving.sentiment_app import build_sentiment_app

if TYPE_CHECKING:
    from sentiment.scorer import ScorerConfig

SENTIMENT_APP_NAME = "sentirec-sentiment"
MAX_ONGOING_REQUESTS = 32
_WARM_UP = "Great sound, but it broke in a week. 质量很好。"


@serve.ingress()
class Sentiment:
    """One replica.

    Args:
        config: Which models read.
        threads: CPU threads of a pass.
    """

    def __init__(self, config: "ScorerConfig", threads: int) -> None:
        import torch

        from sentiment.scorer import ReviewScorer

        def warm_scorer() -> ReviewScorer:
            torch.set_num_threads(threads)
            scorer = ReviewScorer.load(config)
            # The first pass allocates what all others use.
            scorer.score([_WARM_UP])
            return scorer

        # How many threads a pass takes is a setting of the thread that asks for it.
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._scorer = self._thread.submit(warm_scorer).result()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Ray the application, after the models are loaded."""
        return build_sentiment_app(self._scorer, self._thread)


def sentiment_application(
    config: "ScorerConfig", *, num_replicas: int, threads: int
) -> Application:
    """Describe the deployment.

    Args:
        config: Which models read.
        num_replicas: Processes that answer.
        threads: CPU threads of each.
    """
    deployment = serve.deployment(
        name="sentiment",
        num_replicas=num_replicas,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        graceful_shutdown_timeout_s=10.0,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=5.0,
        ray_actor_options={"num_gpus": 1} if config.device.startswith("cuda") else {},
    )(Sentiment)
    return deployment.bind(config, threads)
