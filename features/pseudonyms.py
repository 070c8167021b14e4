"""Pseudonyms: keyed hashes in place of ids of people, so that tables alone tell nobody who it was.

A store holds pseudonyms or plain ids, never both: which, and of which key, is written into it by
its first ingest. The key itself is never in the store. From one secret come two keys, by HKDF
(RFC 5869): one for HMAC-SHA-256 (RFC 2104), which names, one for AES-256-GCM (NIST SP 800-38D),
which seals what `features.personal` keeps.
"""

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from features.errors import PseudonymKeyError, StoreError
from features.store import QUARANTINE, Store

KEY_VARIABLE = "SENTIREC_KEY"
PSEUDONYM_KEY = "pseudonym_key"
"""Table of one row: the fingerprint of the key that made the pseudonyms of this store."""
NAMED = (
    "user_id",
    "event_id",
    "review_id",
    "session_id",
    "thread_id",
    "contact_id",
    "suppression_id",
)
"""Columns that pseudonyms take the place of: sources write whom they mean into all of them."""
_WITHOUT_PEOPLE = ("items", "item_texts")
_LEAST_BYTES = 32
_PSEUDONYM_BYTES = 16


@dataclass(frozen=True)
class Pseudonyms:
    """Names people by a key.

    Attributes:
        naming_key: 32 bytes.
        sealing_key: Of what is sealed, 32 bytes; None for who only has to name.
    """

    naming_key: bytes = field(repr=False)
    sealing_key: bytes | None = field(default=None, repr=False)

    @classmethod
    def of_secret(cls, secret: bytes) -> "Pseudonyms":
        """Derive both keys.

        Raises:
            PseudonymKeyError: If the secret is shorter than 32 bytes.
        """
        if len(secret) < _LEAST_BYTES:
            raise PseudonymKeyError(
                f"the key of pseudonyms has {len(secret)} bytes, fewer than {_LEAST_BYTES}"
            )
        return cls(
            naming_key=_derived(secret, b"sentirec pseudonyms"),
            sealing_key=_derived(secret, b"sentirec personal fields"),
        )

    @classmethod
    def read(cls, key_file: str | Path | None = None) -> "Pseudonyms":
        """Read the secret, in hexadecimal, from the environment or else from a file.

        Raises:
            PseudonymKeyError: If there is none, or it is no hexadecimal of at least 32 bytes.
        """
        text = os.environ.get(KEY_VARIABLE)
        where = KEY_VARIABLE
        if text is None:
            if key_file is None:
                raise PseudonymKeyError(
                    f"pseudonyms need a key: set {KEY_VARIABLE} or [privacy] key_file to 64 "
                    "hexadecimal digits, such as `openssl rand -hex 32` prints"
                )
            where = str(key_file)
            try:
                text = Path(key_file).read_text("ascii")
            except (OSError, UnicodeDecodeError) as error:
                raise PseudonymKeyError(
                    f"cannot read the key of pseudonyms in {where}: {error}"
                ) from error
        digits = text.strip()
        if not re.fullmatch(r"([0-9a-fA-F]{2})*", digits):
            raise PseudonymKeyError(f"the key of pseudonyms in {where} is no hexadecimal")
        return cls.of_secret(bytes.fromhex(digits))

    def naming_only(self) -> "Pseudonyms":
        """Return the same without what opens seals."""
        return Pseudonyms(self.naming_key)

    def of(self, user_id: str) -> str:
        """Return the pseudonym of a user: 32 hexadecimal digits."""
        return self._named("user_id", user_id)

    def named_values(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the pseudonyms of values by their column, one of `NAMED` each."""
        return {column: self._named(column, value) for column, value in values.items()}

    def named(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with pseudonyms in its columns of `NAMED`; null stays null."""
        found = []
        for column in NAMED:
            if column in frame.columns:
                ids = frame[column].cast(pl.String)
                distinct = ids.unique().drop_nulls()
                names = [self._named(column, name) for name in distinct]
                found.append(
                    ids.replace_strict(distinct, pl.Series(names, dtype=pl.String), default=None)
                    .cast(pl.String)
                    .alias(column)
                )
        return frame.with_columns(found)

    @property
    def fingerprint(self) -> str:
        """Which key this is, without telling it."""
        return self._named("fingerprint", "")

    def _named(self, kind: str, name: str) -> str:
        """Name an id; the same id of two kinds has two names."""
        digest = hmac.digest(self.naming_key, f"{kind}\x00{name}".encode(), "sha256")
        return digest[:_PSEUDONYM_BYTES].hex()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def begin(store: Store, pseudonyms: Pseudonyms | None) -> None:
    """Write into a store without people whose pseudonyms it will hold; check any other.

    Raises:
        StoreError: See `check`.
    """
    check(store, pseudonyms)
    if pseudonyms is not None and not store.exists(PSEUDONYM_KEY):
        store.append(PSEUDONYM_KEY, pl.DataFrame({"fingerprint": [pseudonyms.fingerprint]}))


def _people(store: Store) -> list[str]:
    """Name the tables that may hold plain ids."""
    if store.is_local:
        return [table for table in store.names() if table not in _WITHOUT_PEOPLE]
    named = ["users", "events", "reviews"]
    return [*named, *(QUARANTINE + table for table in (*named, "items", "splits"))]


def check(store: Store, pseudonyms: Pseudonyms | None) -> None:
    """Hold a key against the store.

    Raises:
        StoreError: If the store holds pseudonyms and there is no key, or another; or if there is a
            key and the store holds plain ids.
    """
    if not store.exists(PSEUDONYM_KEY):
        if pseudonyms is None:
            return
        held = [table for table in _people(store) if store.exists(table)]
        if held:
            raise StoreError(
                f"{store.root} holds plain ids ({', '.join(held)}): pseudonyms begin with a new "
                "store, or leave out [privacy] pseudonymise"
            )
        return
    if pseudonyms is None:
        raise StoreError(
            f"{store.root} holds pseudonyms: say [privacy] pseudonymise = true, and give their key"
        )
    if store.scan(PSEUDONYM_KEY).collect()["fingerprint"][0] != pseudonyms.fingerprint:
        raise StoreError(f"{store.root} holds pseudonyms of another key")
