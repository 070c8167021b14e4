"""The audit log: any change of it is found."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    assert len(log.entries()) == 4
    assert [entry["size"] for entry in log.entries()] == [100, 101, 102, 103]
    assert [entry["entry"] for entry in log.entries()] == [1, 2, 3, 4]
    assert AuditLog(path=tmp_path / "none.jsonl").entries() == []


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    log = written(tmp_path_factory.mktemp("log"), entries=2)
    content = bytearray(log.path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    log.path.write_bytes(bytes(content))
    with pytest.raises(TamperedLogError, match=r"line \d|taken away"):
        log.entries()


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
        log.entries()


def test_nothing_is_added_to_a_log_that_does_not_fit(tmp_path: Path) -> None:
    log = written(tmp_path)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(TamperedLogError, match="lines were taken away"):
        log.append({"kind": "delivered"})
    log.path.unlink()
    with pytest.raises(TamperedLogError, match="lines were taken away"):
        log.append({"kind": "delivered"})
    assert not log.path.exists()


def test_with_a_key_nobody_else_can_write_a_log_that_fits(tmp_path: Path) -> None:
    log = written(tmp_path, KEY)
    forged = AuditLog(path=log.path)
    with pytest.raises(TamperedLogError, match="of another key"):
        forged.append({"kind": "delivered"})
    with pytest.raises(TamperedLogError, match="of another key"):
        forged.entries()
    head = tmp_path / "exports.jsonl.head"
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:3]))
    end = json.loads(lines[2])["hash"]
    head.write_text(json.dumps({"count": 3, "hash": end, "check": end}))
    with pytest.raises(TamperedLogError, match="was changed, or is of another key"):
        log.entries()


def test_a_kill_while_writing_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    log = written(tmp_path)
    head = tmp_path / "exports.jsonl.head"
    before = head.read_bytes()
    log.append({"kind": "delivered", "size": 1})
    head.write_bytes(before)
    assert len(log.entries()) == 5, "the line was written, the head was not"
    log.append({"kind": "delivered", "size": 2})
    with log.path.open("ab") as file:
        file.write(b'{"kind": "deliv')
    assert len(log.entries()) == 6, "half a line was acknowledged to nobody"
    log.append({"kind": "delivered", "size": 3})
    assert [entry.get("size") for entry in log.entries()][4:] == [1, 2, 3]


def test_a_kill_at_the_very_first_entry_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    log = written(tmp_path, entries=1)
    line, head = log.path.read_bytes(), tmp_path / "exports.jsonl.head"
    for left in (b"", line[:20], line):
        head.unlink()
        log.path.unlink()
        begun = AuditLog(path=log.path)
        begun.append({"kind": "delivered"})
        first = log.path.read_bytes()
        # As if the head of an empty log had been written, and so much of the line.
        log.path.unlink()
        head.unlink()
        begun._mend()
        log.path.write_bytes(first[: len(left)] if left != line else first)
        begun.append({"kind": "delivered"})
        assert len(begun.entries()) == (2 if left == line else 1)


def test_a_log_without_its_head_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    log = written(tmp_path, KEY)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[0])
    (tmp_path / "exports.jsonl.head").unlink()
    for ask in (log.entries, lambda: log.append({"kind": "delivered"})):
        with pytest.raises(TamperedLogError, match=r"head .* is missing"):
            ask()


def test_a_log_is_read_while_others_write(tmp_path: Path) -> None:
    log = written(tmp_path, entries=1)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [log.append({"size": n}) for n in range(40)])
        while not writing.done():
            log.entries()
    assert len(log.entries()) == 41
