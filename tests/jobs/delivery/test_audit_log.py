"""The audit log: any change of it is found."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.delivery.audit_log import AuditLog
from jobs.errors import TamperedLogError

KEY = bytes(range(32))


def written(folder: Path, key: bytes | None = None, entries: int = 4) -> AuditLog:
    log = AuditLog(path=folder / "exports.jsonl", key=key)
    for number in range(entries):
        log.append({"kind": "delivered", "who": "möller", "size": 100 + number})
    return log


@pytest.mark.parametrize("key", [None, KEY])
def test_what_was_written_is_read_and_fits(tmp_path: Path, key: bytes | None) -> None:
    log = written(tmp_path, key)
    assert log.verify() == 4
    assert [entry["size"] for entry in log.entries()] == [100, 101, 102, 103]
    assert [entry["entry"] for entry in log.entries()] == [1, 2, 3, 4]
    assert AuditLog(path=tmp_path / "none.jsonl").verify() == 0


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    log = written(tmp_path_factory.mktemp("log"), entries=2)
    content = bytearray(log.path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    log.path.write_bytes(bytes(content))
    with pytest.raises(TamperedLogError, match=r"line \d|taken away"):
        log.verify()


def drop(number: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: lines[:number] + lines[number + 1 :]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drop(0), "line 1"),
        (drop(1), "line 2"),
        (drop(3), "lines were taken away"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1"),
        (lambda lines: [*lines[:2], lines[3], lines[2]], "line 3"),
        (lambda lines: [*lines, lines[-1]], "line 5"),
        (lambda lines: [lines[0], b"{}", *lines[1:]], "line 2: it is no entry"),
        (lambda lines: [b"[]", *lines[1:]], "line 1: it is no entry"),
        (lambda lines: [lines[0], lines[1].replace(b",", b", ", 1), *lines[2:]], "line 2"),
        (lambda lines: [], "taken away"),
    ],
)
@pytest.mark.parametrize("key", [None, KEY])
def test_dropped_swapped_doubled_and_rewritten_lines_are_found(
    tmp_path: Path,
    change: Callable[[list[bytes]], list[bytes]],
    why: str,
    key: bytes | None,
) -> None:
    log = written(tmp_path, key)
    lines = log.path.read_bytes().splitlines()
    log.path.write_bytes(b"".join(line + b"\n" for line in change(lines)))
    with pytest.raises(TamperedLogError, match=why):
        log.verify()


def test_nothing_is_added_to_a_log_that_does_not_fit(tmp_path: Path) -> None:
    log = written(tmp_path)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(TamperedLogError, match="do not fit"):
        log.append({"kind": "delivered"})
    log.path.unlink()
    with pytest.raises(TamperedLogError, match="is empty and its head is not"):
        log.append({"kind": "delivered"})


def test_with_a_key_nobody_else_can_write_a_log_that_fits(tmp_path: Path) -> None:
    log = written(tmp_path, KEY)
    forged = AuditLog(path=log.path)
    with pytest.raises(TamperedLogError, match="of another key"):
        forged.append({"kind": "delivered"})
    with pytest.raises(TamperedLogError, match="of another key"):
        forged.verify()
    head = tmp_path / "exports.jsonl.head"
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:3]))
    end = json.loads(lines[2])["hash"]
    head.write_text(json.dumps({"count": 3, "hash": end, "check": end}))
    with pytest.raises(TamperedLogError, match="was changed, or is of another key"):
        log.verify()


def test_a_kill_while_writing_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    log = written(tmp_path)
    head = tmp_path / "exports.jsonl.head"
    before = head.read_bytes()
    log.append({"kind": "delivered", "size": 1})
    head.write_bytes(before)
    assert log.verify() == 5, "the line was written, the head was not"
    log.append({"kind": "delivered", "size": 2})
    with log.path.open("ab") as file:
        file.write(b'{"kind": "deliv')
    log.append({"kind": "delivered", "size": 3})
    assert [entry.get("size") for entry in log.entries()][4:] == [1, 2, 3]
