"""What is told of the people on a list: columns of profiles, or the hashes a platform wants."""

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from features.personal import PLAIN_ID, read_personal
from features.pseudonyms import PSEUDONYM_KEY, Pseudonyms
from features.store import Store
from jobs.delivery.hashing import country_code, normal_email, phone_digits, sha256_hex
from jobs.delivery.section import Ids
from jobs.errors import BadInputError

USER = "user_id"
_PERSONAL = ("email", "phone")


class Rows(Protocol):
    """Makes the rows of a list."""

    @property
    def told(self) -> tuple[str, ...]:
        """Columns that the destination is told, in their order."""
        ...

    def of(self, store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None) -> pl.DataFrame:
        """Return `user_id` (as stored) and the columns of `told`, a row of each who has an address.

        Args:
            store: Where profiles and users are.
            user_ids: As stored, each once.
            pseudonyms: Of the store, where it holds any.

        Raises:
            BadInputError: A column is not there, or the key of pseudonyms is needed.
            StoreError: A table is damaged.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ProfileRows:
    """Ids, and columns of profiles.

    Attributes:
        columns: Of `user_profiles`, numbers, texts, times or truths.
        ids: Of a store with pseudonyms: those, or what they stand for.
    """

    columns: tuple[str, ...] = ()
    ids: Ids = "stored"

    @property
    def told(self) -> tuple[str, ...]:
        """See `Rows`."""
        return (ID, *self.columns)

    def of(self, store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None) -> pl.DataFrame:
        """See `Rows`."""
        rows = user_ids.rename(USER).to_frame()
        if self.columns:
            profiles = store.scan("user_profiles")
            schema = profiles.collect_schema()
            for name in self.columns:
                if name not in schema or schema[name].is_nested():
                    known = [known for known in schema if not schema[known].is_nested()]
                    raise BadInputError(
                        f"user_profiles has no plain column {name!r}; it has {', '.join(known)}"
                    )
            wanted = profiles.select(USER, *(c for c in self.columns if c != USER))
            rows = rows.lazy().join(wanted, on=USER, how="left").collect(engine="streaming")
        return rows.join(_named(store, rows, self.ids, pseudonyms), on=USER).select(
            USER, ID, *self.columns
        )


ID = "id"
"""The column of ids as the destination knows them; files and tables call it `user_id`."""


@dataclass(frozen=True, kw_only=True)
class GoogleRows:
    """Columns of Google Customer Match: hashes, and the country as it is."""

    @property
    def told(self) -> tuple[str, ...]:
        """See `Rows`."""
        return ("Email", "Phone", "First Name", "Last Name", "Country", "Zip")

    def of(self, store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None) -> pl.DataFrame:
        """See `Rows`; names and postcodes are not known and stay empty."""
        people = _addresses(store, user_ids, pseudonyms)
        nothing = pl.lit(None, pl.String)
        return people.select(
            USER,
            sha256_hex(people["email"]).alias("Email"),
            sha256_hex("+" + people["phone"]).alias("Phone"),
            nothing.alias("First Name"),
            nothing.alias("Last Name"),
            pl.col("country").alias("Country"),
            nothing.alias("Zip"),
        )


@dataclass(frozen=True, kw_only=True)
class MetaRows:
    """Columns of Meta Custom Audiences, all hashed."""

    @property
    def told(self) -> tuple[str, ...]:
        """See `Rows`."""
        return ("email", "phone", "fn", "ln", "zip", "ct", "st", "country")

    def of(self, store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None) -> pl.DataFrame:
        """See `Rows`; names and places are not known and stay empty."""
        people = _addresses(store, user_ids, pseudonyms)
        nothing = pl.lit(None, pl.String)
        return people.select(
            USER,
            sha256_hex(people["email"]),
            sha256_hex(people["phone"]),
            *(nothing.alias(name) for name in ("fn", "ln", "zip", "ct", "st")),
            sha256_hex(people["country"].str.to_lowercase()),
        )


def _addresses(store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None) -> pl.DataFrame:
    """Return `user_id, email, phone, country`, normalised, of users with an e-mail or a phone.

    Of users who share both, the first by id; an address that a suppressed user has, too, is none:
    the platform would take it for both.
    """
    people = _normal_people(store, user_ids, pseudonyms)
    if store.exists("suppressions"):
        suppressed = store.scan("suppressions").select(USER).unique().collect()[USER]
        others = suppressed.filter(~suppressed.is_in(user_ids.implode()))
        kept_out = _normal_people(store, others, pseudonyms)
        people = people.with_columns(
            pl.when(~pl.col(name).is_in(kept_out[name].drop_nulls().implode())).then(pl.col(name))
            for name in _PERSONAL
        )
    has_address = pl.col("email").is_not_null() | pl.col("phone").is_not_null()
    return (
        people.filter(has_address).sort(USER).unique(_PERSONAL, keep="first", maintain_order=True)
    )


def _normal_people(
    store: Store, user_ids: pl.Series, pseudonyms: Pseudonyms | None
) -> pl.DataFrame:
    """Return `user_id, email, phone, country`, normalised, a row of each user that is known."""
    asked = user_ids.rename(USER).to_frame()
    if not store.exists("users"):
        return asked.clear().with_columns(
            pl.lit(None, pl.String).alias(name) for name in (*_PERSONAL, "country")
        )
    users = store.scan("users").select(USER, *_PERSONAL, "country")
    people = asked.lazy().join(users, on=USER).unique(USER, keep="first", maintain_order=True)
    people = people.collect(engine="streaming")
    if store.exists(PSEUDONYM_KEY):
        sealed = read_personal(store, _key(store, pseudonyms), asked)
        people = people.drop(_PERSONAL).join(sealed.drop(PLAIN_ID), on=USER, how="left")
    return people.select(
        USER, normal_email("email"), phone_digits("phone"), country_code("country")
    )


def _named(
    store: Store, rows: pl.DataFrame, ids: Ids, pseudonyms: Pseudonyms | None
) -> pl.DataFrame:
    """Return `user_id, id`: of stored ids what the destination knows."""
    stored = rows.select(USER, pl.col(USER).alias(ID))
    if ids == "stored" or not store.exists(PSEUDONYM_KEY):
        return stored
    opened = read_personal(store, _key(store, pseudonyms), rows.select(USER))
    return opened.select(USER, pl.col(PLAIN_ID).alias(ID))


def _key(store: Store, pseudonyms: Pseudonyms | None) -> Pseudonyms:
    if pseudonyms is None:
        raise BadInputError(
            f"{store.root} holds pseudonyms: this destination needs [privacy] pseudonymise = true "
            "and the key, to know whom they stand for"
        )
    return pseudonyms
