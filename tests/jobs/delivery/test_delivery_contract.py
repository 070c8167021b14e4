"""What every destination promises, held against real files, a real database, a real receiver."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl
import pytest
from delivery_places import SECRET, Place, file_place, postgres_place, webhook_place
from web_receiver import WebReceiver

from jobs.delivery.delivery import Delivery, Operation
from jobs.delivery.postgres import PostgresDestination
from jobs.delivery.rows import ProfileRows
from jobs.errors import BadInputError, DeliveryError

if TYPE_CHECKING:
    from postgres_server import PostgresServer

KINDS = ("csv", "parquet", "memory", "postgres", "webhook")
COLUMNS = ("score", "note")
ODD = ["=cmd()", 'quo"te', "comma,", "line\nbreak", "\\N", "你好", " blank ", "'quoted", "NULL"]


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        address = server.database()
        monkeypatch.setenv("TEST_DATABASE", address)
        yield postgres_place(address, "TEST_DATABASE", COLUMNS)
    elif request.param == "webhook":
        monkeypatch.setenv("TEST_SECRET", SECRET)
        with WebReceiver() as receiver:
            yield webhook_place(receiver, "TEST_SECRET", COLUMNS)
    elif request.param == "memory":
        yield file_place(f"memory://{uuid4().hex}", "parquet", COLUMNS)
    else:
        yield file_place(str(tmp_path / "out"), request.param, COLUMNS)


Row = tuple[float | None, str | None]


def frame(rows: dict[str, Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [(user, user, *told) for user, told in rows.items()],
        schema={"user_id": pl.String, "id": pl.String, "score": pl.Float64, "note": pl.String},
        orient="row",
    )


def delivery(
    number: int, operation: Operation, added: dict[str, Row], removed: dict[str, Row], size: int
) -> Delivery:
    key = uuid4().hex
    return Delivery(
        key=key,
        number=number,
        segment="at-risk",
        definition_version="f" * 64,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        operation=operation,
        added=frame(added),
        removed=frame(removed),
        newcomers=frame(added)["user_id"],
        members=pl.Series([f"m{n}" for n in range(size)]),
    )


FIRST: dict[str, Row] = {f"u{n}": (n / 4, f"note {n}") for n in range(8)}


def quiet(stage: str) -> None:
    """Say nothing of stages."""


def test_a_list_is_replaced_updated_and_emptied(place: Place) -> None:
    place.destination.check()
    place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    assert place.held() == FIRST
    gone = {"u0": FIRST["u0"], "u1": FIRST["u1"]}
    new: dict[str, Row] = {"u1": (9.5, None), "u9": (None, "new")}
    place.destination.deliver(delivery(2, "update", new, gone, 8), quiet)
    wanted = {**{user: told for user, told in FIRST.items() if user != "u0"}, **new}
    assert place.held() == wanted
    place.destination.deliver(delivery(3, "update", {}, wanted, 0), quiet)
    assert place.held() == {}
    place.destination.deliver(delivery(4, "replace", {"u5": (1.0, "back")}, {}, 1), quiet)
    assert place.held() == {"u5": (1.0, "back")}
    place.destination.deliver(delivery(5, "replace", {}, {}, 0), quiet)
    assert place.held() == {}


def test_the_same_delivery_again_changes_nothing(place: Place) -> None:
    first = delivery(1, "replace", FIRST, {}, 8)
    second = delivery(2, "update", {"u9": (1.0, "x")}, {"u0": FIRST["u0"]}, 8)
    for _ in range(2):
        place.destination.deliver(first, quiet)
    for _ in range(2):
        place.destination.deliver(second, quiet)
    assert set(place.held()) == {*(f"u{n}" for n in range(1, 8)), "u9"}


def test_every_text_arrives_as_it_is(place: Place) -> None:
    rows: dict[str, Row] = dict.fromkeys(ODD, (0.5, ""))
    place.destination.deliver(delivery(1, "replace", rows, {}, len(rows)), quiet)
    assert set(place.held()) == set(ODD)
    gone = {text: rows[text] for text in ODD[:4]}
    place.destination.deliver(delivery(2, "update", {}, gone, len(ODD) - 4), quiet)
    assert set(place.held()) == set(ODD[4:])


class Killed(BaseException):
    """Stands for the end of the process."""


def test_what_was_interrupted_at_any_stage_is_made_whole_by_trying_again(place: Place) -> None:
    held = FIRST
    place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    kinds: list[tuple[int, Operation]] = [(2, "update"), (3, "replace")]
    for number, operation in kinds:
        reached: list[str] = []
        number_of_stages = 1
        while len(reached) < number_of_stages:
            new: dict[str, Row] = {f"new {number} {len(reached)} {n}": (1.0, "n") for n in range(3)}
            gone = dict(list(held.items())[:3])
            after = {user: told for user, told in held.items() if user not in gone} | new
            if operation == "replace":
                gone, new = {}, after
            one = delivery(number * 100 + len(reached), operation, new, gone, len(after))
            seen: list[str] = []

            def stop(stage: str, seen: list[str] = seen, stop_at: int = len(reached)) -> None:
                seen.append(stage)
                if len(seen) > stop_at:
                    raise Killed

            with pytest.raises(Killed):
                place.destination.deliver(one, stop)
            reached.append(seen[-1])
            whole: list[str] = []
            place.destination.deliver(one, whole.append)
            number_of_stages = len(whole)
            assert place.held() == after, f"after a kill at {reached[-1]}"
            held = after
        assert len(set(reached)) >= 2


def test_a_changed_table_is_not_updated_as_if_nothing_had_happened(
    postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    address = postgres_server.database()
    monkeypatch.setenv("TEST_DATABASE", address)
    place = postgres_place(address, "TEST_DATABASE", COLUMNS)
    place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    with psycopg.connect(address) as connection:
        connection.execute("DELETE FROM people WHERE user_id = 'u3'")
    with pytest.raises(DeliveryError, match="somebody else has changed it"):
        place.destination.deliver(delivery(2, "update", {"u9": (1.0, "x")}, {}, 9), quiet)
    assert "u9" not in place.held()


def test_a_replaced_table_keeps_rights_views_and_policies(
    postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    address = postgres_server.database()
    role = f"reader_{uuid4().hex[:8]}"
    monkeypatch.setenv("TEST_DATABASE", address)
    place = postgres_place(address, "TEST_DATABASE", COLUMNS)
    place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    with psycopg.connect(address) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"GRANT SELECT ON people TO {role}".encode())
        connection.execute("CREATE VIEW copy_of AS SELECT user_id FROM people")
        connection.execute("ALTER TABLE people ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY one ON people USING (user_id = 'u1')")
    rows: dict[str, Row] = {"u1": (1.0, "x"), "u2": (2.0, "y")}
    place.destination.deliver(delivery(2, "replace", rows, {}, 2), quiet)
    assert place.held() == rows
    with psycopg.connect(address) as connection:
        assert len(connection.execute("SELECT * FROM copy_of").fetchall()) == 2
        connection.execute(f"SET ROLE {role}".encode())
        assert connection.execute("SELECT user_id FROM people").fetchall() == [("u1",)]


def test_a_table_that_is_told_other_columns_is_made_anew_where_that_opens_nothing(
    postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    address = postgres_server.database()
    monkeypatch.setenv("TEST_DATABASE", address)
    wide = postgres_place(address, "TEST_DATABASE", COLUMNS)
    narrow = postgres_place(address, "TEST_DATABASE", COLUMNS[:1])
    wide.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    role = f"reader_{uuid4().hex[:8]}"
    with psycopg.connect(address) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"CREATE ROLE {role}_later".encode())
        connection.execute(f"GRANT SELECT ON people TO {role}".encode())
        later = f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}_later"
        connection.execute(later.encode())
    narrow.destination.deliver(delivery(2, "replace", FIRST, {}, 8), quiet)
    assert set(narrow.held()["u1"]) == {0.25}
    with psycopg.connect(address) as connection:
        granted = connection.execute(
            "SELECT grantee FROM information_schema.role_table_grants "
            "WHERE table_name = 'people' AND privilege_type = 'SELECT'"
        ).fetchall()
        assert {name for (name,) in granted} == {"tester", role}
        connection.execute("CREATE VIEW copy_of AS SELECT user_id FROM people")
    with pytest.raises(BadInputError, match="drop those first"):
        wide.destination.deliver(delivery(3, "replace", FIRST, {}, 8), quiet)
    with psycopg.connect(address) as connection:
        connection.execute("DROP VIEW copy_of")
        connection.execute("ALTER TABLE people ENABLE ROW LEVEL SECURITY")
    with pytest.raises(BadInputError, match="row security"):
        wide.destination.deliver(delivery(3, "replace", FIRST, {}, 8), quiet)
    narrow.destination.deliver(delivery(3, "replace", {"u1": (1.0, None)}, {}, 1), quiet)


def test_names_that_postgresql_would_cut_are_refused() -> None:
    rows = ProfileRows()
    for table in ("x" * 64, "ü" * 32, "sentirec_deliveries", "some.", ""):
        with pytest.raises(BadInputError, match="no name for a table"):
            PostgresDestination(address_variable="A", table=table, rows=rows)


def test_an_update_that_came_before_and_was_planned_anew_is_applied_once_more(
    postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres_server.database()
    monkeypatch.setenv("TEST_DATABASE", address)
    place = postgres_place(address, "TEST_DATABASE", COLUMNS)
    place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    new: dict[str, Row] = {"u8": (1.0, "x"), "u9": (1.0, "y")}
    place.destination.deliver(delivery(2, "update", new, {}, 10), quiet)
    gone: dict[str, Row] = {"u8": (1.0, "x")}
    place.destination.deliver(delivery(3, "update", {"u9": (1.0, "y")}, gone, 9), quiet)
    assert set(place.held()) == {*FIRST, "u9"}


def test_a_delivery_is_known_again_by_its_key(place: Place) -> None:
    one = delivery(1, "replace", FIRST, {}, 8)
    is_silent = place.destination.has(one.key, "at-risk") is None
    assert place.destination.has(one.key, "at-risk") in (None, False)
    place.destination.deliver(one, quiet)
    assert place.destination.has(one.key, "at-risk") is (None if is_silent else True)
    assert place.destination.has("other", "at-risk") is (None if is_silent else False)


def test_a_folder_is_of_one_destination_and_left_files_go(tmp_path: Path) -> None:
    place = file_place(str(tmp_path / "out"), "csv", COLUMNS)
    folder = tmp_path / "out" / "at-risk"
    folder.mkdir(parents=True)
    for name in ("000001-members.csv", "000001-members.csv.partial", "notes.txt"):
        (folder / name).write_text("left")
    place.destination.deliver(delivery(2, "replace", FIRST, {}, 8), quiet)
    names = {file.name for file in folder.iterdir()}
    assert names == {"000002-members.csv", "000002-manifest.json", "notes.txt"}
    with pytest.raises(BadInputError, match="a folder of its own"):
        place.destination.deliver(delivery(1, "replace", FIRST, {}, 8), quiet)
    assert place.held() == FIRST


def test_a_destination_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE", "postgresql://tester:hidden@127.0.0.1:1/none")
    place = postgres_place("", "TEST_DATABASE")
    with pytest.raises(DeliveryError, match="cannot reach the database") as caught:
        place.destination.check()
    assert "hidden" not in str(caught.value)
    monkeypatch.delenv("TEST_DATABASE")
    with pytest.raises(BadInputError, match="TEST_DATABASE is empty"):
        place.destination.check()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write to"):
        file_place(str(tmp_path / "file" / "below"), "csv").destination.check()
    with pytest.raises(BadInputError, match="no folder and no address"):
        file_place("nonsense://bucket/folder", "csv").destination.check()
