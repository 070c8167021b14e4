"""The sections `[destinations.NAME]` and `[audit]` of the configuration file."""

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobs.errors import BadInputError
from recsys.segments.section import LEAST_CHANGE

if TYPE_CHECKING:
    from features.store import Store
    from jobs.delivery.audit_log import AuditLog
    from jobs.delivery.delivery import Destination
    from jobs.delivery.rows import ProfileRows

Ids = Literal["stored", "plain"]
"""Of a store with pseudonyms: those, or what they stand for."""
GOOGLE_MOST_DAYS = 540
"""A person stays on a list of Google Customer Match for so long at most."""
META_LEAST_MATCHED = 100
_SEGMENT = "{segment}"
_LEAST_KEY_BYTES = 32


class _Destination(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = Field(min_length=1, max_length=64)
    """Whose consent people must have given."""
    is_contact: bool = True
    """Whether being put on a list counts for frequency caps."""

    @property
    def least_change(self) -> int | None:
        """Smallest change that an update may tell; None for any."""
        return None


class _WithProfiles(_Destination):
    columns: tuple[str, ...] = ()
    """Of `user_profiles`."""
    ids: Ids = "stored"

    @field_validator("columns")
    @classmethod
    def _are_told_once(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(columns)) < len(columns) or {"user_id", "id"} & set(columns):
            raise ValueError("columns are named once each; the id is always told")
        return columns

    def rows(self) -> "ProfileRows":
        """Return what is told of people."""
        from jobs.delivery.rows import ProfileRows

        return ProfileRows(columns=self.columns, ids=self.ids)


class FilesSection(_WithProfiles):
    """Files for whoever reads them."""

    kind: Literal["csv", "parquet"]
    folder: str = Field(min_length=1)
    """Path or address that fsspec knows: s3://, gs:// and others, with their packages."""

    def build(self, segment: str) -> "Destination":
        """Return the destination of a segment."""
        from jobs.delivery.files import FileDestination

        return FileDestination(
            folder=self.folder, format=self.kind, rows=self.rows(), notes={"kind": self.kind}
        )


class _Platform(_Destination):
    folder: str = Field(min_length=1)
    min_change: int = Field(default=LEAST_CHANGE, ge=1)

    @property
    def least_change(self) -> int | None:
        return self.min_change


class GoogleSection(_Platform):
    """A CSV of Google Customer Match."""

    kind: Literal["google"]
    membership_days: int = Field(default=GOOGLE_MOST_DAYS, ge=1, le=GOOGLE_MOST_DAYS)
    """To be given when the file is uploaded."""

    def build(self, segment: str) -> "Destination":
        """Return the destination of a segment."""
        from jobs.delivery.files import FileDestination
        from jobs.delivery.rows import GoogleRows

        return FileDestination(
            folder=self.folder,
            format="csv",
            rows=GoogleRows(),
            notes={"kind": self.kind, "membership_days": self.membership_days},
        )


class MetaSection(_Platform):
    """A CSV of Meta Custom Audiences."""

    kind: Literal["meta"]

    def build(self, segment: str) -> "Destination":
        """Return the destination of a segment."""
        from jobs.delivery.files import FileDestination
        from jobs.delivery.rows import MetaRows

        return FileDestination(
            folder=self.folder,
            format="csv",
            rows=MetaRows(),
            notes={"kind": self.kind},
            least_matched=META_LEAST_MATCHED,
        )


class PostgresSection(_WithProfiles):
    """A table of each segment."""

    kind: Literal["postgres"]
    address_variable: str = Field(min_length=1)
    """Environment variable with the address of the database."""
    table: str = f"segment_{_SEGMENT}"

    @field_validator("table")
    @classmethod
    def _has_segment(cls, table: str) -> str:
        if _SEGMENT not in table or table.count(".") > 1 or "" in table.split("."):
            raise ValueError(
                "a table is named as `table` or `schema.table`, and holds {segment}: segments "
                "that share one would replace each other"
            )
        return table

    def build(self, segment: str) -> "Destination":
        """Return the destination of a segment."""
        from jobs.delivery.postgres import PostgresDestination

        return PostgresDestination(
            address_variable=self.address_variable,
            table=self.table.replace(_SEGMENT, segment),
            rows=self.rows(),
        )


class WebhookSection(_WithProfiles):
    """Signed messages."""

    kind: Literal["webhook"]
    url: str
    secret_variable: str = Field(min_length=1)
    """Environment variable with the secret, `whsec_` and base64."""
    allow_hosts: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    batch_size: int = Field(default=500, ge=1, le=10_000)

    @field_validator("allow_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    def build(self, segment: str) -> "Destination":
        """Return the destination of a segment."""
        from jobs.delivery.webhook import WebhookDestination
        from jobs.signed_webhook import AllowList

        return WebhookDestination(
            url=self.url,
            secret_variable=self.secret_variable,
            allow=AllowList(hosts=self.allow_hosts, networks=self.allow_networks),
            rows=self.rows(),
            batch_size=self.batch_size,
        )


DestinationName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
DestinationSection = Annotated[
    FilesSection | GoogleSection | MetaSection | PostgresSection | WebhookSection,
    Field(discriminator="kind"),
]


class AuditSection(BaseModel):
    """`[audit]`: where exports are written down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = None
    """A file; absent, `audit/exports.jsonl` in the store's folder."""
    key_variable: str = "SENTIREC_AUDIT_KEY"
    """Environment variable with the key of the hashes, 64 hexadecimal digits; plain where empty."""

    def open(self, store: "Store") -> "AuditLog":
        """Return the log.

        Raises:
            BadInputError: If the key is none.
            StoreError: The store is no folder, and there is no `path`.
        """
        from jobs.delivery.audit_log import AuditLog

        path = store.path("audit", "exports.jsonl") if self.path is None else Path(self.path)
        return AuditLog(path=path, key=self._key())

    def _key(self) -> bytes | None:
        text = os.environ.get(self.key_variable, "").strip()
        if not text:
            return None
        try:
            key = bytes.fromhex(text)
        except ValueError as error:
            raise BadInputError(f"{self.key_variable} is no hexadecimal") from error
        if len(key) < _LEAST_KEY_BYTES:
            raise BadInputError(f"{self.key_variable} has fewer than {_LEAST_KEY_BYTES} bytes")
        return key


def known_destination(sections: dict[str, Any], name: str) -> Any:
    """Return the section of a destination.

    Raises:
        BadInputError: If there is none of that name.
    """
    if name not in sections:
        known = ", ".join(sorted(sections)) or "none"
        raise BadInputError(f"no [destinations.{name}] in the configuration file; there is {known}")
    return sections[name]
