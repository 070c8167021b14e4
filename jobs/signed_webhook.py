"""Signed HTTP messages to other systems, sent only where a shop allows it.

Signed as Standard Webhooks 1.0 has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`): a
receiver checks who wrote and when, and knows a message that comes again by its id.

Against forged addresses (SSRF): a host must be on the shop's list; its name is looked up once, all
its addresses must be public unless the list names their network, and the connection goes to the
very address that was checked; no redirect is followed; only https, except to this machine.
"""

import base64
import hmac
import ipaddress
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from jobs.errors import BadInputError, DeliveryError

TIMEOUT_S = 10.0
_SECRET_PREFIX = "whsec_"
_LEAST_SECRET_BYTES = 24
_TRANSIENT = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class AllowList:
    """Where messages may go.

    Attributes:
        hosts: Names, exactly, without port; case does not matter.
        networks: Addresses or networks such as `10.0.0.0/8` that are not public and allowed
            nevertheless; `127.0.0.0/8` allows this machine.
    """

    hosts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that networks are ones.

        Raises:
            ValueError: If one is none.
        """
        for network in self.networks:
            ipaddress.ip_network(network)

    def check(self, url: str) -> tuple[httpx.URL, _Address]:
        """Return an address that may be written to, and the machine behind it.

        Raises:
            BadInputError: If it may not; the message says why. Or it is no address.
            DeliveryError: If the name cannot be looked up now.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise BadInputError(f"the webhook address cannot be read: {error}") from error
        host = parsed.host.lower()
        if parsed.scheme not in ("http", "https") or not host:
            raise BadInputError(f"a webhook address begins with https://, not as {bare(url)}")
        if parsed.userinfo:
            raise BadInputError(
                f"the webhook address of {host} holds a password, which logs would show: "
                "messages are signed, it needs none"
            )
        if host not in {name.lower() for name in self.hosts}:
            raise BadInputError(
                f"no message is sent to {host}: it is not among the allowed hosts "
                f"({', '.join(self.hosts) or 'there are none'})"
            )
        addresses = _addresses(host, parsed.port or (443 if parsed.scheme == "https" else 80))
        for address in addresses:
            if not self._may_reach(address):
                raise BadInputError(
                    f"no message is sent to {host}: its address {address} is not a public one, "
                    "and no allowed network holds it"
                )
        if parsed.scheme != "https" and not all(one.is_loopback for one in addresses):
            raise BadInputError(f"no message is sent to {host} without https")
        return parsed, addresses[0]

    def _may_reach(self, address: _Address) -> bool:
        if any(address in ipaddress.ip_network(network) for network in self.networks):
            return True
        inner = _inner(address)
        if isinstance(inner, ipaddress.IPv6Address) and inner.is_site_local:
            return False
        return inner.is_global and not inner.is_multicast


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How a message that was not taken is sent again.

    Attributes:
        attempts: In all, at least 1.
        first_wait_s: Before the second; each later wait is twice as long, up to `longest_wait_s`,
            and shortened by up to a half at random, so that senders do not come back together.
        longest_wait_s: Also of what a receiver asks for by `Retry-After`.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.attempts < 1 or not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ValueError("retries take at least 1 attempt, and waits of 0 s or more")


def signing_key(secret: str) -> bytes:
    """Return the key of a secret as Standard Webhooks writes it: `whsec_` and base64.

    Raises:
        BadInputError: If it is not written so, or has fewer than 24 bytes.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:
        raise BadInputError(
            "the secret of a webhook is written as whsec_ and base64, such as "
            "`echo whsec_$(openssl rand -base64 32)` prints"
        ) from error
    if len(key) < _LEAST_SECRET_BYTES:
        raise BadInputError(
            f"the secret of a webhook has {len(key)} bytes, fewer than {_LEAST_SECRET_BYTES}"
        )
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message: `v1,` and the base64 of an HMAC-SHA-256.

    Args:
        key: See `signing_key`.
        message_id: The header `webhook-id`.
        timestamp: The header `webhook-timestamp`, seconds since 1970.
        body: Exactly what is sent.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def post_signed(
    url: str,
    body: bytes,
    secret: str,
    *,
    idempotency_key: str,
    allow: AllowList,
    retries: Retries | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send a JSON message until it is taken.

    Args:
        url: Where to.
        body: JSON.
        secret: See `signing_key`.
        idempotency_key: The same whenever this message is sent, and of no other; up to 200 letters,
            digits, `-`, `_`.
        allow: Where messages may go.
        retries: How often; None for the defaults.
        sleep: Waits.

    Returns:
        The status of the answer, 200 to 299.

    Raises:
        BadInputError: If the address or the secret cannot be used.
        DeliveryError: If it was refused, or not taken in any attempt; it may have arrived, and may
            be sent again under the same key.
    """
    key = signing_key(secret)
    retries = retries or Retries()
    wait, why = retries.first_wait_s, ""
    for attempt in range(1, retries.attempts + 1):
        asked_wait = 0.0
        try:
            parsed, address = allow.check(url)
            answer = _send(parsed, address, body, key, idempotency_key)
        except DeliveryError as error:
            why = str(error)
        except httpx.HTTPError as error:
            why = f"{type(error).__name__}: {error}"
        else:
            if answer.is_success:
                return answer.status_code
            why = f"status {answer.status_code}"
            if answer.status_code not in _TRANSIENT:
                raise DeliveryError(f"{bare(url)} refused the message: {why}")
            asked_wait = _retry_after_s(answer)
        if attempt < retries.attempts:
            sleep(min(max(wait * random.uniform(0.5, 1.0), asked_wait), retries.longest_wait_s))
            wait = min(2 * wait, retries.longest_wait_s)
    raise DeliveryError(
        f"{bare(url)} did not take the message in {retries.attempts} attempts: {why}"
    )


def _send(
    url: httpx.URL, address: _Address, body: bytes, key: bytes, message_id: str
) -> httpx.Response:
    """Send once, to the address that was checked, in the name of the host."""
    now = int(time.time())
    headers = {
        "host": url.netloc.decode(),
        "content-type": "application/json",
        "user-agent": "sentirec",
        "idempotency-key": message_id,
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(key, message_id, now, body),
    }
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers=headers,
            extensions={"sni_hostname": url.host},
        )
        # What is answered is not read: it may have no end.
        answer = client.send(request, stream=True)
        answer.close()
        return answer


def _addresses(host: str, port: int) -> Sequence[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"the name {host} cannot be looked up: {error}") from error
    # Of `fe80::1%eth0` the part before the sign is the address.
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return [_unmapped(ipaddress.ip_address(text)) for text in texts]


def _unmapped(address: _Address) -> _Address:
    """Return the IPv4 address that one of IPv6 stands for, or itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _inner(address: _Address) -> _Address:
    """Return the IPv4 address that one of IPv6 leads to, or itself.

    IPv4-compatible (RFC 4291), NAT64 (RFC 6052) and 6to4 (RFC 3056); a local NAT64 (RFC 8215) may
    lead anywhere and counts as this machine.
    """
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _LOCAL_NAT64:
        return ipaddress.IPv6Address("::1")
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def _retry_after_s(answer: httpx.Response) -> float:
    """Return how long a receiver asks to be left alone (RFC 9110, 10.2.3); 0 for not at all."""
    asked = answer.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0


def bare(url: str) -> str:
    """Return an address without what may be secret in it: paths and queries may."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.host}"
