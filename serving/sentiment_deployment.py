"""The Ray Serve deployment of `POST /v1/sentiment`.

Apart from recommendations, which need no torch: docs/decisions/0004-serving-needs-no-torch.md.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from fastapi import FastAPI
from ray import serve
from ray.serve import Application

from features.api_keys import KeyRing
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
        keys_file: Of those who may ask; None where nobody needs a key.
        num_replicas: Processes that answer, this one among them.
    """

    def __init__(
        self, config: "ScorerConfig", threads: int, keys_file: Path | None, num_replicas: int
    ) -> None:
        from sentiment.scorer import ReviewScorer
        from sentiment.torch_threads import use_threads

        def warm_scorer() -> ReviewScorer:
            use_threads(threads)
            scorer = ReviewScorer.load(config)
            # The first pass allocates what all others use.
            scorer.score([_WARM_UP])
            return scorer

        # How many threads a pass takes is a setting of the thread that asks for it.
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._scorer = self._thread.submit(warm_scorer).result()
        self._keys = None if keys_file is None else KeyRing(keys_file, num_replicas)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Give Ray the application, after the models are loaded."""
        return build_sentiment_app(self._scorer, self._thread, self._keys)

    async def signals(self, text: str) -> dict[str, Any]:
        """Return what answers use of the signals of a cleaned review."""
        loop = asyncio.get_running_loop()
        scored = await loop.run_in_executor(self._thread, self._scorer.score, [text])
        told = scored.select(
            "polarity", "model_version", "emotions", num_needs=pl.col("needs").list.len()
        )
        return told.row(0, named=True)


def sentiment_application(
    config: "ScorerConfig", *, num_replicas: int, threads: int, keys_file: Path | None = None
) -> Application:
    """Describe the deployment.

    Args:
        config: Which models read.
        num_replicas: Processes that answer.
        threads: CPU threads of each.
        keys_file: Of those who may ask; None where nobody needs a key.
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
    return deployment.bind(config, threads, keys_file, num_replicas)
