"""How the client's requests get to the server: one retry under the same id, errors with details."""

import email.utils
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from serving.errors import AnswerError, RefusedError, UnavailableError

RETRIED = (502, 503, 504)
_PAUSE_S = 0.05


class Transport:
    """Connections to one server; safe to use from several threads.

    Args:
        url: Of the server, such as `https://shop.example/sentirec`.
        key: Sent as `Authorization: Bearer KEY`; None sends none.
        timeout_s: How long to wait for a connection, and for each piece of an answer.
        max_wait_s: How long to wait before the retry at most.

    Raises:
        ValueError: If the url is none of HTTP, or the key cannot stand in a header.
    """

    def __init__(self, url: str, key: str | None, timeout_s: float, max_wait_s: float) -> None:
        if not _is_http(url):
            raise ValueError(f"the url must be such as https://shop.example, not {url!r}")
        headers = {"Accept": "application/json"}
        if key is not None:
            if not key.isascii() or not key.isprintable() or key != key.strip() or not key:
                raise ValueError("the key must be of printable ASCII characters")
            headers["Authorization"] = f"Bearer {key}"
        self.url = url.rstrip("/")
        self._max_wait_s = max_wait_s
        self._http = httpx.Client(headers=headers, timeout=timeout_s)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> tuple[bytes, str]:
        """Send a request, once more where no answer came or the server was not able to answer.

        Both carry the same body and the same `X-Request-ID` and `Idempotency-Key`.

        Args:
            method: Of HTTP.
            path: Percent-encoded.
            body: To be written as JSON.
            query: Parameters.

        Returns:
            The body of the answer, and the id of the request.

        Raises:
            RefusedError: 4xx.
            UnavailableError: No answer, or 5xx.
            AnswerError: Anything else but 2xx.
        """
        request_id = uuid.uuid4().hex
        headers = {"X-Request-ID": request_id}
        if method != "GET":
            headers["Idempotency-Key"] = request_id
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = self._http.build_request(
            method,
            self.url + path,
            content=None if body is None else json.dumps(body).encode(),
            params=dict(query) if query else None,
            headers=headers,
        )
        try:
            response = self._http.send(request)
            told_s = _retry_after_s(response)
            wait_s = _PAUSE_S if told_s is None else told_s
            if response.status_code not in RETRIED or wait_s > self._max_wait_s:
                return _content(response, request_id), request_id
        except httpx.TransportError:
            wait_s = _PAUSE_S
        time.sleep(wait_s)
        try:
            return _content(self._http.send(request), request_id), request_id
        except httpx.TransportError as error:
            raise UnavailableError(
                f"{method} {self.url}{path}: no answer, also when asked again: "
                f"{str(error) or type(error).__name__}",
                request_id=request_id,
            ) from error


def _is_http(url: str) -> bool:
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return read.scheme in ("http", "https") and bool(read.host)


def _content(response: httpx.Response, request_id: str) -> bytes:
    status, problem = response.status_code, _problem(response)
    if 200 <= status < 300:
        return response.content
    kind = AnswerError
    if status >= 400:
        kind = RefusedError if status < 500 else UnavailableError
    detail = problem.get("detail") or response.reason_phrase or "no details"
    raise kind(
        f"{response.request.method} {response.request.url} answered {status}: {detail}",
        request_id=request_id,
        status=status,
        problem=problem,
        retry_after_s=_retry_after_s(response),
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    """Return problem details; nothing where a proxy answered in a form of its own."""
    if response.headers.get("content-type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        found = json.loads(response.content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after_s(response: httpx.Response) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110, 10.2.3)."""
    told = response.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdecimal():
        return float(told)
    try:
        moment = email.utils.parsedate_to_datetime(told)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
