"""Signed messages: what a receiver can check, what is sent again, and what is never sent."""

import base64
import hmac
import socket
from typing import Any

import pytest
from web_receiver import WebReceiver

from jobs.errors import BadInputError, DeliveryError
from jobs.signed_webhook import AllowList, Retries, post_signed, signature, signing_key

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
HERE = AllowList(hosts=("localhost",), networks=("127.0.0.0/8", "::1/128"))
BODY = b'{"type": "segment.updated"}'


def post(url: str, **options: Any) -> int:
    given = {"allow": HERE, "retries": Retries(first_wait_s=0.0), **options}
    return post_signed(url, BODY, SECRET, idempotency_key="key-1", **given)


def test_the_signature_is_that_of_the_published_example() -> None:
    # Standard Webhooks, specification, example of a symmetric signature.
    key = signing_key("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    body = b'{"email":"test@example.com","username":"test_user"}'
    found = signature(key, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, body)
    assert found == "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="


def test_a_receiver_can_check_what_it_gets() -> None:
    with WebReceiver() as receiver:
        assert post(receiver.url) == 204
    (request,) = receiver.received
    assert request.body == BODY
    assert request.path == "/hook"
    assert request.headers["host"].startswith("localhost:")
    signed = f"key-1.{request.headers['webhook-timestamp']}.".encode() + request.body
    wanted = base64.b64encode(hmac.digest(bytes(range(32)), signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{wanted}"
    assert request.headers["idempotency-key"] == request.headers["webhook-id"] == "key-1"


def test_what_is_not_taken_is_sent_again_under_the_same_key_and_ever_later() -> None:
    waits: list[float] = []
    with WebReceiver(lambda count, _: (503 if count < 3 else 200, {})) as receiver:
        retries = Retries(first_wait_s=1.0, longest_wait_s=3.0)
        assert post(receiver.url, retries=retries, sleep=waits.append) == 200
    assert {request.headers["webhook-id"] for request in receiver.received} == {"key-1"}
    assert len(waits) == 3
    for wait, longest in zip(waits, (1.0, 2.0, 3.0), strict=True):
        assert longest / 2 <= wait <= longest


def test_a_receiver_may_ask_for_a_longer_wait_up_to_a_limit() -> None:
    waits: list[float] = []
    asked = ["7", "4000"]
    with WebReceiver(
        lambda count, _: (429, {"retry-after": asked[count]}) if count < 2 else (200, {})
    ) as receiver:
        post(receiver.url, retries=Retries(longest_wait_s=30.0), sleep=waits.append)
    assert waits == [7.0, 30.0]


def test_who_never_takes_it_is_named_without_what_is_secret_in_the_address() -> None:
    with (
        WebReceiver(lambda *_: (500, {})) as receiver,
        pytest.raises(DeliveryError, match="3 attempts: status 500") as caught,
    ):
        post(f"{receiver.url}/hidden?token=hidden", retries=Retries(attempts=3, first_wait_s=0.0))
    assert len(receiver.received) == 3
    assert "hidden" not in str(caught.value)


def test_a_refusal_is_final_and_redirects_are_not_followed() -> None:
    for status in (400, 404, 302):
        moved = {"location": "http://169.254.169.254/"} if status == 302 else {}
        with (
            WebReceiver(lambda *_, answer=(status, moved): answer) as receiver,
            pytest.raises(DeliveryError, match=f"refused the message: status {status}"),
        ):
            post(receiver.url)
        assert len(receiver.received) == 1


def test_nobody_there_is_said_after_all_attempts() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match="5 attempts: ConnectError"):
        post(f"http://localhost:{port}/")


@pytest.mark.parametrize(
    ("url", "allow", "why"),
    [
        ("https://hooks.example.com/", AllowList(), "there are none"),
        ("https://hooks.example.com.evil.example/", HERE, "not among the allowed hosts"),
        ("http://localhost/", AllowList(hosts=("localhost",)), "not a public one"),
        ("https://169.254.169.254/", AllowList(hosts=("169.254.169.254",)), "not a public one"),
        ("https://10.0.0.7/", AllowList(hosts=("10.0.0.7",)), "not a public one"),
        ("https://2130706433/", AllowList(hosts=("2130706433",)), "not a public one"),
        ("https://[::1]/", AllowList(hosts=("::1",)), "not a public one"),
        (
            "https://[::ffff:127.0.0.1]/",
            AllowList(hosts=("::ffff:127.0.0.1",)),
            "not a public one",
        ),
        *(
            (f"https://[{inner}]/", AllowList(hosts=(inner,)), "not a public one")
            for inner in (
                "fd00::1",
                "fec0::1",
                "64:ff9b::a9fe:a9fe",
                "64:ff9b:1::1",
                "2002:7f00:1::",
                "::7f00:1",
            )
        ),
        (
            "http://10.0.0.7/",
            AllowList(hosts=("10.0.0.7",), networks=("10.0.0.0/8",)),
            "without https",
        ),
        ("http://8.8.8.8/", AllowList(hosts=("8.8.8.8",)), "without https"),
        ("https://user:word@localhost/", HERE, "holds a password"),
        ("ftp://localhost/", HERE, "begins with https"),
        ("localhost/hook", HERE, "begins with https"),
        ("http://[::1", HERE, "cannot be read"),
    ],
)
def test_no_message_goes_where_it_may_not(url: str, allow: AllowList, why: str) -> None:
    with pytest.raises(BadInputError, match=why):
        post(url, allow=allow)


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that turns to an inner address after the check leads nowhere."""
    asked = []
    real = socket.getaddrinfo

    def rebinding(host: Any, *args: Any, **options: Any) -> Any:
        if host == "rebinding.example":
            asked.append(host)
            host = "127.0.0.1"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    allow = AllowList(hosts=("rebinding.example",), networks=("127.0.0.1/32",))
    with WebReceiver() as receiver:
        post(receiver.url.replace("localhost", "rebinding.example"), allow=allow)
    assert len(asked) == 1
    assert receiver.received[0].headers["host"].startswith("rebinding.example:")


def test_a_secret_has_to_be_one() -> None:
    for secret, why in (("whsec_!!", "written as whsec_"), ("whsec_c2hvcnQ=", "fewer than 24")):
        with pytest.raises(BadInputError, match=why):
            signing_key(secret)
    with pytest.raises(ValueError, match="network"):
        AllowList(networks=("everywhere",))
