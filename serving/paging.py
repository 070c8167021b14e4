"""The next page of an answer: a signed token that any replica can read.

It carries the request and which items were shown, as hashes of their ids: a later page repeats none
of them, whatever was published or happened in between. An item whose hash is that of a shown one is
left out too; among a million items and 500 shown that is one in 2,000 pages.
"""

import base64
import hashlib
import hmac
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from serving.item_hashes import HASH_BYTES
from serving.problems import ProblemError

_MAC_BYTES = 16
# Of shorter requests compression saves nothing.
_SHORT_BYTES = 200
_PLAIN, _PACKED = b"\x00", b"\x01"
# No request is longer, see `serving.request_guard`.
_MAX_CONTENT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a token says.

    Attributes:
        recommendation_id: Of the answer before.
        request: As it was asked, in JSON types.
        shown: Hashes of the ids of all items on pages before, in order.
    """

    recommendation_id: str
    request: dict[str, Any]
    shown: tuple[bytes, ...]


def write_token(page: Page, key: bytes) -> str:
    """Write and sign a token, ASCII."""
    content = orjson.dumps([page.recommendation_id, page.request])
    is_short = len(content) < _SHORT_BYTES
    written = _PLAIN + content if is_short else _PACKED + zlib.compress(content, 6)
    packed = len(page.shown).to_bytes(2) + b"".join(page.shown) + written
    return base64.urlsafe_b64encode(_mac(packed, key) + packed).rstrip(b"=").decode()


def read_token(token: str, key: bytes) -> Page:
    """Read a token that `write_token` wrote with the same key.

    Raises:
        ProblemError: 404 where it was not.
    """
    try:
        signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _unreadable() from error
    mac, packed = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(packed, key)):
        raise _unreadable()
    num, start = int.from_bytes(packed[:2]), 2
    end = start + num * HASH_BYTES
    kind, content = packed[end : end + 1], packed[end + 1 :]
    if kind == _PACKED:
        content = zlib.decompressobj().decompress(content, _MAX_CONTENT_BYTES)
    recommendation_id, request = orjson.loads(content)
    shown = tuple(packed[at : at + HASH_BYTES] for at in range(start, end, HASH_BYTES))
    return Page(recommendation_id=recommendation_id, request=request, shown=shown)


def _mac(packed: bytes, key: bytes) -> bytes:
    """Return the keyed BLAKE2b of what is signed; a key may have at most 64 bytes."""
    return hashlib.blake2b(packed, key=key, digest_size=_MAC_BYTES).digest()


def _unreadable() -> ProblemError:
    return ProblemError(
        404,
        "unknown-page",
        "the token is none of this server: give the next_token of the page before as it is",
    )
