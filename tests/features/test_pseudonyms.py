"""Keys, names and seals: against HMAC and HKDF by hand, and against whoever has another key."""

import hashlib
import hmac
from pathlib import Path

import polars as pl
import pytest
from rows import events, items

from features.errors import PseudonymKeyError, StoreError
from features.personal import PERSONAL, read_personal, sealed
from features.pseudonyms import KEY_VARIABLE, Pseudonyms, begin, check
from features.quarantine import QUARANTINE_SCHEMA
from features.store import Store

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
OURS = Pseudonyms.of_secret(SECRET)
PEOPLE = pl.DataFrame(
    {
        "user_id": [OURS.of("anna"), OURS.of("bert")],
        "plain_id": ["anna", "bert"],
        "email": ["anna@example.org", None],
        "phone": [None, "+49 1"],
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "shop")


def by_hand(kind: str, name: str) -> str:
    extracted = hmac.digest(b"\x00" * 32, SECRET, hashlib.sha256)
    key = hmac.digest(extracted, b"sentirec pseudonyms\x01", hashlib.sha256)
    return hmac.digest(key, kind.encode() + b"\x00" + name.encode(), hashlib.sha256).hex()[:32]


def test_a_pseudonym_is_the_hmac_of_a_derived_key() -> None:
    assert OURS.of("anna") == by_hand("user_id", "anna")
    assert OURS.of("安娜") == by_hand("user_id", "安娜")
    assert len({OURS.of("anna"), OURS.of("Anna"), Pseudonyms.of_secret(OTHER).of("anna")}) == 3


def test_frames_are_named_column_by_column_and_null_stays_null() -> None:
    frame = pl.DataFrame(
        {"user_id": ["a", None, "a"], "review_id": ["a", "b", "c"], "item_id": ["a", "b", "c"]}
    )
    named = OURS.named(frame)
    assert named["user_id"].to_list() == [OURS.of("a"), None, OURS.of("a")]
    assert named["review_id"][0] == by_hand("review_id", "a") != OURS.of("a")
    assert named["item_id"].to_list() == ["a", "b", "c"]
    assert OURS.named(frame.clear()).schema == frame.schema


def test_the_key_shows_nowhere() -> None:
    shown = f"{OURS!r} {OURS} {OURS.fingerprint}"
    assert SECRET.hex() not in shown
    assert str(SECRET) not in shown


def test_the_environment_comes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET.hex() + "\n")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert Pseudonyms.read(file) == OURS
    monkeypatch.setenv(KEY_VARIABLE, OTHER.hex().upper())
    assert Pseudonyms.read(file) == Pseudonyms.of_secret(OTHER)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the key of pseudonyms in"),
        ("not hexadecimal", "is no hexadecimal"),
        (SECRET.hex()[:-2], "has 31 bytes, fewer than 32"),
        ("", "has 0 bytes"),
    ],
)
def test_a_file_that_is_no_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, message: str
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(PseudonymKeyError, match=message):
        Pseudonyms.read(tmp_path / "key")
    with pytest.raises(PseudonymKeyError, match="pseudonyms need a key"):
        Pseudonyms.read()


def test_a_store_holds_plain_ids_or_those_of_one_key(store: Store, tmp_path: Path) -> None:
    check(store, None)
    begin(store, OURS)
    begin(store, OURS)
    assert len(store.scan("pseudonym_key").collect()) == 1
    with pytest.raises(StoreError, match="pseudonyms of another key"):
        check(store, Pseudonyms.of_secret(OTHER))
    with pytest.raises(StoreError, match="holds pseudonyms: say"):
        begin(store, None)
    plain = Store(tmp_path / "plain")
    plain.append("events", events({"user_id": "anna", "item_id": "a", "day": 1}))
    plain.append("quarantine/users", QUARANTINE_SCHEMA.to_frame())
    with pytest.raises(StoreError, match=r"holds plain ids \(events, quarantine/users\)"):
        begin(plain, OURS)
    things = Store(tmp_path / "things")
    things.append("items", items({"item_id": "a"}))
    begin(things, OURS)


def test_who_only_names_cannot_open(store: Store) -> None:
    store.append(PERSONAL, sealed(PEOPLE, OURS))
    namer = OURS.naming_only()
    assert namer.of("anna") == OURS.of("anna")
    assert namer.fingerprint == OURS.fingerprint
    with pytest.raises(StoreError, match="not open what is sealed"):
        read_personal(store, namer)


def test_what_is_sealed_opens_with_the_key_and_is_not_there_in_the_clear(store: Store) -> None:
    assert read_personal(store, OURS).is_empty()
    store.append(PERSONAL, sealed(PEOPLE, OURS))
    assert read_personal(store, OURS).sort("plain_id").equals(PEOPLE)
    some = read_personal(store, OURS, PEOPLE.head(1))
    assert some["plain_id"].to_list() == ["anna"]
    closed = store.scan(PERSONAL).collect()["sealed"]
    assert not any(b"anna" in row or b"email" in row for row in closed)
    assert len(set(sealed(pl.concat([PEOPLE, PEOPLE]), OURS)["sealed"])) == 4


def test_a_seal_breaks_by_another_key_another_owner_or_a_changed_byte(store: Store) -> None:
    rows = sealed(PEOPLE, OURS)
    swapped = rows.with_columns(user_id=pl.col("user_id").reverse())
    flipped = [bytes([row[0] ^ 1]) + row[1:] for row in rows["sealed"]]
    for wrong in (swapped, rows.with_columns(pl.Series("sealed", flipped))):
        store.overwrite(PERSONAL, wrong)
        with pytest.raises(StoreError, match="is damaged, or of another key"):
            read_personal(store, OURS)
    store.overwrite(PERSONAL, rows)
    with pytest.raises(StoreError, match="is damaged, or of another key"):
        read_personal(store, Pseudonyms.of_secret(OTHER))
