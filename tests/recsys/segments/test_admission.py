"""Who of a segment may be written to: whenever anything is in doubt, nobody."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.schema import TABLES
from features.tombstones import Tombstones
from recsys.segments.admission import (
    CAPPED,
    ERASED,
    NO_CONSENT,
    NO_RECORD,
    RULES,
    SUPPRESSED,
    Admission,
    AdmissionTables,
    FrequencyCap,
    admit,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CAP = FrequencyCap(max_contacts=2, days=7)


def _tables(
    users: dict[str, list[str] | None] | None = None,
    *,
    suppressions: list[tuple[str, str | None, datetime | None]] | None = None,
    contacts: list[tuple[str, str, datetime]] | None = None,
    erased: set[str] | None = None,
) -> AdmissionTables:
    users = {"a": ["email"]} if users is None else users
    suppressed = [
        {"suppression_id": str(n), "user_id": u, "channel": c, "reason": "complaint", "until": t}
        for n, (u, c, t) in enumerate(suppressions or [])
    ]
    contacted = [
        {"contact_id": str(n), "user_id": u, "channel": c, "contacted_at": t}
        for n, (u, c, t) in enumerate(contacts or [])
    ]
    return AdmissionTables(
        users=pl.LazyFrame(
            {"user_id": list(users), "consents": list(users.values())},
            schema={"user_id": pl.String, "consents": pl.List(pl.String)},
        ),
        suppressions=_rows("suppressions", suppressed),
        contacts=_rows("contacts", contacted),
        tombstones=Tombstones.holding(erased or set()),
    )


def _rows(table: str, rows: list[dict[str, object]]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=TABLES[table].create_empty().schema).lazy()


def _admit(
    tables: AdmissionTables, *members: str, channel: str = "email", caps: FrequencyCap | None = CAP
) -> Admission:
    return admit(tables, pl.Series(members, dtype=pl.String), channel=channel, at=NOW, caps=caps)


def test_exactly_users_without_a_record_of_consent_give_no_rows() -> None:
    tables = _tables({"no channels": [], "null": None, "other channel": ["sms"]})

    admission = _admit(tables, "unknown", "no channels", "null", "other channel")

    assert len(admission.user_ids) == 0
    assert admission.dropped == dict.fromkeys(RULES, 0) | {NO_RECORD: 2, NO_CONSENT: 2}


def test_who_agreed_is_admitted_once_and_sorted() -> None:
    tables = _tables({"b": ["sms", "email"], "a": ["email"], "not asked": ["email"]})

    assert _admit(tables, "b", "a", "b").user_ids.to_list() == ["a", "b"]


@pytest.mark.parametrize("said", ["Email", "email ", "e-mail", "email.marketing"])
def test_consent_to_another_name_is_none(said: str) -> None:
    assert _admit(_tables({"a": [said]}), "a").dropped[NO_CONSENT] == 1


def test_of_several_records_all_have_to_agree() -> None:
    one = _tables({"a": ["email"]})
    users = pl.concat([one.users, one.users.with_columns(consents=pl.lit(["sms"]))])
    tables = AdmissionTables(
        users=users,
        suppressions=one.suppressions,
        contacts=one.contacts,
        tombstones=one.tombstones,
    )

    assert _admit(tables, "a").dropped[NO_CONSENT] == 1


@pytest.mark.parametrize(
    ("channel", "until", "is_out"),
    [
        ("email", None, True),
        (None, None, True),
        (" EMAIL ", None, True),
        ("sms", None, False),
        ("email", NOW + timedelta(microseconds=1), True),
        ("email", NOW, False),
    ],
)
def test_suppression(channel: str | None, until: datetime | None, is_out: bool) -> None:
    admission = _admit(_tables(suppressions=[("a", channel, until)]), "a")

    assert admission.dropped[SUPPRESSED] == int(is_out)
    assert len(admission.user_ids) == int(not is_out)


@pytest.mark.parametrize(
    ("days_ago", "is_out"), [([1, 2], True), ([1], False), ([1, 7], False), ([1, -2], True)]
)
def test_frequency_cap(days_ago: list[int], is_out: bool) -> None:
    contacts = [("a", "email", NOW - timedelta(days=days)) for days in days_ago]

    assert _admit(_tables(contacts=contacts), "a").dropped[CAPPED] == int(is_out)
    assert _admit(_tables(contacts=contacts), "a", caps=None).dropped[CAPPED] == 0


def test_contacts_of_other_channels_do_not_count() -> None:
    contacts = [("a", "sms", NOW - timedelta(days=1))] * 2

    assert _admit(_tables(contacts=contacts), "a").user_ids.to_list() == ["a"]


def test_erased_users_are_out_even_with_a_record() -> None:
    admission = _admit(_tables({"a": ["email"], "b": ["email"]}, erased={"a"}), "a", "b")

    assert admission.user_ids.to_list() == ["b"]
    assert admission.dropped[ERASED] == 1


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="channel is empty"):
        _admit(_tables(), "a", channel=" ")
    with pytest.raises(ValueError, match="1 ids of members are null"):
        admit(_tables(), pl.Series(["a", None]), channel="email", at=NOW, caps=None)
    with pytest.raises(ValueError, match="at least 1 contact"):
        FrequencyCap(max_contacts=0, days=1)


_IDS = st.sampled_from([f"u{n}" for n in range(6)])
_CHANNELS = st.sampled_from(["email", "sms"])


@settings(max_examples=60, deadline=None)
@given(
    users=st.dictionaries(_IDS, st.none() | st.lists(_CHANNELS, max_size=2)),
    suppressions=st.lists(st.tuples(_IDS, st.none() | _CHANNELS, st.none()), max_size=4),
    contacts=st.lists(st.tuples(_IDS, _CHANNELS, st.just(NOW - timedelta(days=1))), max_size=8),
    erased=st.sets(_IDS, max_size=2),
    members=st.lists(_IDS, max_size=8),
)
def test_nobody_is_lost_and_nobody_admitted_against_any_rule(
    users: dict[str, list[str] | None],
    suppressions: list[tuple[str, str | None, datetime | None]],
    contacts: list[tuple[str, str, datetime]],
    erased: set[str],
    members: list[str],
) -> None:
    tables = _tables(users, suppressions=suppressions, contacts=contacts, erased=erased)

    admission = _admit(tables, *members)

    admitted = admission.user_ids.to_list()
    assert len(admitted) + sum(admission.dropped.values()) == len(set(members))
    for user in set(members):
        agreed = "email" in (users.get(user) or [])
        quiet = all(u != user or c == "sms" for u, c, _ in suppressions)
        few = sum(u == user and c == "email" for u, c, _ in contacts) < CAP.max_contacts
        assert (user in admitted) == (agreed and quiet and few and user not in erased)
