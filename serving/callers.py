"""Who asks: whether a request carries a key, and what the key allows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from features.api_keys import ApiKey, KeyRing, Scope
from serving.problems import ProblemError

_BEARER = "bearer "


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        key: As it is kept; None where no keys are asked for.
        given: As it came.
        ring: Where the key is from.
    """

    key: ApiKey | None = None
    given: str = field(default="", repr=False)
    ring: KeyRing | None = field(default=None, repr=False)

    def charge(self, more: int) -> None:
        """Count as more than one request; later ones wait for it."""
        if self.ring is not None and self.key is not None:
            self.ring.charge(self.key, more)

    def check_user(self, user_id: str | None) -> None:
        """Make sure that a user may be seen and written for; None is about nobody.

        Raises:
            ProblemError: 403 where the key is of another user.
        """
        if self.key is None or user_id is None or self.key.is_of(self.given, user_id):
            return
        raise ProblemError(403, "forbidden", "the key is of another user")

    def check_any_user(self) -> None:
        """Make sure that the whole shop may be seen.

        Raises:
            ProblemError: 403 where the key is of one user.
        """
        if self.key is not None and self.key.user_mac is not None:
            raise ProblemError(403, "forbidden", "the key is of one user alone")


def identify(headers: Mapping[str, str], keys: KeyRing | None, scope: Scope) -> Caller:
    """Find out who asks.

    Args:
        headers: Of the request.
        keys: None where no keys are asked for.
        scope: What the request needs.

    Raises:
        ProblemError: 401 without a valid key, 403 without the scope, 429 over the key's limit.
    """
    if keys is None:
        return Caller()
    given = headers.get("authorization", "")
    if not given[: len(_BEARER)].lower() == _BEARER:
        raise _unknown("send a key as Authorization: Bearer KEY")
    given = given[len(_BEARER) :].strip()
    key = keys.find(given)
    if key is None:
        raise _unknown("the key is unknown, revoked or expired")
    if scope not in key.scopes:
        has = ", ".join(sorted(key.scopes))
        raise ProblemError(403, "forbidden", f"this needs a key with the scope {scope}, not {has}")
    wait_s = keys.wait_s(key)
    if wait_s:
        raise ProblemError(
            429,
            "too-many-requests",
            f"the key may ask {key.per_second:g} times a second",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
    return Caller(key, given, keys)


def _unknown(detail: str) -> ProblemError:
    return ProblemError(
        401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="sentirec"'}
    )
