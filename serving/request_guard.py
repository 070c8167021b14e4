"""What every request passes first: an id, a limit to its body, a net for unforeseen errors."""

import logging
import re
import uuid

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import ProblemError

MAX_BODY_BYTES = 1024 * 1024
# Of a body that is too long, read and thrown away so that the connection can be used again.
DRAINED_BYTES = 16 * MAX_BODY_BYTES
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

_logger = logging.getLogger(__name__)


class RequestGuard:
    """ASGI middleware; `scope["state"]["request_id"]` and the whole body are there behind it.

    A body is read before the application is called, so that its length is known even where the
    client does not declare one. One that is too long is read to its end before it is refused, up to
    `DRAINED_BYTES`: a proxy closes a connection whose body was left unread, and the client's next
    request, already under way on it, would get no answer.

    Args:
        app: The application behind.
        max_body_bytes: Longer bodies are refused with 413.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request; anything but HTTP passes untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        has_started = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            try:
                await self._pass_on(scope, headers, receive, watched_send)
            except ProblemError as problem:
                await problem.response(request_id)(scope, receive, send)
        except Exception:
            _logger.exception("request %s failed", request_id)
            if has_started:
                raise
            problem = ProblemError(
                500, "internal-error", f"give the request id {request_id} when you report this"
            )
            await problem.response(request_id)(scope, receive, send)

    async def _pass_on(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > DRAINED_BYTES:
            raise self._too_large(headers={"Connection": "close"})
        body = bytearray()
        num_bytes = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
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
        pending: list[Message] = [{"type": "http.request", "body": bytes(body)}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    def _too_large(self, headers: dict[str, str] | None = None) -> ProblemError:
        return ProblemError(
            413,
            "body-too-large",
            f"the body is longer than {self._max_body_bytes} bytes",
            headers=headers,
        )


def _request_id(given: str | None) -> str:
    return given if given and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
