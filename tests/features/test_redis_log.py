"""What only a log in Redis does: see to its server, outlive it, and keep passwords to itself."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis_server import RedisServer

from features.errors import EventLogError
from features.event_log import Record, redis_disk
from features.event_log.redis_address import RedisAddress
from features.event_log.redis_log import RedisEventLog


def record(key: str, user_id: str = "u1", content: bytes = b"{}") -> Record:
    return Record(kind="event", key=key, user_id=user_id, received_at=1, content=content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server to be ill-treated; what it writes is not compressed, so that it can be searched."""
    with RedisServer(tmp_path, rdbcompression="no") as own:
        yield own


def opened(server: RedisServer, query: str = "") -> RedisEventLog:
    return RedisEventLog(RedisAddress.parse(server.address + query))


def keys(log: RedisEventLog) -> list[str]:
    return [entry.key for entry in log.read(0, 10_000)]


def files_holding(server: RedisServer, sought: bytes) -> list[str]:
    files = (path for path in server.folder.rglob("*") if path.is_file())
    return sorted(path.name for path in files if sought in path.read_bytes())


def test_erased_bytes_are_in_no_file_of_the_server(server: RedisServer) -> None:
    log = opened(server)
    neighbours = [record(f"e{n}") for n in range(5)]
    log.append([*neighbours, record("secret-event", "secret-user", b"secret-content")])
    log.append([record("secret-event-2", "secret-user")])
    assert files_holding(server, b"secret")

    log.erase("secret-user", 5)

    assert files_holding(server, b"secret-event") == files_holding(server, b"secret-content") == []
    log.complete_erasure("secret-user")
    assert files_holding(server, b"secret") == []
    log.close()
    server.stop()
    server.start()
    log = opened(server)
    assert keys(log) == [*(f"e{n}" for n in range(5)), log.name_hash("secret-user")]
    assert log.append([record("x", "secret-user")]) == ["erased"]
    log.close()


def test_erased_bytes_are_in_no_snapshot(server: RedisServer) -> None:
    client = server.client()
    client.config_set("save", "3600 1")
    log = opened(server)
    log.append([record("secret-event")])
    client.save()
    assert "dump.rdb" in files_holding(server, b"secret")

    log.erase("u1", 5)

    assert files_holding(server, b"secret") == []
    log.close()


def test_many_erase_at_once(server: RedisServer) -> None:
    logs = [opened(server) for _ in range(4)]
    logs[0].append([record(f"secret-{n}", f"u{n}") for n in range(12)])
    client = server.client()
    before = client.info("stats")["total_forks"]

    with ThreadPoolExecutor(12) as pool:
        erased = list(pool.map(lambda n: logs[n % 4].erase(f"u{n}", 5), range(12)))

    assert erased == [1] * 12
    assert files_holding(server, b"secret") == []
    assert client.info("stats")["total_forks"] - before < 12
    for log in logs:
        log.close()


def test_an_erasure_whose_files_could_not_be_cleaned_is_done_by_the_next(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(server)
    log.append([record("secret-event")])
    monkeypatch.setattr(redis_disk, "_started", lambda link, command: False)
    monkeypatch.setattr("features.event_log.redis_log.REWRITE_S", -1.0)
    monkeypatch.setattr(redis_disk, "_info", lambda link: {"aof_rewrite_in_progress": "1"})
    with pytest.raises(EventLogError, match=r"still lies in the files .* erase again"):
        log.erase("u1", 5)
    assert [entry.kind for entry in log.read(0, 10)] == ["erasure"]
    monkeypatch.undo()

    assert log.erase("u1", 6) == 0

    assert files_holding(server, b"secret") == []
    log.close()


def test_nothing_deleted_nothing_written_anew(server: RedisServer) -> None:
    log = opened(server)
    before = server.client().info("stats")["total_forks"]
    assert log.erase("nobody", 5) == 0
    assert server.client().info("stats")["total_forks"] == before
    log.close()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"appendonly": "no"}, "appendonly is no; wanted in its redis.conf: appendonly yes"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec; wanted .*: appendfsync always"),
        ({"no-appendfsync-on-rewrite": "yes"}, "no-appendfsync-on-rewrite is yes"),
        (
            {"maxmemory": "1gb", "maxmemory-policy": "allkeys-lru"},
            "maxmemory-policy is allkeys-lru; wanted .*: maxmemory-policy noeviction",
        ),
    ],
)
def test_a_server_that_may_lose_what_it_answered_for_is_refused(
    server: RedisServer, settings: dict[str, str], told: str
) -> None:
    for name, value in settings.items():
        server.client().config_set(name, value)
    with pytest.raises(EventLogError, match=f"may lose what it acknowledged: {told}"):
        opened(server)
    log = opened(server, "?durable=assumed")
    assert log.append([record("a")]) == ["added"]
    log.close()


