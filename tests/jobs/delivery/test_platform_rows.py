"""What platforms are told: golden hashes, and nothing of who has no address."""

import csv
import hashlib
from pathlib import Path

import polars as pl
import pytest
from delivery_shop import audience, delivering, people, store_of, suppressed

from features.errors import StoreError
from features.personal import SealedUserWriter
from features.pseudonyms import Pseudonyms, begin
from features.store import Store
from features.traces import find_traces
from jobs.delivery.drafts import NO_ADDRESS
from jobs.delivery.rows import GoogleRows, MetaRows, ProfileRows
from jobs.delivery.section import GoogleSection, MetaSection
from jobs.delivery.target import Target
from jobs.errors import BadInputError

GOLDEN_EMAIL = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"


def person(user: str, email: str | None, phone: str | None, country: str | None) -> pl.DataFrame:
    return people([user]).with_columns(
        email=pl.lit(email, pl.String),
        phone=pl.lit(phone, pl.String),
        country=pl.lit(country, pl.String),
    )


PEOPLE = pl.concat(
    [
        person("whole", "  John_Smith@gmail.com ", "+1 (650) 555-1212", "us"),
        person("email only", "a@example.com", "", ""),
        person("phone only", "", "+16505551212", None),
        person("national phone", None, "650-555-1212", "us"),
        person("nothing", None, None, "de"),
        person("no address", "nobody", "call me", "de"),
    ]
)
IDS = PEOPLE["user_id"]
PLAIN = {GOLDEN_EMAIL, hashlib.sha256(b"+16505551212").hexdigest(), "john_smith@gmail.com"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.append("users", PEOPLE)
    return store


def by_user(frame: pl.DataFrame) -> dict[str, dict[str, str | None]]:
    return {row["user_id"]: row for row in frame.to_dicts()}


def test_google_is_told_golden_hashes_and_the_country_as_it_is(store: Store) -> None:
    rows = by_user(GoogleRows().of(store, IDS, None))
    assert rows["whole"]["Email"] == GOLDEN_EMAIL
    assert str(rows["whole"]["Phone"]).startswith("1e231c66")
    assert rows["whole"]["Phone"] == hashlib.sha256(b"+16505551212").hexdigest()
    assert rows["whole"]["Country"] == "US"
    assert rows["email only"] == {
        "user_id": "email only",
        "Email": hashlib.sha256(b"a@example.com").hexdigest(),
        "Phone": None,
        "First Name": None,
        "Last Name": None,
        "Country": None,
        "Zip": None,
    }
    assert set(rows) == {"whole", "email only", "phone only"}


def test_meta_is_told_golden_hashes(store: Store) -> None:
    rows = by_user(MetaRows().of(store, IDS, None))
    assert rows["whole"]["email"] == GOLDEN_EMAIL
    assert str(rows["whole"]["phone"]).startswith("e323ec62")
    assert rows["whole"]["country"] == hashlib.sha256(b"us").hexdigest()
    assert rows["phone only"]["email"] is None
    assert rows["phone only"]["country"] is None
    assert set(rows) == {"whole", "email only", "phone only"}


@pytest.mark.parametrize(
    ("section", "header"),
    [
        (GoogleSection, "Email,Phone,First Name,Last Name,Country,Zip"),
        (MetaSection, "email,phone,fn,ln,zip,ct,st,country"),
    ],
)
def test_the_file_has_the_header_of_the_platform_and_no_id(
    store: Store, tmp_path: Path, section: type[GoogleSection | MetaSection], header: str
) -> None:
    kind = "google" if section is GoogleSection else "meta"
    made = section.model_validate(
        {"kind": kind, "channel": "email", "folder": str(tmp_path / "out")}
    )
    target = Target(name=kind, destination=made.build("at-risk"), channel="email", min_size=1)
    report = delivering(store).run(audience(IDS.to_list()), target, "export")
    assert report.dropped[NO_ADDRESS] == 3
    (file,) = (tmp_path / "out" / "at-risk").glob("*.csv")
    text = file.read_text()
    assert text.splitlines()[0] == header
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 3
    assert not any(user in text for user in IDS)
    empty = hashlib.sha256(b"").hexdigest()
    assert empty not in text
    manifest = (tmp_path / "out" / "at-risk" / "000001-manifest.json").read_text()
    assert ("membership_days" in manifest) == (kind == "google")
    assert ("fewer than 100" in manifest) == (kind == "meta")


def test_google_keeps_nobody_for_longer_than_it_may() -> None:
    with pytest.raises(ValueError, match="540"):
        GoogleSection.model_validate(
            {"kind": "google", "channel": "email", "folder": "x", "membership_days": 541}
        )


def test_of_a_store_with_pseudonyms_addresses_and_ids_need_the_key(tmp_path: Path) -> None:
    store, pseudonyms = Store(tmp_path / "store"), Pseudonyms.of_secret(bytes(range(32)))
    begin(store, pseudonyms)
    writer = SealedUserWriter(store, pseudonyms)
    rows = PEOPLE.with_row_index("source_line")
    writer.accept(rows, PEOPLE.columns, is_stub=False)
    writer.end_file()
    stored = store.scan("users").collect()["user_id"]
    assert set(stored).isdisjoint(IDS)
    whole = pseudonyms.of("whole")
    assert by_user(GoogleRows().of(store, stored, pseudonyms))[whole]["Email"] == GOLDEN_EMAIL
    named = by_user(ProfileRows(ids="plain").of(store, stored, pseudonyms))
    assert named[whole]["id"] == "whole"
    assert by_user(ProfileRows().of(store, stored, None))[whole]["id"] == whole
    for rows in (GoogleRows(), MetaRows(), ProfileRows(ids="plain")):
        with pytest.raises(BadInputError, match="holds pseudonyms"):
            rows.of(store, stored, None)


def test_columns_that_no_profile_has_are_named(store: Store) -> None:
    with pytest.raises(StoreError, match="run `sentirec profiles`"):
        ProfileRows(columns=("num_orders",)).of(store, IDS, None)


def test_a_changed_address_of_who_withdraws_is_taken_off_as_it_was_told(tmp_path: Path) -> None:
    users = [f"user-{number}" for number in range(4)]
    store = store_of(tmp_path, users)
    made = GoogleSection.model_validate(
        {"kind": "google", "channel": "email", "folder": str(tmp_path / "out")}
    )
    target = Target(
        name="ads", destination=made.build("at-risk"), channel="email", min_size=1, is_contact=False
    )
    delivering(store).run(audience(users), target, "sync")
    changed = people(["user-1"]).with_columns(email=pl.lit("new@example.com"))
    store.upsert("users", changed, ["user_id"])

    def withdraw(stage: str) -> None:
        if stage == "ask for consent again":
            store.append("suppressions", suppressed("user-1"))

    delivering(store, on_stage=withdraw).run(audience(users), target, "sync")
    removed = list((tmp_path / "out").rglob("*-removed.csv"))[-1].read_text()
    assert hashlib.sha256(b"user-1@example.com").hexdigest() in removed
    everything = "".join(file.read_text() for file in (tmp_path / "out").rglob("*.csv"))
    assert hashlib.sha256(b"new@example.com").hexdigest() not in everything


def test_an_address_that_a_suppressed_person_has_too_is_not_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, ["one", "twin", "other"])
    both = people(["one", "twin"]).with_columns(email=pl.lit("shared@example.com"))
    store.upsert("users", both, ["user_id"])
    rows = GoogleRows().of(store, pl.Series(["one", "other", "twin"]), None)
    assert rows["user_id"].to_list() == ["one", "other"], "the platform knows one address"
    store.append("suppressions", suppressed("twin"))
    rows = GoogleRows().of(store, pl.Series(["one", "other"]), None)
    assert rows["user_id"].to_list() == ["other"]


def test_a_store_with_pseudonyms_remembers_what_was_told_under_seal(tmp_path: Path) -> None:
    store, pseudonyms = Store(tmp_path / "store"), Pseudonyms.of_secret(bytes(range(32)))
    begin(store, pseudonyms)
    writer = SealedUserWriter(store, pseudonyms)
    writer.accept(PEOPLE.with_row_index("source_line"), PEOPLE.columns, is_stub=False)
    writer.end_file()
    stored = store.scan("users").collect()["user_id"].sort()
    made = GoogleSection.model_validate(
        {"kind": "google", "channel": "email", "folder": str(tmp_path / "out")}
    )
    target = Target(
        name="ads", destination=made.build("at-risk"), channel="email", min_size=1, is_contact=False
    )
    hand_over = delivering(store, pseudonyms=pseudonyms)
    hand_over.run(audience(stored.to_list()), target, "sync")
    assert not any(trace.file.endswith(".parquet") for trace in find_traces(store.path(), PLAIN))
    again = hand_over.run(audience(stored.to_list()), target, "sync")
    assert again.delivery is None
    third = hand_over.run(audience(stored.to_list()[:-1]), target, "sync")
    assert third.delivery is None or third.delivery.operation == "update"
