"""The Ray Serve deployment of a retriever: exact search on a GPU, many questions at once."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ray import serve
from ray.serve import Application

from features.store import Store
from recsys.bundle import load_item_vectors
from recsys.bundle_versions import BUNDLES, current_bundle
from recsys.errors import RecsysError
from serving.retriever import Retrieving, Wanted

if TYPE_CHECKING:
    from recsys.exact_search import ExactSearch

RETRIEVER_APP_NAME = "sentirec-retriever"
MAX_BATCH = 64
BATCH_WAIT_S = 0.001
_MAX_ONGOING_REQUESTS = 4 * MAX_BATCH

_logger = logging.getLogger(__name__)


@serve.deployment(name="retriever")
class RetrieverDeployment:
    """Holds the item vectors of the live bundle on a device, and keeps up with it.

    Args:
        store: Address of the store.
        device: Of torch.
        poll_interval_s: How often to look for a newer bundle.
    """

    def __init__(self, store: str, device: str, poll_interval_s: float) -> None:
        self._bundles = Store(store).path(BUNDLES)
        self._device = device
        self._poll_interval_s = poll_interval_s
        self._held: tuple[str, ExactSearch] | None = None
        self._refresh()
        self._polling = asyncio.get_event_loop().create_task(self._poll())

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
    async def best(self, wanted: list[Wanted]) -> list[np.ndarray | None]:
        """Return the best items of each question; None for questions of another bundle."""
        return answers_of(wanted, self._held)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval_s)
            try:
                await asyncio.to_thread(self._refresh)
            except Exception:
                # Such as a device without room for it: the old one stays, and it is tried again.
                _logger.exception("the retriever cannot take over the live bundle")

    def _refresh(self) -> None:
        from recsys.exact_search import ExactSearch

        folder = current_bundle(self._bundles)
        if folder is None or (self._held is not None and self._held[0] == folder.name):
            return
        try:
            vectors, version = load_item_vectors(folder)
        except RecsysError as error:
            # No replica takes it over either.
            _logger.warning("the retriever keeps the bundle it has: %s", error)
            return
        self._held = (version, ExactSearch(vectors, self._device))


def answers_of(
    wanted: Sequence[Wanted], held: "tuple[str, ExactSearch] | None"
) -> list[np.ndarray | None]:
    """Answer questions together, those of one depth in one pass.

    Args:
        wanted: Of any bundles.
        held: The version of the bundle that is held, and its items.
    """
    answers: list[np.ndarray | None] = [None] * len(wanted)
    if held is None:
        return answers
    version, search = held
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(wanted):
        if each.version == version:
            places[each.depth].append(place)
    for depth, alike in places.items():
        found = search.best(np.stack([wanted[place].vector for place in alike]), depth)
        for place, items in zip(alike, found, strict=True):
            answers[place] = items
    return answers


def retriever_application(store: str, *, device: str, poll_interval_s: float) -> Application:
    """Describe the deployment.

    Args:
        store: Address of the store.
        device: `cpu` or `cuda`; the latter takes a GPU of the cluster.
        poll_interval_s: How often to look for a newer bundle.
    """
    deployment = RetrieverDeployment.options(
        max_ongoing_requests=_MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_gpus": 1} if device.startswith("cuda") else {},
        health_check_period_s=1.0,
    )
    return deployment.bind(store, device, poll_interval_s)  # type: ignore[attr-defined]


def retrieving() -> Retrieving:
    """Return what asks the retriever of this cluster."""

    async def ask(wanted: Wanted) -> np.ndarray | None:
        # Asked for each time: on a cluster it may come up later.
        handle = serve.get_app_handle(RETRIEVER_APP_NAME)
        return await handle.best.remote(wanted)

    return ask