def test_a_server_that_does_not_say_must_be_vouched_for(server: RedisServer) -> None:
    rules = ["reset", "on", ">hunter2", "~*", "+@all", "-config", "-bgrewriteaof"]
    server.client().execute_command("ACL", "SETUSER", "shop", *rules)
    address = server.address.replace("redis://", "redis://shop:hunter2@")
    with pytest.raises(EventLogError, match=r"does not say .* add durable=assumed") as raised:
        RedisEventLog(RedisAddress.parse(address))
    assert "hunter2" not in str(raised.value)

    log = RedisEventLog(RedisAddress.parse(address + "?durable=assumed"))

    log.append([record("a")])
    assert log.erase("u1", 5) == 1
    log.close()


def test_who_may_not_let_it_write_anew_is_told(server: RedisServer) -> None:
    rules = ["reset", "on", ">pw", "~*", "+@all", "-bgrewriteaof"]
    server.client().execute_command("ACL", "SETUSER", "shop", *rules)
    log = RedisEventLog(RedisAddress.parse(server.address.replace("redis://", "redis://shop:pw@")))
    log.append([record("a")])
    with pytest.raises(EventLogError, match=r"still lies in the files .*bgrewriteaof"):
        log.erase("u1", 5)
    log.close()


def test_a_wrong_password_is_not_shown(server: RedisServer) -> None:
    server.client().config_set("requirepass", "right")
    address = server.address.replace("redis://", "redis://:hunter2@")
    with pytest.raises(EventLogError, match=f"127.0.0.1:{server.port}/0: ") as raised:
        RedisEventLog(RedisAddress.parse(address))
    assert "hunter2" not in str(raised.value)


def test_what_is_no_event_log_is_refused(server: RedisServer) -> None:
    client = server.client()
    client.set("{other}:settings", "text")
    with pytest.raises(EventLogError, match=r"prefix=other: .*WRONGTYPE"):
        opened(server, "?prefix=other")
    client.hset("{next}:settings", mapping={"format": "2", "id": "x", "salt": "00"})
    with pytest.raises(EventLogError, match="no event log of format 1"):
        opened(server, "?prefix=next")


def test_whether_there_is_one_is_told_without_making_it(server: RedisServer) -> None:
    address = RedisAddress.parse(server.address)
    assert not RedisEventLog.is_at(address)
    opened(server).close()
    assert RedisEventLog.is_at(address)
    server.kill()
    with pytest.raises(EventLogError, match="cannot use the event log redis://127"):
        RedisEventLog.is_at(address)


def test_logs_of_two_prefixes_do_not_meet(server: RedisServer) -> None:
    one, two = opened(server, "?prefix=one"), opened(server, "?prefix=two")
    one.append([record("a")])
    assert two.append([record("a")]) == ["added"]
    one.erase("u1", 5)
    assert keys(two) == ["a"]
    one.close()
    two.close()


def test_a_log_outlives_its_server(server: RedisServer) -> None:
    log = opened(server)
    tail = log.tail()
    log.append([record("a")])
    assert [entry.key for entry in tail.poll()] == ["a"]
    server.kill()
    for ask in (lambda: log.append([record("b")]), lambda: log.read(0, 1), tail.poll):
        with pytest.raises(EventLogError, match=f"redis://127.0.0.1:{server.port}/0"):
            ask()

    server.start()

    assert tail.poll() == []
    assert log.append([record("a"), record("b")]) == ["known", "added"]
    assert [entry.key for entry in tail.poll()] == ["b"]
    assert keys(log) == ["a", "b"]
    # And restarted between two calls, without an error in between.
    server.kill()
    server.start()
    assert tail.poll() == []
    assert log.append([record("c")]) == ["added"]
    tail.close()
    log.close()


def test_a_server_restarted_as_one_that_may_lose_it_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(server)
    log.append([record("a")])
    server.stop()
    monkeypatch.setitem(server._settings, "appendfsync", "no")
    server.start()
    with pytest.raises(EventLogError, match="may lose what it acknowledged"):
        log.append([record("b")])
    log.close()


def test_a_server_that_lost_the_log_is_noticed(server: RedisServer) -> None:
    log = opened(server)
    tail = log.tail()
    log.append([record("a")])
    server.client().flushall()
    with pytest.raises(EventLogError, match="not the log that was opened"):
        log.append([record("b")])
    opened(server).close()
    with pytest.raises(EventLogError, match="not the log that was opened"):
        log.append([record("b")])
    server.kill()
    server.start()
    with pytest.raises(EventLogError, match="not the one that was opened"):
        tail.poll()
    tail.close()
    log.close()


