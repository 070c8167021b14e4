"""Hashes that are taken over of files that nobody has touched, and of no others."""

import hashlib
import os
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from recsys.bundle_hashes import HashedFile, hash_files

CONTENTS = {"a.bin": b"a" * 3_000_000, "arrays/b.npy": b"b", "empty": b"", "manifest": b"{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "arrays").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files tell of another change at once."""
    monkeypatch.setattr("recsys.bundle_hashes._SETTLED_AFTER_S", 0)


def poisoned(hashed: dict[str, HashedFile]) -> dict[str, HashedFile]:
    """Return hashes that are wrong, so that it shows who takes them over."""
    return {
        name: HashedFile(sha256=f"taken over {name}", stamp=file.stamp)
        for name, file in hashed.items()
    }


def taken_over(folder: Path, known: dict[str, HashedFile]) -> set[str]:
    found = hash_files(folder, known=known)
    return {name for name, file in found.items() if file.sha256 == f"taken over {name}"}


def test_hashes_are_those_of_the_contents(folder: Path) -> None:
    found = hash_files(folder, skipped=["manifest"])
    assert list(found) == ["a.bin", "arrays/b.npy", "empty"]
    for name, file in found.items():
        assert file.sha256 == hashlib.sha256(CONTENTS[name]).hexdigest()


@pytest.mark.usefixtures("is_settled")
def test_untouched_files_are_not_read_again(folder: Path) -> None:
    known = poisoned(hash_files(folder))
    assert taken_over(folder, known) == set(CONTENTS)
    (folder / "a.bin").read_bytes()
    assert taken_over(folder, known) == set(CONTENTS)


def rewrite(path: Path) -> None:
    path.write_bytes(b"c" * path.stat().st_size)


def rewrite_with_old_times(path: Path) -> None:
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.usefixtures("is_settled")
@pytest.mark.parametrize("touch", [rewrite, rewrite_with_old_times, replace, lengthen])
def test_a_touched_file_is_hashed_again(folder: Path, touch) -> None:
    known = poisoned(hash_files(folder))
    touch(folder / "a.bin")
    assert taken_over(folder, known) == set(CONTENTS) - {"a.bin"}
    content = (folder / "a.bin").read_bytes()
    found = hash_files(folder, known=known)
    assert found["a.bin"].sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("is_settled")
def test_a_copy_of_a_folder_is_hashed_for_itself(folder: Path) -> None:
    known = poisoned(hash_files(folder))
    copy = folder / "copy"
    copy.mkdir()
    (copy / "a.bin").write_bytes(CONTENTS["a.bin"])
    assert not taken_over(copy, known)


def test_what_was_written_just_now_is_trusted_to_nobody(folder: Path) -> None:
    found = hash_files(folder)
    assert {file.stamp for file in found.values()} == {None}
    assert not taken_over(folder, poisoned(found))


def test_hashing_can_be_broken_off(folder: Path) -> None:
    ended = threading.Event()
    ended.set()
    with pytest.raises(CancelledError):
        hash_files(folder, ended=ended)
