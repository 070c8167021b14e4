"""HTTP as no library would write it: bytes that are sent as they are, and what comes back."""

import contextlib
import json
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"^content-length: (\d+)\r$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    media_type: str = ""
    body: bytes = b""

    def problem(self) -> dict[str, Any]:
        assert self.media_type == "application/problem+json", self
        return json.loads(self.body)


def request(
    path: str,
    body: bytes | str | None = None,
    *,
    method: str = "POST",
    headers: Iterable[str] = (),
) -> bytes:
    """Write a request; the length of a body is declared."""
    lines = [f"{method} {path} HTTP/1.1", "Host: shop", *headers]
    content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if content is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content or b"")


def chunked(path: str, num_chunks: int, size: int, *, headers: Iterable[str] = ()) -> bytes:
    """Write a request whose body comes in chunks."""
    head = [f"POST {path} HTTP/1.1", "Host: shop", *headers]
    head += ["Content-Type: application/json", "Transfer-Encoding: chunked", "", ""]
    chunk = f"{size:x}\r\n".encode() + b"a" * size + b"\r\n"
    return "\r\n".join(head).encode() + chunk * num_chunks + b"0\r\n\r\n"


def exchange(port: int, sent: bytes, timeout_s: float = 30.0) -> Answer:
    """Send bytes on a connection of their own and return the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        # It may be answered, and closed, before all was sent.
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        return received(connection)


def received(connection: socket.socket) -> Answer:
    """Wait for an answer, for as long as the connection's timeout says."""
    content = b""
    while not _is_whole(content):
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        content += piece
    head, _, body = content.partition(b"\r\n\r\n")
    if not head:
        return Answer(status=0)
    media_type = re.search(rb"^content-type: ([^;\r]+)", head, re.IGNORECASE | re.MULTILINE)
    return Answer(
        status=int(head.split(b" ", 2)[1]),
        media_type=media_type[1].decode() if media_type else "",
        body=body,
    )


def _is_whole(content: bytes) -> bool:
    head, end, body = content.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return bool(end) and length is not None and len(body) >= int(length[1])
