"""`sentirec segments` over a small shop, as marketers see it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from features.erasure import erase_user
from features.pseudonyms import Pseudonyms
from features.store import Store
from jobs.cli import app
from jobs.errors import BadInputError
from jobs.ingest_tables import ingest
from jobs.segment_options import open_segments
from jobs.segment_priority import members_by_priority
from recsys.errors import SegmentError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DEFINITIONS = """
[segments.buyers]
description = "Bought anything."
where = { events = "purchase" }

[segments.guitarists]
description = "Bought a guitar of late and spent little."
extends = "buyers"
parameters = { most = 50 }
where = { all = [
  { events = "purchase", category = "Guitars", last_days = 30 },
  { profile = "spend_cents", at_most = "$most" },
  { contacts = "count", last_days = 14, equals = 0 },
] }
"""


def _day(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


@pytest.fixture
def shop(tmp_path: Path) -> Store:
    """100 users who bought a guitar or a lamp; every second of the first 90 agreed to e-mail."""
    users = ["user_id,country,consents"]
    events = ["event_id,user_id,item_id,event_type,event_time"]
    for n in range(100):
        said = "" if n >= 90 else ("email|sms" if n % 2 == 0 else "sms")
        users.append(f"u{n:02d},DE,{said}")
        events.append(f"e{n},u{n:02d},{'guitar' if n < 60 else 'lamp'},purchase,{_day(n % 60 + 1)}")
    events.append(f"last,u99,lamp,view,{_day(0.5)}")
    files = {
        "users.csv": users,
        "events.csv": events,
        "items.csv": ["item_id,categories", "guitar,Music|Guitars", "lamp,Home|Lamps"],
        "contacts.csv": ["user_id,channel,contacted_at", f"u02,email,{_day(3)}"],
        "suppressions.csv": ["user_id,channel,reason", "u04,,complaint"],
    }
    store = Store(tmp_path / "shop")
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    report = ingest(store, [tmp_path / name for name in files], now=NOW)
    assert not report.errors
    assert not any(counts.quarantined for counts in report.tables.values())
    profiles = pl.DataFrame({"user_id": [f"u{n:02d}" for n in range(100)]}).with_columns(
        as_of=pl.lit(NOW - timedelta(days=1)), spend_cents=pl.int_range(100).cast(pl.Float64)
    )
    store.overwrite("user_profiles", profiles)
    (tmp_path / "own.toml").write_text(DEFINITIONS)
    return store


def _run(shop: Store, *arguments: str) -> Result:
    place = str(Path(shop.root).parent / "own.toml")
    more = [] if arguments[0] == "list" else ["--store", shop.root]
    return CliRunner().invoke(app, ["segments", *arguments, "--definitions", place, *more])


def _json(shop: Store, *arguments: str) -> dict[str, Any]:
    result = _run(shop, *arguments, "--json", "-")
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def test_a_list_names_own_and_shipped_segments(shop: Store) -> None:
    found = {row["name"]: row for row in _json(shop, "list")["segments"]}

    assert found["guitarists"]["extends"] == "buyers"
    assert found["guitarists"]["tables"] == ["contacts", "events", "items", "user_profiles"]
    assert len(found["guitarists"]["version"]) == 64
    assert found["likely-satisfied-with"]["version"] is None
    assert found["likely-satisfied-with"]["needs_values"] == ["item"]
    assert found["rfm-champions"]["source"] == "library"


def test_a_preview_counts_after_each_gate(shop: Store) -> None:
    found = _json(shop, "preview", "guitarists")

    # Bought 1 to 30 days ago (u00 to u29, as of half a day before now), less who was written to.
    assert found["matched"] == 29
    assert found["everybody"] == 100
    email = found["channels"]["email"]
    assert email["dropped"]["no consent"] == 15
    assert email["dropped"]["suppressed"] == 1
    assert email["left"] == 29 - 15 - 1
    assert found["channels"]["sms"]["left"] == 28


def _config(shop: Store, text: str) -> list[str]:
    path = Path(shop.root).parent / "sentirec.toml"
    path.write_text(text)
    return ["--config", str(path)]


def test_a_sample_is_of_users_who_may_be_written_to_under_names_of_one_run(shop: Store) -> None:
    config = _config(shop, "[segments]\nmin_size = 10\n")
    asked = ["preview", "guitarists", "--channel", "email", "--sample", "100", *config]

    first, second = _json(shop, *asked), _json(shop, *asked)

    assert first["of_members"]["spend_cents"]["mean"] == pytest.approx(sum({*range(30)} - {2}) / 29)
    # Spending is the number of the user: an even one agreed to e-mail, u04 complained.
    spent = sorted(row["spend_cents"] for row in first["sample"])
    assert spent == [n for n in range(0, 30, 2) if n not in (2, 4)]
    names = {row["user"] for row in first["sample"]}
    assert len(names) == 13
    assert not names & {f"u{n:02d}" for n in range(100)}
    assert not names & {row["user"] for row in second["sample"]}
    of_all = _json(shop, "preview", "guitarists", "--sample", "100", *config)["sample"]
    assert len(of_all) == 28


def test_nothing_is_told_of_few(shop: Store) -> None:
    matched = _json(shop, "preview", "guitarists")
    config = _config(shop, "[segments]\nmin_size = 20\n")
    admitted = _json(shop, "preview", "guitarists", "--channel", "email", *config)

    assert matched["matched"] == 29
    assert matched["of_members"] == {}
    assert matched["sample"] == []
    assert "29 users match, fewer than 50" in matched["notes"][0]
    assert admitted["of_members"]
    assert admitted["sample"] == []
    assert "13 users may be written to, fewer than 20" in admitted["notes"][0]


def test_parameters_and_caps_and_holdouts_of_the_configuration(shop: Store, tmp_path: Path) -> None:
    config = tmp_path / "sentirec.toml"
    config.write_text(
        "[segments.caps.email]\nmax_contacts = 1\ndays = 7\n"
        "[segments.holdout]\nshare = 0.5\nsalt = 's'\n"
    )

    few = _json(shop, "preview", "guitarists", "--set", "most=9")
    email = _json(shop, "preview", "buyers", "--config", str(config))["channels"]["email"]

    assert few["matched"] == 9
    assert email["dropped"]["frequency cap"] == 1
    assert 0 < email["held_out"] < 43
    assert email["held_out"] + email["left"] == 45 - 2


def test_users_without_a_record_of_consent_give_nobody(shop: Store) -> None:
    (Path(shop.root).parent / "own.toml").write_text(
        '[segments.silent]\nwhere = { all = [{ events = "purchase", item = "lamp" }, '
        '{ profile = "spend_cents", at_least = 90 }] }'
    )

    found = _json(shop, "preview", "silent", "--channel", "email")

    assert found["matched"] == 10
    assert found["channels"]["email"]["left"] == 0


def test_why_a_user_is_in_or_out(shop: Store) -> None:
    found = _json(shop, "explain-user", "guitarists", "--user", "u04")
    contacted = _json(shop, "explain-user", "guitarists", "--user", "u02", "--channel", "sms")
    stranger = _json(shop, "explain-user", "guitarists", "--user", "nobody")

    assert found["is_in"]
    assert [row["holds"] for row in found["conditions"]] == [True] * 4
    assert found["channels"]["email"]["dropped_by"] == "suppressed"
    assert not contacted["is_in"]
    assert contacted["conditions"][3]["value"] == 1
    assert contacted["channels"] == {"sms": {"dropped_by": None, "held_out": False}}
    assert stranger["conditions"][2]["holds"] is None
    assert stranger["channels"] == {}


def test_overlap_gives_each_user_one_message(shop: Store) -> None:
    found = _json(shop, "overlap", "guitarists", "buyers")
    email = _json(shop, "overlap", "guitarists", "buyers", "--channel", "email")

    assert found["counts"] == [[29, 29], [29, 100]]
    assert found["jaccard"][0][1] == pytest.approx(0.29)
    assert found["kept"] == {"guitarists": 29, "buyers": 71}
    assert email["kept"] == {"guitarists": 13, "buyers": 31}


def test_diff_of_two_versions_and_of_two_moments(shop: Store, tmp_path: Path) -> None:
    old = tmp_path / "old.toml"
    old.write_text(DEFINITIONS.replace("= 50 }", "= 20 }"))

    versions = _json(shop, "diff", "guitarists", "--old", str(old))
    moments = _json(shop, "diff", "buyers", "--since", _day(10))

    assert (versions["enter"], versions["leave"]) == (9, 0)
    assert versions["entering_were_kept_out_by"] == {"spend_cents <= 20": 9}
    assert versions["before"]["version"] != versions["after"]["version"]
    assert moments["leave"] == 0
    assert moments["enter"] == moments["after"]["users"] - moments["before"]["users"] == 20


def test_conditions_that_read_alike_are_counted_apart(shop: Store, tmp_path: Path) -> None:
    old = tmp_path / "old.toml"
    old.write_text(
        '[segments.buyers]\nwhere = { all = [{ events = "view" }, { events = "view" }] }'
    )

    found = _json(shop, "diff", "buyers", "--old", str(old))

    says = "number of 'view' events >= 1"
    assert found["entering_were_kept_out_by"] == {
        f"{says} (condition 1)": 99,
        f"{says} (condition 2)": 99,
    }


def test_own_deliveries_do_not_move_the_moment(shop: Store) -> None:
    before = _json(shop, "preview", "buyers")

    contacts = shop.scan("contacts").collect()
    own = contacts.with_columns(
        contact_id=pl.lit("own"), segment=pl.lit("buyers"), contacted_at=pl.lit(NOW)
    )
    shop.append("contacts", own)
    after_own = _json(shop, "preview", "buyers")
    others = own.with_columns(contact_id=pl.lit("others"), segment=pl.lit(None, pl.String))
    shop.append("contacts", others)
    after_others = _json(shop, "preview", "buyers")

    assert after_own["as_of"] == before["as_of"]
    assert after_own["matched"] == before["matched"] == 100
    assert after_others["as_of"] == (NOW + timedelta(microseconds=1)).isoformat()


def test_a_user_is_left_to_the_first_segment_they_are_in(shop: Store) -> None:
    def chosen(name: str, text: str) -> list[str]:
        config = Path(_config(shop, text)[1])
        opened = open_segments([Path(shop.root).parent / "own.toml"], shop.root, config, None)
        found = members_by_priority(opened, opened.definitions.definition(name))
        return found.to_list()

    first = '[segments]\npriority = ["guitarists", "buyers"]\n'
    guitarists, rest = chosen("guitarists", first), chosen("buyers", first)

    assert len(guitarists) == 29
    assert len(rest) == 71
    assert not set(guitarists) & set(rest)
    assert rest == sorted(rest)
    assert len(chosen("buyers", '[segments]\npriority = ["buyers", "guitarists"]\n')) == 100
    assert len(chosen("buyers", '[segments]\npriority = ["guitarists"]\n')) == 100
    with pytest.raises(BadInputError, match=r"priority: there is no segment guitars; did you mean"):
        chosen("buyers", '[segments]\npriority = ["guitars", "buyers"]\n')
    # What an earlier segment needs has to be there: else nobody could tell whose a user is.
    with pytest.raises(SegmentError, match="run `sentirec outcomes` first"):
        chosen("buyers", '[segments]\npriority = ["at-risk-high-value", "buyers"]\n')


def test_a_list_that_is_kept_up_is_left_what_the_one_before_does_not_take(shop: Store) -> None:
    """Contacts by a list itself count in no condition of it, and do in those of another."""
    own = Path(shop.root).parent / "own.toml"
    quiet = '[segments.quiet]\nwhere = { contacts = "count", last_days = 14, equals = 0 }\n'
    own.write_text(DEFINITIONS + quiet)
    written_to = shop.scan("contacts").collect().clear()
    for number, (user, segment) in enumerate([("u06", "buyers"), ("u08", "quiet")]):
        row = {
            "contact_id": f"c{number}",
            "user_id": user,
            "channel": "email",
            "segment": segment,
            "contacted_at": NOW - timedelta(days=2),
        }
        written_to = written_to.vstack(pl.DataFrame([row], schema=written_to.schema))
    shop.append("contacts", written_to)
    config = Path(_config(shop, '[segments]\npriority = ["quiet", "buyers"]\n')[1])
    opened = open_segments([own], shop.root, config, None)

    def chosen(name: str) -> list[str]:
        asked = replace(opened, uncounted=name)
        return members_by_priority(asked, opened.definitions.definition(name)).to_list()

    # u02 was written to by somebody else.
    assert chosen("buyers") == ["u02", "u06"]
    assert sorted(chosen("quiet") + chosen("buyers")) == [f"u{n:02d}" for n in range(100)]


ODD = """
[segments.a_1-b]
description = "Bought [/dim] [bold]\\\\ and :smile: [link=x]"
parameters = { text = "[/red]", "[/b]" = 3 }
where = { all = [
  { events = "purchase", category = "[/dim]" },
  { user = "country", in = ["$text", "DE"] },
  { profile = "band", equals = "[/y]\\\\" },
] }

