"""`POST /v1/sentiment` as an ASGI application over a `ReviewScorer`. It does not know Ray."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from features.api_keys import KeyRing
from sentiment.cleaning import clean_text
from serving.callers import identify
from serving.json_body import read_json
from serving.metrics import Metrics
from serving.openapi import STATUSES, document, needs, problems, request_body
from serving.problems import ProblemDetails, ProblemError, on_http_exception, on_problem
from serving.request_guard import RequestGuard
from serving.sentiment_schema import SentimentRequest, SentimentResponse

if TYPE_CHECKING:
    # Whoever only needs to know of this application need not wait for torch.
    from sentiment.scorer import ReviewScorer

PATH = "/v1/sentiment"


def build_sentiment_app(
    scorer: "ReviewScorer", thread: ThreadPoolExecutor | None = None, keys: KeyRing | None = None
) -> FastAPI:
    """Build the application.

    Args:
        scorer: What reads.
        thread: The one thread in which it reads, one request at a time: threads of several would
            fight over the cores. None makes one.
        keys: Of those who may ask; None where nobody needs one.

    Returns:
        An ASGI application that answers at `PATH`, also where it is mounted there.
    """
    thread = thread or ThreadPoolExecutor(1, "scoring")
    app = FastAPI(
        title="sentirec sentiment",
        version="1",
        openapi_url=f"{PATH}/openapi.json",
        docs_url=f"{PATH}/docs",
        redoc_url=None,
    )
    app.add_middleware(RequestGuard, on_answer=Metrics().answered)
    app.add_middleware(_WholePath)
    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http_exception)

    @app.post(
        PATH,
        summary="Read the signals of a text",
        responses={200: {"model": SentimentResponse}, **problems(*STATUSES)},
        openapi_extra=needs("read") | request_body(SentimentRequest),
    )
    async def sentiment(request: Request) -> Response:
        """Polarity, stars, intensity, emotions, aspects and needs of one text, in one pass."""
        identify(request.headers, keys, "read")
        asked = await read_json(request, SentimentRequest)
        score = partial(answer_sentiment, asked, scorer, request_id=request.state.request_id)
        answer = await asyncio.get_running_loop().run_in_executor(thread, score)
        return Response(answer.model_dump_json(), media_type="application/json")

    document(app, SentimentRequest, SentimentResponse, ProblemDetails)
    return app


class _WholePath:
    """Lets routes be matched by their whole path: Ray Serve says that a prefix was mounted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root, path = scope.get("root_path", ""), scope["path"]
            whole = path if path.startswith(PATH) else root + path
            scope.update(root_path="", path=whole.rstrip("/"))
        await self._app(scope, receive, send)


def answer_sentiment(
    asked: SentimentRequest, scorer: "ReviewScorer", *, request_id: str
) -> SentimentResponse:
    """Score one text.

    Args:
        asked: What was asked.
        scorer: What reads.
        request_id: Said back.
    """
    text = clean_text(asked.text)
    row: dict[str, Any] = scorer.score([text]).row(0, named=True)
    if not asked.embedding:
        row["embedding"] = None
    words = None
    if asked.explain:
        words = [vars(word) for word in scorer.explain(text).words]
    return SentimentResponse.model_validate(
        {**row, "request_id": request_id, "source": asked.source, "text": text, "words": words}
    )
