"""What single routes need alone: made after the first answers can be given, not before."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from recsys.recommender import Recommender
from recsys.similar_items import SimilarItems
from serving.title_search import TitleSearch


class DeferredIndexes:
    """Items like an item, and items by the words of their titles, of one bundle.

    Begun at once, in a thread beside; who needs one of them waits for it.

    Args:
        recommender: Of the bundle.
    """

    def __init__(self, recommender: Recommender) -> None:
        beside = ThreadPoolExecutor(1, thread_name_prefix="deferred")
        # The shorter one first.
        self._similar = beside.submit(SimilarItems.of, recommender)
        # Most of it is out of Python.
        self._search = beside.submit(TitleSearch.of, recommender.item_profiles)
        beside.shutdown(wait=False)

    @property
    def similar(self) -> SimilarItems:
        """Items like an item; waits for them."""
        return self._similar.result()

    @property
    def search(self) -> TitleSearch:
        """Items by the words of their titles; waits for them."""
        return self._search.result()

    def wait(self) -> None:
        """Wait for everything.

        Raises:
            Exception: What kept it from being made.
        """
        self._similar.result()
        self._search.result()

    async def until_similar(self) -> None:
        """Let others be answered until there are items like an item."""
        await _until(self._similar)

    async def until_search(self) -> None:
        """Let others be answered until words of titles can be looked up."""
        await _until(self._search)


async def _until(made: Future[Any]) -> None:
    if not made.done():
        await asyncio.wrap_future(made)
