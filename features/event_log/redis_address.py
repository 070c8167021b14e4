"""Addresses of event logs in Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DB][?prefix=NAME]`.

An address may hold a password. No message shows more of one than scheme, host, port, database and
prefix, and of one that cannot be read nothing at all: what looks like a port may be a password.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from features.errors import EventLogError

DEFAULT_PORT = 6379
DEFAULT_PREFIX = "sentirec"
_WANTED = (
    "wanted is redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS, where / ? # @ in a "
    "password are written %2F %3F %23 %40; it stands in [event_log] address or in the variable "
    "SENTIREC_EVENT_LOG, and is not shown here: it may hold a password"
)
_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_QUERY = ("prefix", "durable", *_TLS)


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """Where an event log is; its text has no password.

    Attributes:
        host: Name or IP address.
        port: TCP port.
        database: Number of the logical database.
        username: Null for the default user.
        password: Null where the server asks for none.
        is_encrypted: Whether TLS is spoken.
        tls_files: Paths for TLS, as redis-py names them: `ssl_ca_certs` and so on.
        prefix: Of all keys: one log each.
        is_assumed_durable: Whether the server is taken to keep what it answers for, unasked.
    """

    host: str
    port: int = DEFAULT_PORT
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    is_encrypted: bool = False
    tls_files: tuple[tuple[str, str], ...] = ()
    prefix: str = DEFAULT_PREFIX
    is_assumed_durable: bool = False

    @classmethod
    def parse(cls, address: str) -> "RedisAddress":
        """Read an address.

        Raises:
            EventLogError: If it is none.
        """
        # What these functions raise says what they could not read: maybe a part of a password.
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise _bad("cannot be read") from None
        if parts.scheme not in ("redis", "rediss"):
            raise _bad("is of another kind")
        if not host or parts.fragment:
            raise _bad("names no host" if not host else "has a part after #")
        database = parts.path.strip("/")
        if not re.fullmatch(r"[0-9]*", database):
            raise _bad("names a database that is no number")
        is_encrypted = parts.scheme == "rediss"
        query = _query(parts.query, is_encrypted)
        return cls(
            host=host,
            port=port or DEFAULT_PORT,
            database=int(database or 0),
            username=None if not parts.username else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            is_encrypted=is_encrypted,
            tls_files=tuple((name, query[name]) for name in _TLS if name in query),
            prefix=query.get("prefix", DEFAULT_PREFIX),
            is_assumed_durable="durable" in query,
        )

    def __str__(self) -> str:
        """Return the address without user and password."""
        scheme = "rediss" if self.is_encrypted else "redis"
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = f"{scheme}://{host}:{self.port}/{self.database}"
        return shown if self.prefix == DEFAULT_PREFIX else f"{shown}?prefix={self.prefix}"

    def connection_options(self) -> dict[str, Any]:
        """Return what a connection of redis-py takes."""
        return {
            "host": self.host,
            "port": self.port,
            "db": self.database,
            "username": self.username,
            "password": self.password,
            **dict(self.tls_files),
        }


def _query(text: str, is_encrypted: bool) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    allowed = _QUERY if is_encrypted else ("prefix", "durable")
    if not set(query) <= set(allowed):
        raise _bad(f"has an option that is unknown; known are {', '.join(allowed)}")
    if not _PREFIX.fullmatch(query.get("prefix", DEFAULT_PREFIX)):
        raise _bad("has a prefix that is not 1 to 64 letters, digits or . _ : -")
    if query.get("durable", "assumed") != "assumed":
        raise _bad("has an option durable that is not durable=assumed")
    return query


def _bad(what: str) -> EventLogError:
    return EventLogError(f"the address of the event log {what}; {_WANTED}")
