"""Which reviews answers quote: a store of pseudonyms gives out the pseudonyms of reviews."""

import weakref

from serving.service import Service
from serving.snapshot import Snapshot


class QuotedReviews:
    """Names reviews as the tables know them, whether they are told by that name or by their id."""

    def __init__(self) -> None:
        self._snapshot: weakref.ref[Snapshot] | None = None
        self._ids: frozenset[str] = frozenset()

    def name_of(self, review_id: str, service: Service) -> str:
        """Return the name of a review in the tables.

        Only what is quoted right now counts as a name already: whatever else it looks like, it may
        be a plain id.

        Args:
            review_id: As an answer gave it, or the shop's own id.
            service: Who answers.
        """
        if service.pseudonyms is None or review_id in self._quoted(service.state.snapshot):
            return review_id
        return service.pseudonyms.named_values({"review_id": review_id})["review_id"]

    def _quoted(self, snapshot: Snapshot | None) -> frozenset[str]:
        if snapshot is None:
            return frozenset()
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._ids = frozenset(snapshot.quotes.review_ids)
            self._snapshot = weakref.ref(snapshot)
        return self._ids
