"""Lots that are always drawn the same: by salted hash of whom they are drawn for."""

import hashlib


def share_of(salt: str, unit: str) -> float:
    """Return a number in [0, 1) that looks drawn uniformly and is always the same.

    Args:
        salt: Of the draw; two salts draw apart from each other.
        unit: A user, or a session.
    """
    digest = hashlib.blake2b(f"{salt}\x00{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
