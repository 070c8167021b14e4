"""Whether served answers are those of the models called in this process."""

import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import numpy as np

from benchmarks.serving.synthetic_shop import loaded, user_name
from recsys.recommender import Reranking
from recsys.rerank_section import RERANK_DEFAULTS

K = 20
TOLERANCE = 1e-6
"""Of scores in 0..1: products are summed in another order where BLAS has other threads."""


def differing_answers(url: str, store: Path, users: Iterable[int]) -> list[str]:
    """Return the users whose served items, scores or order differ from the offline ones."""
    recommender, population = loaded(store)
    shelf = recommender.shelf(RERANK_DEFAULTS.shop_rules())
    config = RERANK_DEFAULTS.rerank_config()
    differing = []
    with httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client:
        for user in users:
            name = user_name(user)
            body = {"user_id": name, "k": K, "explain": False}
            response = client.post("/v1/recommendations", json=body).raise_for_status()
            # Experiences fade by the day, and nothing of this list depends on the time otherwise.
            reranking = Reranking(config=config, shelf=shelf, now=time.time_ns() // 1000)
            found = recommender.recommend(population.query(np.array([user])), K, reranking)
            items = response.json()["items"]
            same_items = [item["item_id"] for item in items] == (
                recommender.items.ids[found.item_idx].tolist()
            )
            scores = np.array([item["score"] for item in items])
            if not same_items or not np.allclose(scores, found.score, rtol=0, atol=TOLERANCE):
                differing.append(name)
    return differing
