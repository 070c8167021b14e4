"""Records as they lie in Redis: lengths and time, little-endian, then kind, key, user and content.

The scripts of `features.event_log.redis_scripts` read the same layout.
"""

import struct

from features.event_log.records import Entry, Record

_HEAD = struct.Struct("<BIIq")


def packed(record: Record) -> bytes:
    """Return a record as bytes."""
    kind, key, user = record.kind.encode(), record.key.encode(), record.user_id.encode()
    head = _HEAD.pack(len(kind), len(key), len(user), record.received_at)
    return b"".join((head, kind, key, user, record.content))


def unpacked(position: int, found: bytes) -> Entry:
    """Return the entry at a position."""
    num_kind, num_key, num_user, received_at = _HEAD.unpack_from(found)
    key_at = _HEAD.size + num_kind
    user_at = key_at + num_key
    content_at = user_at + num_user
    return Entry(
        position=position,
        kind=found[_HEAD.size : key_at].decode(),  # type: ignore[arg-type]
        key=found[key_at:user_at].decode(),
        user_id=found[user_at:content_at].decode(),
        received_at=received_at,
        content=found[content_at:],
    )
