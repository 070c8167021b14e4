"""Personal fields of a pseudonymised store: in a table of their own, sealed row by row.

`personal` holds `user_id` (a pseudonym) and `sealed`: a nonce of 12 random bytes and the
AES-256-GCM ciphertext of the plain id and the personal fields as JSON, bound to the pseudonym, so
that a row cannot be given to somebody else. Whoever has the key reads them (`read_personal`), to
write to people or to hand out what is held on them; nothing else does.
"""

import json
import secrets
from collections.abc import Sequence

import polars as pl
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from features.errors import StoreError
from features.pseudonyms import Pseudonyms
from features.store import Store
from features.table_writers import EntityWriter, merge_entities

PERSONAL = "personal"
PERSONAL_FIELDS = ("email", "phone")
PLAIN_ID = "plain_id"
_USER = "user_id"
_NONCE_BYTES = 12
_OPEN_SCHEMA = pl.Schema(dict.fromkeys((_USER, PLAIN_ID, *PERSONAL_FIELDS), pl.String()))


class SealedUserWriter(EntityWriter):
    """Writes users with plain ids as pseudonyms, and seals what is personal.

    Args:
        store: Where the tables are.
        pseudonyms: Of the store.
    """

    def __init__(self, store: Store, pseudonyms: Pseudonyms) -> None:
        super().__init__(store, "users")
        self._pseudonyms = pseudonyms

    def end_file(self) -> None:
        """Join small files of both tables where there are many."""
        super().end_file()
        if self._store.exists(PERSONAL):
            self._store.compact(PERSONAL)

    def _merge(
        self, fresh: pl.DataFrame, given: list[str], *, is_stub: bool
    ) -> tuple[pl.Series, pl.Series]:
        bare = self._pseudonyms.named(fresh)
        null = [pl.lit(None, pl.String).alias(name) for name in PERSONAL_FIELDS]
        told = [name for name in given if name not in PERSONAL_FIELDS]
        new, changed = super()._merge(bare.with_columns(null), told, is_stub=is_stub)
        open_rows = bare.select(_USER, fresh[_USER].alias(PLAIN_ID), *PERSONAL_FIELDS)
        personal = [name for name in given if name in PERSONAL_FIELDS]
        resealed = self._seal(open_rows, personal, is_stub=is_stub)
        return new, pl.concat([changed, resealed.filter(~resealed.is_in(new.implode()))]).unique()

    def _seal(self, rows: pl.DataFrame, given: list[str], *, is_stub: bool) -> pl.Series:
        """Seal rows that are new or say something new; return whose."""
        ids = rows.select(_USER)
        old = read_personal(self._store, self._pseudonyms, ids)
        merged = merge_entities(old, rows, _USER, given, is_stub=is_stub)
        changed = merged.filter(merged.hash_rows() != old.hash_rows())
        new = rows.join(old, on=_USER, how="anti")
        if len(new):
            self._store.append(PERSONAL, sealed(new, self._pseudonyms))
        if len(changed):
            self._store.upsert(PERSONAL, sealed(changed, self._pseudonyms), [_USER])
        return pl.concat([new[_USER], changed[_USER]])


def read_personal(
    store: Store, pseudonyms: Pseudonyms, users: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Open what is sealed.

    Args:
        store: Where the table is.
        pseudonyms: Of the store.
        users: Whose, pseudonyms in `user_id`; None for everybody's.

    Returns:
        `user_id` (a pseudonym), `plain_id`, `email, phone`; empty where nothing is sealed.

    Raises:
        StoreError: If a row was sealed with another key, or changed since.
    """
    if not store.exists(PERSONAL):
        return _OPEN_SCHEMA.to_frame()
    scan = store.scan(PERSONAL)
    if users is not None:
        scan = scan.join(users.lazy().select(_USER), on=_USER, how="semi")
    found = scan.select(_USER, "sealed").collect()
    ids = found[_USER].to_list()
    texts = opened_texts(found["sealed"].to_list(), ids, pseudonyms, where=PERSONAL)
    opened = [{_USER: user, **json.loads(text)} for user, text in zip(ids, texts, strict=True)]
    return pl.DataFrame(opened, schema=_OPEN_SCHEMA)


def sealed(rows: pl.DataFrame, pseudonyms: Pseudonyms) -> pl.DataFrame:
    """Seal rows as `read_personal` returns them: `user_id, sealed`."""
    users, texts = [], []
    for row in rows.select(_OPEN_SCHEMA.names()).iter_rows(named=True):
        users.append(row.pop(_USER))
        texts.append(json.dumps(row, ensure_ascii=False))
    closed = sealed_texts(texts, users, pseudonyms)
    return pl.DataFrame({_USER: rows[_USER], "sealed": pl.Series(closed, dtype=pl.Binary)})


def sealed_texts(
    texts: Sequence[str], user_ids: Sequence[str], pseudonyms: Pseudonyms
) -> list[bytes]:
    """Seal texts, each bound to a user: a nonce of 12 random bytes and the ciphertext.

    Args:
        texts: What is sealed.
        user_ids: Whose each is.
        pseudonyms: With the key.
    """
    cipher, closed = _cipher(pseudonyms), []
    for text, user in zip(texts, user_ids, strict=True):
        nonce = secrets.token_bytes(_NONCE_BYTES)
        closed.append(nonce + cipher.encrypt(nonce, text.encode(), user.encode()))
    return closed


def opened_texts(
    sealed: Sequence[bytes], user_ids: Sequence[str], pseudonyms: Pseudonyms, *, where: str
) -> list[str]:
    """Open what `sealed_texts` sealed.

    Args:
        sealed: Nonces and ciphertexts.
        user_ids: Whose each is.
        pseudonyms: With the key.
        where: The table, for messages.

    Raises:
        StoreError: If one was sealed with another key, for somebody else, or changed since.
    """
    cipher, texts = _cipher(pseudonyms), []
    for row, user in zip(sealed, user_ids, strict=True):
        try:
            text = cipher.decrypt(row[:_NONCE_BYTES], row[_NONCE_BYTES:], user.encode())
        except InvalidTag as error:
            raise StoreError(
                f"the sealed row of {user} in {where} is damaged, or of another key"
            ) from error
        texts.append(text.decode())
    return texts


def _cipher(pseudonyms: Pseudonyms) -> AESGCM:
    if pseudonyms.sealing_key is None:
        raise StoreError("these pseudonyms can name people, not open what is sealed")
    return AESGCM(pseudonyms.sealing_key)
