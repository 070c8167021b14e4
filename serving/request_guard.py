"""What every request passes first: an id, a limit to its body, a net for unforeseen errors."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import ProblemError

OTHER = "other"
"""Stands for paths without a route."""

MAX_BODY_BYTES = 1024 * 1024
# Of a body that is too long, read and thrown away so that the connection can be used again.
DRAINED_BYTES = 16 * MAX_BODY_BYTES
BODY_LIMIT_S = 10.0
"""A body that takes longer to come is not waited for."""
# Of the proxy in front: microseconds since the epoch at which it had the request.
ARRIVAL_HEADER = "x-sentirec-arrival-us"
_MOST_WAITED_S = 10.0
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

_logger = logging.getLogger(__name__)


class RequestGuard:
    """ASGI middleware; the whole body, `request_id` and `started` of the state are there behind it.

    `started` is when the request arrived, at the proxy in front where that tells, by
    `time.perf_counter`.

    A body is read before the application is called, so that its length is known even where the
    client does not declare one. One that is too long is read to its end before it is refused, up to
    `DRAINED_BYTES`: a proxy closes a connection whose body was left unread, and the client's next
    request, already under way on it, would get no answer.

    Args:
        app: The application behind.
        max_body_bytes: Longer bodies are refused with 413.
        body_limit_s: Bodies that take longer to come are refused with 408.
        on_answer: Told method, route, status and seconds of every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_limit_s: float = BODY_LIMIT_S,
        on_answer: Callable[[str, str, int, float], None] | None = None,
    ) -> None:
        self._app = app
        self._body_limit_s = body_limit_s
        self._on_answer = on_answer
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request; anything but HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        started = time.perf_counter() - _waited_s(headers.get(ARRIVAL_HEADER))
        scope.setdefault("state", {}).update(request_id=request_id, started=started)
        has_started = False
        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal has_started, status
            if message["type"] == "http.response.start":
                has_started, status = True, message["status"]
            await send(message)

        try:
            try:
                await self._pass_on(scope, headers, receive, watched_send)
            except ProblemError as problem:
                await problem.response(request_id)(scope, receive, watched_send)
        except Exception:
            _logger.exception("request %s failed", request_id)
            if has_started:
                raise
            problem = ProblemError(
                500, "internal-error", f"give the request id {request_id} when you report this"
            )
            await problem.response(request_id)(scope, receive, watched_send)
        finally:
            if self._on_answer is not None:
                took = time.perf_counter() - started
                self._on_answer(scope["method"], _route_of(scope), status, took)

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._body_limit_s):
                body = await self._read(headers, receive)
        except TimeoutError:
            raise ProblemError(
                408,
                "timeout",
                f"the body was not there within {self._body_limit_s:g} s",
                headers={"Connection": "close"},
            ) from None
        if body is None:
            return
        pending: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """Return the whole body, None where the client has gone."""
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > DRAINED_BYTES:
            raise self._too_large(headers={"Connection": "close"})
        body = bytearray()
        num_bytes = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            num_bytes += len(piece)
            if num_bytes > DRAINED_BYTES:
                raise self._too_large(headers={"Connection": "close"})
            if num_bytes <= self._max_body_bytes:
                body += piece
            if not message.get("more_body", False):
                break
        if num_bytes > self._max_body_bytes:
            raise self._too_large()
        return bytes(body)

    def _too_large(self, headers: dict[str, str] | None = None) -> ProblemError:
        return ProblemError(
            413,
            "body-too-large",
            f"the body is longer than {self._max_body_bytes} bytes",
            headers=headers,
        )


def _waited_s(arrival: str | None) -> float:
    """Return how long a request waited in front of this process; 0 where that is not told."""
    if arrival is None or not arrival.isdecimal() or len(arrival) > 20:
        return 0.0
    return min(max(0.0, time.time() - int(arrival) / 1e6), _MOST_WAITED_S)


def _route_of(scope: Scope) -> str:
    """Return the path as it is declared, without ids; the same for all that has no route."""
    return getattr(scope.get("route"), "path", OTHER)


def _request_id(given: str | None) -> str:
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
