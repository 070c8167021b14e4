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
        origin=key,
        number=number,
        segment="at-risk",
        definition_version="f" * 64,
        as_of=datetime(2026, 1, 1, tzinfo=UTC),
        operation=operation,
        added=frame(added),
        removed=frame(removed),
        newcomers=frame(added)["user_id"],
        size=size,
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


def test_a_replaced_table_keeps_its_rights_and_says_what_stands_in_the_way(
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
        connection.execute("GRANT SELECT ON people TO PUBLIC")
    place.destination.deliver(delivery(2, "replace", {"u1": (1.0, "x")}, {}, 1), quiet)
    with psycopg.connect(address) as connection:
        granted = connection.execute(
            "SELECT grantee FROM information_schema.role_table_grants "
            "WHERE table_name = 'people' AND privilege_type = 'SELECT'"
        ).fetchall()
        assert {name for (name,) in granted} == {"tester", role, "PUBLIC"}
        connection.execute("CREATE VIEW copy_of AS SELECT user_id FROM people")
    with pytest.raises(BadInputError, match="use `segments sync`"):
        place.destination.deliver(delivery(3, "replace", FIRST, {}, 8), quiet)
    assert set(place.held()) == {"u1"}


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