def test_a_batch_that_does_not_fit_leaves_nothing_of_itself(server: RedisServer) -> None:
    log = opened(server)
    log.append([record("a")])
    client = server.client()
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] - 1000))
    with pytest.raises(EventLogError, match="maxmemory"):
        log.append([record("b"), record("c")])
    assert keys(log) == ["a"]
    client.config_set("maxmemory", "0")
    assert log.append([record("b"), record("c")]) == ["added", "added"]
    log.close()


def test_a_poll_that_finds_nothing_is_one_command(server: RedisServer) -> None:
    log = opened(server)
    log.append([record("a")])
    tail = log.tail()
    tail.poll()
    client = server.client()
    before = client.info("commandstats")
    for _ in range(10):
        assert tail.poll() == []
    after = client.info("commandstats")
    calls = {
        name: stats["calls"] - before.get(name, {"calls": 0})["calls"]
        for name, stats in after.items()
        if stats["calls"] != before.get(name, {"calls": 0})["calls"]
    }
    assert calls == {"cmdstat_xread": 10, "cmdstat_info": 1}
    tail.close()
    log.close()


def test_what_was_submitted_is_finished_at_the_end(server: RedisServer) -> None:
    log = opened(server)
    waiting = [log.submit([record(f"{n}-{i}") for i in range(50)]) for n in range(100)]
    log.close()
    assert all(done.result(timeout=0) == ["added"] * 50 for done in waiting)
    with pytest.raises(EventLogError, match="closed"):
        log.read(0, 1)


def test_positions_keep_all_their_digits(server: RedisServer) -> None:
    log = opened(server)
    client = server.client()
    client.hset("{sentirec}:settings", "position", str(2**52))
    log.append([record("a"), record("b", "u2")])
    assert [entry.position for entry in log.read(2**52, 10)] == [2**52 + 1, 2**52 + 2]
    log.mark_drained("ingest", 2**52 + 1)
    assert log.drained("ingest") == 2**52 + 1
    assert log.prune(2**52 + 1, before=10) == 1
    assert log.erase("u2", 5) == 1
    assert [entry.position for entry in log.entries_of("u2")] == [2**52 + 3]
    log.close()


def test_nothing_is_left_of_what_is_gone(server: RedisServer) -> None:
    log = opened(server)
    log.append([record(f"e{n}", f"u{n}") for n in range(10)])
    log.prune(5, before=10)
    for n in range(5, 10):
        log.erase(f"u{n}", 5)
        log.complete_erasure(f"u{n}")
    assert {(entry.kind, entry.user_id) for entry in log.read(0, 99)} == {("erased", "")}
    assert log.prune(99, before=10) == 5
    client: redis.Redis = server.client()
    assert sorted(client.scan_iter()) == [
        b"{sentirec}:erased",
        b"{sentirec}:order:erased",
        b"{sentirec}:order:erasure",
        b"{sentirec}:order:event",
        b"{sentirec}:settings",
    ]
    log.close()


def test_a_command_that_is_slow_is_not_sent_twice(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.event_log.redis_link.ANSWER_S", 0.3)
    log = opened(server)
    server.client().execute_command("CLIENT", "PAUSE", "1000", "WRITE")
    started = time.monotonic()
    with pytest.raises(EventLogError, match=r"[Tt]imeout"):
        log.append([record("a")])
    assert time.monotonic() - started < 0.9
    server.client().execute_command("CLIENT", "UNPAUSE")
    assert log.append([record("a"), record("b")]) in (["known", "added"], ["added", "added"])
    assert keys(log) == ["a", "b"]
    log.close()


def test_an_encrypted_server_must_show_who_it_is(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"tls_port": str(port), "tls_auth_clients": "no", "tls_ca_cert_file": certificate}
    settings |= {"tls_cert_file": certificate, "tls_key_file": key}
    (tmp_path / "data").mkdir()
    with RedisServer(tmp_path / "data", **settings):
        address = f"rediss://127.0.0.1:{port}"
        with pytest.raises(EventLogError, match="certificate"):
            RedisEventLog(RedisAddress.parse(address))
        log = RedisEventLog(RedisAddress.parse(f"{address}?ssl_ca_certs={certificate}"))
        assert log.append([record("a")]) == ["added"]
        tail = log.tail()
        assert [entry.key for entry in tail.poll()] == ["a"]
        tail.close()
        log.close()


def self_signed(folder: Path) -> tuple[str, str]:
    """Files of a certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")
