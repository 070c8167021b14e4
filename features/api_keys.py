"""API keys: who may ask for what. Only hashes of them are kept.

A key is `sr_<id>_<secret>` with 256 bits of chance in its secret, so that its SHA-256 can be kept
as it is: nobody finds such a secret by trying. The file is replaced as a whole; servers take a
change over within a second.
"""

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from features.errors import KeysError

Scope = Literal["read", "write", "admin", "export"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
FILE = "api_keys.json"
_PREFIX = "sr"
_LOOK_EVERY_S = 1.0
# What an unknown key is compared with, so that it takes as long as a known one.
_NO_HASH = hashlib.sha256(secrets.token_bytes(32)).hexdigest()

_logger = logging.getLogger(__name__)


class ApiKey(BaseModel):
    """One key as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_id: str = Field(pattern=r"^[0-9a-f]{8}$")
    name: Annotated[str, Field(max_length=200)] = ""
    """For people."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    """`read`: recommendations and what is known of items and users; `write`: events and reviews;
    `admin`: erasure and the live model; `export`: lists of people leave the shop (the command
    `sentirec segments`, no route)."""
    user_mac: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """HMAC of the one user that it sees and writes for, by the key itself, so that no id of a
    person is kept here; None for all users."""
    per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Requests that are answered a second, in the mean; None for any number."""
    created_at: datetime
    expires_at: datetime | None = None

    @model_validator(mode="after")
    def _users_are_no_admins(self) -> "ApiKey":
        for scope in ("admin", "export"):
            if self.user_mac is not None and scope in self.scopes:
                raise ValueError(f"a key of one user cannot have the scope {scope}")
        return self

    def is_of(self, given: str, user_id: str) -> bool:
        """Tell whether the key, as it was given, may see a user and write for them."""
        return self.user_mac is None or hmac.compare_digest(self.user_mac, _mac(given, user_id))

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the key is of no use any more."""
        return self.expires_at is not None and now >= self.expires_at


_KEYS = TypeAdapter(list[ApiKey])


def new_key(
    scopes: frozenset[Scope],
    *,
    now: datetime,
    name: str = "",
    user_id: str | None = None,
    per_second: float | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return a new key as it is kept, and the key itself, which is never to be seen again.

    Raises:
        KeysError: If the scopes or limits do not fit.
    """
    key_id, secret = secrets.token_hex(4), secrets.token_hex(32)
    key = f"{_PREFIX}_{key_id}_{secret}"
    try:
        kept = ApiKey(
            key_id=key_id,
            name=name,
            sha256=_hash(key),
            scopes=scopes,
            user_mac=None if user_id is None else _mac(key, user_id),
            per_second=per_second,
            created_at=now,
            expires_at=expires_at,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise KeysError(problem["msg"].removeprefix("Value error, ")) from error
    return kept, key


def read_keys(path: Path) -> list[ApiKey]:
    """Return the keys of a file, none where there is no file.

    Raises:
        KeysError: If it cannot be read, or is no file of keys.
    """
    try:
        return _KEYS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeysError(f"cannot read the keys in {path}: {error.strerror or error}") from error
    except ValidationError as error:
        raise KeysError(f"{path} is no file of keys: {error.error_count()} errors") from error


def write_keys(path: Path, keys: list[ApiKey]) -> None:
    """Replace a file of keys; only its owner can read it.

    Raises:
        KeysError: If it cannot be written.
    """
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(_KEYS.dump_json(keys, indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    except OSError as error:
        raise KeysError(f"cannot write the keys to {path}: {error.strerror or error}") from error


@contextmanager
def changing_keys(path: Path) -> Iterator[None]:
    """Keep others from changing a file of keys: what is read in the block is what is replaced.

    Raises:
        KeysError: If the lock beside the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.with_name(f".{path.name}.lock").open("w")
    except OSError as error:
        raise KeysError(f"cannot lock the keys in {path}: {error.strerror or error}") from error
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@dataclass
class _Bucket:
    """Requests that may come at once, filled up with time."""

    tokens: float
    filled_at: float


@dataclass
class KeyRing:
    """The keys of a server, kept up with their file; of one thread.

    A file that is damaged while the server runs changes nothing: the keys of before go on.

    Attributes:
        path: The file.
        num_replicas: Processes that answer: each lets through its share of a key's requests.
        clock: Tells the time, with a zone.

    Raises:
        KeysError: If the file cannot be read at first.
    """

    path: Path
    num_replicas: int = 1
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _keys: dict[str, ApiKey] = field(init=False, repr=False)
    _buckets: dict[str, _Bucket] = field(init=False, repr=False, default_factory=dict)
    _seen: tuple[int, int] | None = field(init=False, repr=False)
    _looked_at: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Read the file."""
        self._looked_at, self._seen = time.monotonic(), self._stamp()
        self._keys = {key.key_id: key for key in read_keys(self.path)}

    def find(self, given: str) -> ApiKey | None:
        """Return the key that was given, None for one that is unknown, revoked or expired."""
        self._keep_up()
        prefix, _, rest = given.partition("_")
        key_id, _, _ = rest.partition("_")
        key = self._keys.get(key_id) if prefix == _PREFIX else None
        wanted = _NO_HASH if key is None else key.sha256
        is_right = hmac.compare_digest(_hash(given), wanted)
        return key if key is not None and is_right and not key.is_expired(self.clock()) else None

    def wait_s(self, key: ApiKey) -> float:
        """Take one request off what a key may ask now.

        Returns:
            0 where it may be answered, else in how many seconds the next one may.
        """
        if key.per_second is None:
            return 0.0
        rate = key.per_second / self.num_replicas
        # A second's worth may come at once, one request in any case.
        most, now = max(1.0, rate), time.monotonic()
        bucket = self._buckets.setdefault(key.key_id, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + rate * (now - bucket.filled_at))
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / rate
        bucket.tokens -= 1.0
        return 0.0

    def charge(self, key: ApiKey, more: int) -> None:
        """Count a request as `more` than one: the next ones wait for longer."""
        if key.per_second is not None and key.key_id in self._buckets:
            self._buckets[key.key_id].tokens -= more

    def _keep_up(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at, stamp = now, self._stamp()
        if stamp == self._seen:
            return
        try:
            keys = read_keys(self.path)
        except KeysError:
            _logger.exception("the keys of before stay in use")
            return
        self._seen, self._keys = stamp, {key.key_id: key for key in keys}

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _mac(key: str, user_id: str) -> str:
    return hmac.digest(key.encode(), user_id.encode(), "sha256").hex()


def key_that_allows(path: Path, given: str, scope: Scope) -> ApiKey:
    """Return a key that was given, as it is kept.

    Args:
        path: File of keys.
        given: The key itself.
        scope: What it has to allow.

    Raises:
        KeysError: If it is none, is over, or allows something else; or the file cannot be read.
    """
    key = KeyRing(path).find(given)
    if key is None:
        raise KeysError(f"the API key is not among those in {path}, or is over")
    if scope not in key.scopes:
        has = ", ".join(sorted(key.scopes))
        raise KeysError(f"this needs a key with the scope {scope}; {key.key_id} has {has}")
    return key
