"""A shop that takes things in: an application with an event log of its own, and a clock to set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from published_shop import app_of
from starlette.testclient import TestClient

from features.event_log import EventLog, SqliteEventLog
from features.pseudonyms import Pseudonyms
from features.store import Store
from sentiment.scorer import ReviewScorer
from serving.experiments import ExperimentSection
from serving.schema import RecommendationResponse
from serving.service import ReviewScoring
from serving.snapshot import Snapshot
from serving.state import ServingState

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@dataclass(kw_only=True)
class LiveShop:
    """One replica: what it answers from, and who asks it."""

    client: TestClient
    state: ServingState
    log: EventLog
    headers: dict[str, str] = field(default_factory=dict)

    def answer_from(self, snapshot: Snapshot) -> None:
        """Put another state in the place of what was loaded."""
        self.state._answering = replace(self.state._answering, snapshot=snapshot)

    def ask(self, **request: object) -> RecommendationResponse:
        answered = self.client.post("/v1/recommendations", json=request, headers=self.headers)
        assert answered.status_code == 200, answered.text
        return RecommendationResponse.model_validate_json(answered.content)

    def items_for(self, user_id: str, **request: object) -> list[str]:
        asked = {"user_id": user_id, "k": 100, **request}
        return [item.item_id for item in self.ask(**asked).items]

    def tell(self, *events: Mapping[str, object]) -> dict[str, Any]:
        answered = self.client.post("/v1/events", json={"events": list(events)})
        assert answered.status_code == 200, answered.text
        return answered.json()

    def review(self, **review: object) -> dict[str, Any]:
        answered = self.client.post("/v1/reviews", json=review)
        assert answered.status_code == 200, answered.text
        return answered.json()


@contextmanager
def live_shop(
    store: Store,
    log_folder: Path,
    *,
    pseudonyms: Pseudonyms | None = None,
    score_review: ReviewScoring | None = None,
    experiments: tuple[ExperimentSection, ...] = (),
    now: datetime = NOW,
    **service: Any,
) -> Iterator[LiveShop]:
    """Answer from a store, and take in what happens into a log in a folder."""
    log = SqliteEventLog(log_folder / "events.db")
    state = ServingState(store, pseudonyms=pseudonyms, log=log, experiments=experiments)
    state.load()
    app = app_of(
        state,
        log=log,
        pseudonyms=pseudonyms,
        score_review=score_review,
        experiments=experiments,
        clock=lambda: now,
        **service,
    )
    try:
        with TestClient(app) as client:
            yield LiveShop(client=client, state=state, log=log)
    finally:
        state.close()
        log.close()


def scoring(scorer: ReviewScorer) -> ReviewScoring:
    """Score reviews as the sentiment endpoint does, in this process."""

    async def score(text: str) -> Mapping[str, Any]:
        return scorer.score([text]).select("polarity", "model_version").row(0, named=True)

    return score
