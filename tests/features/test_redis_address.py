import pytest

from features.errors import EventLogError
from features.event_log.redis_address import RedisAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://shop", RedisAddress(host="shop")),
        (
            "redis://anna:p%2Fw@10.0.0.1:7000/3?prefix=shop-2&durable=assumed",
            RedisAddress(
                host="10.0.0.1",
                port=7000,
                database=3,
                username="anna",
                password="p/w",
                prefix="shop-2",
                is_assumed_durable=True,
            ),
        ),
        (
            "rediss://:pw@[::1]/?ssl_ca_certs=/etc/ca.pem",
            RedisAddress(
                host="::1",
                password="pw",
                is_encrypted=True,
                tls_files=(("ssl_ca_certs", "/etc/ca.pem"),),
            ),
        ),
    ],
)
def test_an_address_says_where_the_log_is(text: str, expected: RedisAddress) -> None:
    assert RedisAddress.parse(text) == expected


def test_shown_an_address_has_no_password() -> None:
    address = RedisAddress.parse("rediss://anna:hunter2@[::1]:7000/3?prefix=shop-2")
    assert str(address) == "rediss://[::1]:7000/3?prefix=shop-2"
    assert "hunter2" not in repr(address)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hunter2", "is of another kind"),
        ("hunter2@host:6379", "is of another kind"),
        ("http://:hunter2@host", "is of another kind"),
        ("redis://:hunter2/x@host:6379/0", "cannot be read"),
        ("redis://:hunter2#x@host:6379/0", "cannot be read"),
        ("redis://:6379/0", "names no host"),
        ("redis://host/hunter2", "a database that is no number"),
        ("redis://host:99999/0", "cannot be read"),
        ("redis://host/0?password=hunter2", "an option that is unknown; known are prefix, durable"),
        ("redis://host/0?ssl_ca_certs=x", "an option that is unknown"),
        ("redis://host/0?prefix={hunter2}", "a prefix that is not"),
        ("redis://host/0?durable=no", "durable=assumed"),
        ("redis://host/0#hunter2", "a part after #"),
    ],
)
def test_what_is_no_address_is_told_without_its_text(text: str, told: str) -> None:
    with pytest.raises(EventLogError, match=told) as raised:
        RedisAddress.parse(text)
    assert "wanted is redis://" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
