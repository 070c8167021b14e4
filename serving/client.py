"""A client of the HTTP interface, for shops in Python.

    with Client("http://localhost:8000", key="...") as client:
        for item in client.recommend(user_id="u00042", k=5).items:
            print(item.title)

It needs neither models nor a web framework: importing it takes pydantic and httpx alone.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from serving.client_transport import Transport
from serving.errors import AnswerError
from serving.schema import RecommendationRequest, RecommendationResponse
from serving.schema_events import (
    Event,
    EventsRequest,
    EventsResponse,
    ReviewRequest,
    ReviewResponse,
)
from serving.schema_insight import InsightResponse
from serving.schema_items import SimilarResponse, TogetherResponse, TrendingResponse
from serving.schema_service import ModelInfo
from serving.schema_types import DEFAULT_K
from serving.schema_users import Erasure, UserProfile
from serving.sentiment_schema import SentimentRequest, SentimentResponse, Source

TIMEOUT_S = 5.0
MAX_WAIT_S = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AnswerT = TypeVar("AnswerT", bound=BaseModel)
ModelT = TypeVar("ModelT", bound=BaseModel)


class Client:
    """Asks one server; safe to use from several threads, and a context manager that closes it.

    A request to which no answer comes, or a 502, 503 or 504, is sent once more under the same id:
    what it tells the server counts once. Every method raises

    - `ValueError` where arguments break the contract, before anything is sent,
    - `RefusedError` for a 4xx, with the server's problem details,
    - `UnavailableError` where no answer came or the server failed,
    - `AnswerError` where what came is no answer of this interface.

    Args:
        url: Of the server, such as `https://shop.example/sentirec`.
        key: An API key; None where the server asks for none.
        timeout_s: How long to wait for a connection, and for each piece of an answer.
        max_wait_s: How long to wait before the retry, at most; a server that wants more is not
            asked again, and the error says how long.

    Raises:
        ValueError: If the url is none of HTTP, or the key cannot stand in a header.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._transport = Transport(url, key, timeout_s, max_wait_s)

    def __repr__(self) -> str:
        """Name the server, and not the key."""
        return f"Client({self._transport.url!r})"

    def __enter__(self) -> "Client":
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def recommend(
        self, request: RecommendationRequest | None = None, /, **fields: Any
    ) -> RecommendationResponse:
        """Recommend items to one user or visitor.

        Args:
            request: What is asked.
            fields: Those of `RecommendationRequest`, in place of one.
        """
        asked = _of(RecommendationRequest, request, fields)
        body = asked.model_dump(mode="json", exclude_unset=True)
        return self._ask("POST", "/v1/recommendations", RecommendationResponse, body=body)

    def next_page(self, page: RecommendationResponse) -> RecommendationResponse | None:
        """Return the page after a page, which repeats nothing; None where there is none."""
        if page.next_token is None or page.recommendation_id is None:
            return None
        path = f"/v1/recommendations/{_segment(page.recommendation_id)}/next"
        return self._ask("POST", path, RecommendationResponse, body={"token": page.next_token})

    def similar(self, item_id: str, *, k: int = DEFAULT_K) -> SimilarResponse:
        """Return items like an item."""
        path = f"/v1/items/{_segment(item_id)}/similar"
        return self._ask("GET", path, SimilarResponse, query={"k": k})

    def bought_together(self, item_id: str, *, k: int = DEFAULT_K) -> TogetherResponse:
        """Return what is bought with an item; nothing where that is not known."""
        path = f"/v1/items/{_segment(item_id)}/bought-together"
        return self._ask("GET", path, TogetherResponse, query={"k": k})

    def insight(self, item_id: str) -> InsightResponse:
        """Return what is known of an item, and said of it."""
        return self._ask("GET", f"/v1/items/{_segment(item_id)}/insight", InsightResponse)

    def trending(
        self, *, k: int = DEFAULT_K, category: str | None = None, surface: str | None = None
    ) -> TrendingResponse:
        """Return what rises, then what is popular."""
        given = {"k": k, "category": category, "surface": surface}
        query = {name: value for name, value in given.items() if value is not None}
        return self._ask("GET", "/v1/trending", TrendingResponse, query=query)

    def send_events(self, events: Iterable[Event | Mapping[str, Any]]) -> EventsResponse:
        """Tell what users did; returns once all of it is on the server's disk.

        Args:
            events: At most 1,000. Of one without an `event_id` an id is made, so that it counts
                once also where it has to be sent again; `event_time` may be a datetime with a zone.
        """
        told = [
            event if isinstance(event, Event) else _of(Event, None, _named(event, "event_id"))
            for event in events
        ]
        rows = [_row(event) for event in EventsRequest(events=told).events]
        return self._ask("POST", "/v1/events", EventsResponse, body={"events": rows})

    def send_review(self, review: ReviewRequest | None = None, /, **fields: Any) -> ReviewResponse:
        """Tell what a user wrote; returns once it is on the server's disk.

        Args:
            review: What was written.
            fields: Those of `ReviewRequest`, in place of one; without a `review_id` one is made.
        """
        told = _of(ReviewRequest, review, _named(fields, "review_id") if review is None else fields)
        return self._ask("POST", "/v1/reviews", ReviewResponse, body=_row(told))

    def sentiment(
        self,
        text: str,
        *,
        source: Source = "review",
        explain: bool = False,
        embedding: bool = False,
    ) -> SentimentResponse:
        """Return every signal of a text.

        Args:
            text: As it was written.
            source: What kind of text it is.
            explain: Whether to say which words moved the polarity.
            embedding: Whether to give the text's vector.
        """
        asked = SentimentRequest(text=text, source=source, explain=explain, embedding=embedding)
        return self._ask("POST", "/v1/sentiment", SentimentResponse, body=asked.model_dump())

    def profile(self, user_id: str) -> UserProfile:
        """Return what is known of a user."""
        return self._ask("GET", f"/v1/users/{_segment(user_id)}/profile", UserProfile)

    def erase(self, user_id: str) -> Erasure:
        """Forget a user."""
        return self._ask("DELETE", f"/v1/users/{_segment(user_id)}", Erasure)

    def model(self) -> ModelInfo:
        """Return what is answering."""
        return self._ask("GET", "/v1/model", ModelInfo)

    def _ask(
        self,
        method: str,
        path: str,
        answer: type[AnswerT],
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> AnswerT:
        content, request_id = self._transport.send(method, path, body=body, query=query)
        try:
            # A newer server may tell more than this client knows.
            return answer.model_validate_json(content, extra="ignore")
        except ValidationError as error:
            where = f"{method} {self._transport.url}{path}"
            raise AnswerError(
                f"{where}: the answer is no {answer.__name__}: {error}", request_id=request_id
            ) from error


def _of(model: type[ModelT], given: ModelT | None, fields: Mapping[str, Any]) -> ModelT:
    """Return what was given whole, or make it of fields."""
    if given is None:
        if isinstance(fields.get("event_time"), datetime):
            fields = {**fields, "event_time": fields["event_time"].isoformat()}
        return model.model_validate(dict(fields))
    if fields:
        raise ValueError(f"give a {model.__name__} or its fields, not both")
    return given


def _named(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return fields with an id of their own where they have none."""
    return {name: uuid.uuid4().hex, **fields}


def _row(model: Event | ReviewRequest) -> dict[str, Any]:
    """Return what is sent: times, which are read as microseconds, as text again."""
    row = model.model_dump(mode="json", exclude_none=True)
    if model.event_time is not None:
        row["event_time"] = (_EPOCH + timedelta(microseconds=model.event_time)).isoformat()
    return row


def _segment(name: str) -> str:
    """Return an id as a segment of a path; of dots alone it would lead elsewhere."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