[segments.9]
description = ""
where = { user = "country", equals = "DE" }
"""


@pytest.fixture
def odd_shop(tmp_path: Path) -> Store:
    """60 users whose every text looks like markup of a terminal."""
    lines = {
        "users.csv": ["user_id,country,consents", *(f"[/u{n}],DE,sms|[/e]" for n in range(60))],
        "events.csv": [
            "user_id,item_id,event_type,event_time",
            *(f"[/u{n}],[i],purchase,{_day(n % 60 + 1)}" for n in range(60)),
        ],
        "items.csv": ["item_id,categories", "[i],Home|[/dim]"],
    }
    store = Store(tmp_path / "shop")
    for name, content in lines.items():
        (tmp_path / name).write_text("\n".join(content) + "\n")
    report = ingest(store, [tmp_path / name for name in lines], now=NOW)
    assert not report.errors
    assert not any(counts.quarantined for counts in report.tables.values())
    profiles = pl.DataFrame({"user_id": [f"[/u{n}]" for n in range(60)]}).with_columns(
        as_of=pl.lit(NOW - timedelta(days=1)),
        num_purchases=pl.lit(1.0),
        band=pl.lit("[/y]\\"),
    )
    store.overwrite("user_profiles", profiles)
    (tmp_path / "own.toml").write_text(ODD)
    return store


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list"], "Bought [/dim] [bold]"),
        (["preview", "a_1-b", "--channel", "[/e]"], "60 of 60 users"),
        (["preview", "9"], "[/e]"),
        (["overlap", "a_1-b", "9"], "a_1-b"),
        (["overlap", "a_1-b", "9", "--channel", "[/e]"], "60 users"),
        (["diff", "9", "--with", "a_1-b"], "0 enter, 0 leave"),
        (["diff", "9", "--since", _day(20)], "60 users"),
        (["diff", "9", "--old", "old.toml"], "country = '[/z]'"),
        (["explain-user", "a_1-b", "--user", "[/u1]"], "[/u1] is in a_1-b"),
        (["explain-user", "9", "--user", "[/nobody]", "--channel", "[/e]"], "[/nobody] is not in"),
    ],
)
def test_every_command_prints_texts_as_they_are(
    odd_shop: Store, tmp_path: Path, arguments: list[str], told: str
) -> None:
    old = tmp_path / "old.toml"
    old.write_text('[segments.9]\nwhere = { user = "country", equals = "[/z]" }')
    asked = [str(old) if word == "old.toml" else word for word in arguments]

    result = _run(odd_shop, *asked)

    assert result.exception is None
    assert told in result.output


def test_erased_users_are_in_no_segment(shop: Store) -> None:
    erase_user(shop, "u00", now=NOW)

    assert _json(shop, "preview", "guitarists")["matched"] == 28
    assert not _json(shop, "explain-user", "buyers", "--user", "u00")["is_in"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["preview", "guitarist"], "did you mean guitarists?"),
        (["preview", "guitarists", "--set", "most"], "--set wants NAME=VALUE"),
        (["preview", "guitarists", "--set", "mst=1"], "did you mean most?"),
        (["preview", "guitarists", "--channel", " "], "--channel is empty"),
        (["preview", "guitarists", "--as-of", "2026-04-01"], "after the moment"),
        (["preview", "at-risk-high-value"], "run `sentirec outcomes` first"),
        (["preview", "likely-satisfied-with", "--set", "item=guitar"], "needs a live bundle"),
        (["overlap", "buyers"], "2 to 60 different segments"),
        (["diff", "buyers"], "say one of --old FILE, --with SEGMENT and --since TIME"),
        (["diff", "buyers", "--since", "2027-01-01"], "is after"),
    ],
)
def test_what_cannot_be_done_is_said(shop: Store, arguments: list[str], told: str) -> None:
    from jobs.cli import exit_code_of

    result = _run(shop, *arguments)

    assert isinstance(result.exception, Exception)
    assert told in str(result.exception)
    assert exit_code_of(result.exception) == 2


def test_places_of_definitions_that_are_none(shop: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place, told in (("no.toml", "is no file"), ("empty", "has no .toml"), ("shop", "has no")):
        result = CliRunner().invoke(
            app, ["segments", "list", "--definitions", str(tmp_path / place)]
        )
        assert told in str(result.exception)


def test_a_preview_of_before_the_profiles_says_what_it_cannot_tell(shop: Store) -> None:
    found = _json(shop, "preview", "buyers", "--as-of", _day(10))

    assert found["matched"] == 80
    assert found["of_everybody"] == {}
    assert "user_profiles" in found["notes"][0]


def test_a_user_of_a_shop_of_pseudonyms_is_asked_for_by_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIREC_KEY", "ab" * 32)
    config, events, users = (tmp_path / name for name in ("c.toml", "events.csv", "users.csv"))
    config.write_text("[privacy]\npseudonymise = true\n")
    events.write_text(f"user_id,item_id,event_type,event_time\nanna,lamp,purchase,{_day(2)}\n")
    users.write_text("user_id,country,consents\nanna,DE,email\n")
    suppressed = tmp_path / "suppressed.csv"
    suppressed.write_text("user_id,channel,reason\nanna,email,complaint\n")
    store = Store(tmp_path / "shop")
    report = ingest(store, [events, users, suppressed], now=NOW, pseudonyms=Pseudonyms.read())
    assert not report.errors
    (tmp_path / "own.toml").write_text(DEFINITIONS)

    found = _json(store, "explain-user", "buyers", "--user", "anna", "--config", str(config))

    assert found["is_in"]
    assert found["channels"]["email"]["dropped_by"] == "suppressed"
