"""Lists on their way: only whom they may reach, neither lost nor doubled, whatever is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from delivery_places import file_place, postgres_place
from delivery_shop import CHANNEL, NOW, audience, delivering, people, store_of, suppressed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from features.erasure import erase_name
from jobs.delivery.delivery import Mode
from jobs.delivery.ledger import Ledger
from jobs.delivery.run_delivery import DeliveryReport
from jobs.delivery.target import Target
from jobs.errors import DeliveryError, GateRefusedError, TamperedLogError
from recsys.segments.admission import (
    CAPPED,
    ERASED,
    NO_CONSENT,
    NO_RECORD,
    SUPPRESSED,
    FrequencyCap,
)
from recsys.segments.holdout import Holdout

if TYPE_CHECKING:
    from postgres_server import PostgresServer


class Killed(BaseException):
    """Stands for the end of the process."""


USERS = [f"user-{number:02d}" for number in range(12)]


def target_of(folder: Path, **options: Any) -> Target:
    place = file_place(str(folder / "out"), "csv")
    given = {"min_size": 1, "is_contact": False, **options}
    return Target(name="crm", destination=place.destination, channel=CHANNEL, **given)


def held(folder: Path) -> set[str]:
    return set(file_place(str(folder / "out"), "csv").held())


def test_only_whom_it_may_reach_is_told(tmp_path: Path) -> None:
    """Users without a record of consent, by whatever way, are asked for, and none is told."""
    store = store_of(tmp_path, ["yes"])
    store.append("users", people(["other channel"], ["sms"]))
    store.append("users", people(["none"], []))
    store.append("users", people(["suppressed", "erased"]))
    store.append("suppressions", suppressed("suppressed"))
    erase_name(store, "erased", now=NOW, log=None)
    asked = ["yes", "other channel", "none", "suppressed", "erased", "unknown"]
    report = delivering(store).run(audience(asked), target_of(tmp_path), "export")
    assert held(tmp_path) == {"yes"}
    rules = {NO_RECORD: 2, NO_CONSENT: 2, SUPPRESSED: 1}
    assert {name: report.dropped[name] for name in rules} == rules
    without = ["other channel", "none", "unknown"]
    with pytest.raises(GateRefusedError, match="0 users"):
        delivering(store).run(audience(without, "nobody"), target_of(tmp_path), "export")
    assert not (tmp_path / "out" / "nobody").exists()


def test_who_withdraws_between_choosing_and_writing_is_not_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)

    def withdraw(stage: str) -> None:
        if stage == "ask for consent again":
            store.append("suppressions", suppressed(USERS[3]))

    one = delivering(store, on_stage=withdraw)
    report = one.run(audience(USERS), target_of(tmp_path), "export")
    assert report.withheld == 1
    assert held(tmp_path) == set(USERS) - {USERS[3]}
    for file in (tmp_path / "out").rglob("*.csv"):
        assert USERS[3] not in file.read_text()


def test_a_small_list_is_refused_and_the_refusal_is_written_down(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    with pytest.raises(GateRefusedError, match="12 users, fewer than 50"):
        delivering(store).run(audience(USERS), target_of(tmp_path, min_size=50), "export")
    assert held(tmp_path) == set()
    (entry,) = delivering(store).audit.entries()
    assert (entry["kind"], entry["segment"], entry["actor"]) == (
        "refused",
        "at-risk",
        {"name": "tester"},
    )


def test_two_lists_that_tell_a_few_people_apart_are_refused_unless_those_withdrew(
    tmp_path: Path,
) -> None:
    store = store_of(tmp_path, USERS)
    target = target_of(tmp_path, least_export_change=3)
    delivering(store).run(audience(USERS), target, "export")
    with pytest.raises(GateRefusedError, match="differs from that of delivery 1 to crm by 2"):
        delivering(store).run(audience(USERS[2:]), target, "export")
    delivering(store).run(audience(USERS[3:]), target, "export")
    store.append("suppressions", suppressed(USERS[5]))
    delivering(store).run(audience(USERS[3:]), target, "export")
    assert held(tmp_path) == set(USERS[3:]) - {USERS[5]}


def test_a_sync_holds_a_small_change_back_but_not_who_withdrew(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    target = target_of(tmp_path, least_sync_change=4)
    delivering(store).run(audience(USERS[:8]), target, "sync")
    store.append("suppressions", suppressed(USERS[0]))
    report = delivering(store).run(audience(USERS[:10]), target, "sync")
    assert "only who may no longer be reached is taken off" in report.notes[0]
    assert held(tmp_path) == set(USERS[1:8])
    delivering(store).run(audience(USERS), target, "sync")
    assert held(tmp_path) == set(USERS[1:])


def test_a_sync_that_became_too_small_empties_the_list(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    target = target_of(tmp_path, min_size=5)
    delivering(store).run(audience(USERS), target, "sync")
    report = delivering(store).run(audience(USERS[:4]), target, "sync")
    assert "is emptied" in report.notes[0]
    assert held(tmp_path) == set()
    with pytest.raises(GateRefusedError, match="4 users"):
        delivering(store).run(audience(USERS[:4]), target, "sync")


def test_frequency_caps_keep_people_off_lists_but_not_from_staying_on_them(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    capped = target_of(tmp_path, is_contact=True, cap=FrequencyCap(max_contacts=1, days=14))
    delivering(store).run(audience(USERS[:6]), capped, "sync")
    contacts = store.scan("contacts").collect()
    assert sorted(contacts["user_id"]) == USERS[:6]
    assert set(contacts["segment"]) == {"at-risk"}
    report = delivering(store).run(audience(USERS[:8]), capped, "sync")
    assert report.delivery is not None
    assert list(report.delivery.newcomers) == USERS[6:8]
    assert held(tmp_path) == set(USERS[:8])
    with pytest.raises(GateRefusedError):
        delivering(store).run(audience(USERS[:8], "other"), capped, "export")
    later = delivering(store, now=lambda: NOW + timedelta(days=15))
    assert later.run(audience(USERS[:8], "other"), capped, "export").dropped[CAPPED] == 0


def test_who_is_held_out_is_the_same_each_time(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    target = target_of(tmp_path, holdout=Holdout(share=0.5, salt="spring"))
    report = delivering(store).run(audience(USERS), target, "sync")
    assert 0 < report.dropped["held out"] < 12
    again = delivering(store).run(audience(USERS), target, "sync")
    assert again.delivery is None
    assert again.notes == ["nothing has changed since the last delivery"]


def test_an_erased_person_leaves_the_destination_with_the_next_sync(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    target = target_of(tmp_path)
    delivering(store).run(audience(USERS), target, "sync")
    report = erase_name(store, USERS[2], now=NOW, log=None)
    assert report is not None
    left = [trace for trace in report.after if not trace.file.startswith("out")]
    assert left == [], "what was handed over is remembered without them"
    done = delivering(store).run(audience(USERS), target, "sync")
    assert done.delivery is not None
    assert done.delivery.operation == "replace"
    assert held(tmp_path) == set(USERS) - {USERS[2]}
    assert done.dropped[NO_RECORD] + done.dropped[ERASED] == 1


@pytest.mark.parametrize("stage", ["ask for consent", "plan", "ask for consent again"])
def test_who_is_erased_while_a_list_is_made_is_not_told(tmp_path: Path, stage: str) -> None:
    store = store_of(tmp_path, USERS)

    def erase(reached: str) -> None:
        if reached == stage and USERS[3] not in erased:
            erased.append(USERS[3])
            erase_name(store, USERS[3], now=NOW, log=None)

    erased: list[str] = []
    delivering(store, on_stage=erase).run(audience(USERS), target_of(tmp_path), "export")
    assert held(tmp_path) == set(USERS) - {USERS[3]}
    for file in (tmp_path / "out").rglob("*"):
        assert file.is_dir() or USERS[3] not in file.read_text()


def stopped_at(stage: str) -> Callable[[str], None]:
    def stop(reached: str) -> None:
        if reached == stage:
            raise Killed

    return stop


def test_a_list_that_no_longer_holds_is_replaced_by_one_chosen_anew(tmp_path: Path) -> None:
    """After a kill: somebody is erased, the list has become too small, and still it gets right."""
    store, target = store_of(tmp_path, USERS), target_of(tmp_path, min_size=5)
    delivering(store).run(audience(USERS), target, "sync")
    with pytest.raises(Killed):
        delivering(store, on_stage=stopped_at("hand over")).run(audience(USERS[:6]), target, "sync")
    erase_name(store, USERS[0], now=NOW, log=None)
    store.append("suppressions", suppressed(USERS[1]))
    report = delivering(store).run(audience(USERS[:6]), target, "sync")
    assert any("no longer holds" in note for note in report.notes)
    assert any("is emptied" in note for note in report.notes)
    assert held(tmp_path) == set()


def test_a_plan_of_other_columns_does_not_stand_in_the_way(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    profiles = pl.DataFrame({"user_id": USERS, "score": [1.0] * 12, "note": ["n"] * 12})
    store.append("user_profiles", profiles)
    wide = file_place(str(tmp_path / "out"), "csv", ("score", "note"))
    told = replace(target_of(tmp_path), destination=wide.destination)
    with pytest.raises(Killed):
        delivering(store, on_stage=stopped_at("hand over")).run(audience(USERS), told, "sync")
    report = delivering(store).run(audience(USERS), target_of(tmp_path), "sync")
    assert report.delivery is not None
    assert held(tmp_path) == set(USERS)
    delivering(store).run(audience(USERS[:8]), told, "sync")
    assert wide.held() == dict.fromkeys(USERS[:8], (1.0, "n"))


def test_an_export_takes_the_place_of_a_table_that_somebody_changed(
    tmp_path: Path, postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    address = postgres_server.database()
    monkeypatch.setenv("TEST_DATABASE", address)
    place = postgres_place(address, "TEST_DATABASE")
    target = replace(target_of(tmp_path), destination=place.destination)
    store = store_of(tmp_path, USERS)
    delivering(store).run(audience(USERS[:6]), target, "sync")
    with psycopg.connect(address) as connection:
        connection.execute("DELETE FROM people WHERE user_id = 'user-03'")
    for _ in range(2):
        with pytest.raises(DeliveryError, match="segments export"):
            delivering(store).run(audience(USERS[:8]), target, "sync")
    delivering(store).run(audience(USERS[:8]), target, "export")
    assert set(place.held()) == set(USERS[:8])
    delivering(store).run(audience(USERS[2:9]), target, "sync")
    assert set(place.held()) == set(USERS[2:9])
    kinds = [entry["kind"] for entry in delivering(store).audit.entries()]
    assert kinds.count("failed") == 2
    assert kinds.count("delivered") == 3


def test_what_arrived_with_a_killed_run_is_told_as_it_was_chosen(tmp_path: Path) -> None:
    store, target = store_of(tmp_path, USERS), target_of(tmp_path)
    with pytest.raises(Killed):
        delivering(store, on_stage=stopped_at("audit")).run(audience(USERS[:6]), target, "sync")
    assert held(tmp_path) == set(USERS[:6])
    store.append("suppressions", suppressed(USERS[0]))
    later = replace(audience(USERS), definition_version="b" * 64)
    report = delivering(store).run(later, target, "sync")
    assert report.was_resumed
    assert report.delivery is not None
    assert report.delivery.definition_version == "f" * 64
    assert report.delivery.size == 6
    delivering(store).run(later, target, "sync")
    assert held(tmp_path) == set(USERS[1:])


def test_two_lists_at_once_do_not_pass_a_cap_together(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    cap = FrequencyCap(max_contacts=1, days=14)

    def export(segment: str) -> DeliveryReport | None:
        target = target_of(tmp_path / segment, is_contact=True, cap=cap)
        with suppress(GateRefusedError):
            return delivering(store).run(audience(USERS, segment), target, "export")
        return None

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(export, ["first", "second"]))
    contacts = store.scan("contacts").collect()
    assert contacts["user_id"].n_unique() == len(contacts) == 12


def test_lists_are_compared_over_destinations_and_after_erasures(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    first = target_of(tmp_path, least_export_change=3)
    second = replace(target_of(tmp_path / "b", least_export_change=3), name="other")
    delivering(store).run(audience(USERS), first, "export")
    erase_name(store, USERS[0], now=NOW, log=None)
    for target in (first, second):
        with pytest.raises(GateRefusedError, match="by 1 users"):
            delivering(store).run(audience(USERS[2:]), target, "export")
    delivering(store).run(audience(USERS[4:]), second, "export")
    with pytest.raises(GateRefusedError, match="delivery 1 to crm by 2 users"):
        delivering(store).run(audience(USERS[3:]), second, "export")


def test_nothing_is_handed_over_while_the_audit_log_does_not_fit(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    delivering(store).run(audience(USERS[:6]), target_of(tmp_path), "export")
    log = store.path("audit", "exports.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"size":6', b'"size":5'))
    with pytest.raises(TamperedLogError, match="line 1"):
        delivering(store).run(audience(USERS), target_of(tmp_path), "export")
    assert held(tmp_path) == set(USERS[:6])


def test_the_log_tells_who_what_when_how_many_and_where_and_no_ids(tmp_path: Path) -> None:
    store = store_of(tmp_path, USERS)
    report = delivering(store).run(audience(USERS), target_of(tmp_path), "export")
    planned, entry = delivering(store).audit.entries()
    assert planned["kind"] == "planned"
    assert planned["key"] == entry["key"]
    assert entry["actor"] == planned["actor"] == {"name": "tester"}
    assert entry["segment"] == "at-risk"
    assert entry["definition_version"] == "f" * 64
    assert entry["at"] == NOW.isoformat()
    assert entry["size"] == 12
    assert entry["destination"] == "crm"
    assert entry["place"].endswith("at-risk/000001-manifest.json")
    assert entry["hash"] == report.audit_hash
    assert not any(user in json.dumps(entry) for user in USERS)


class SyncMachine(RuleBasedStateMachine):
    """Days of a shop: people come, go, withdraw and are erased, and syncs are killed anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.consenting, self.suppressed, self.erased = set(USERS), set[str](), set[str]()
        self.wanted: set[str] = set()
        self.is_whole = False
        self.known: set[str] = set()

    @initialize()
    def open(self) -> None:
        self.store = store_of(self.path, USERS)

    @rule(wanted=st.sets(st.sampled_from(USERS)))
    def choose(self, wanted: set[str]) -> None:
        self.wanted, self.is_whole = wanted, False

    @rule(user=st.sampled_from(USERS))
    def suppress(self, user: str) -> None:
        if user not in self.suppressed | self.erased:
            self.store.append("suppressions", suppressed(user))
            self.suppressed.add(user)
            self.is_whole = False

    @rule(user=st.sampled_from(USERS), agrees=st.booleans())
    def consent(self, user: str, agrees: bool) -> None:
        if user in self.erased:
            return
        row = people([user], [CHANNEL] if agrees else ["sms"])
        self.store.upsert("users", row, ["user_id"])
        (self.consenting.add if agrees else self.consenting.discard)(user)
        self.is_whole = False

    @rule(user=st.sampled_from(USERS))
    def erase(self, user: str) -> None:
        if user not in self.erased:
            erase_name(self.store, user, now=NOW, log=None)
            self.erased.add(user)
            self.is_whole = False

    @rule(stop_at=st.integers(0, 14), mode=st.sampled_from(["sync", "export"]))
    def killed(self, stop_at: int, mode: Mode) -> None:
        seen = 0

        def stop(stage: str) -> None:
            nonlocal seen
            if seen == stop_at:
                raise Killed
            seen += 1

        try:
            delivering(self.store, on_stage=stop).run(
                audience(sorted(self.wanted)), target_of(self.path), mode
            )
        except (Killed, GateRefusedError):
            self.is_whole = False

    @rule(
        stage=st.sampled_from(["choose", "ask for consent", "plan", "ask for consent again"]),
        user=st.sampled_from(USERS),
        is_erased=st.booleans(),
    )
    def withdraw_meanwhile(self, stage: str, user: str, is_erased: bool) -> None:
        def withdraw(reached: str) -> None:
            if reached == stage:
                (self.erase if is_erased else self.suppress)(user)

        with suppress(GateRefusedError):
            delivering(self.store, on_stage=withdraw).run(
                audience(sorted(self.wanted)), target_of(self.path), "sync"
            )
        self.is_whole = False

    @rule()
    def sync(self) -> None:
        report = self.run_once()
        while report is not None and report.was_resumed:
            report = self.run_once()
        self.is_whole = True

    def run_once(self) -> DeliveryReport | None:
        before = held(self.path)
        try:
            report = delivering(self.store).run(
                audience(sorted(self.wanted)), target_of(self.path), "sync"
            )
        except GateRefusedError:
            return None
        if report.delivery is not None and report.delivery.operation == "update":
            added = set(report.delivery.added["user_id"])
            removed = set(report.delivery.removed["user_id"])
            assert (before - removed) | added == held(self.path)
        return report

    @invariant()
    def the_list_is_who_is_wanted_and_may_be_reached(self) -> None:
        if not self.is_whole:
            return
        may = self.wanted & self.consenting - self.suppressed - self.erased
        assert held(self.path) == may
        entries = delivering(self.store).audit.entries()
        keys = [entry["key"] for entry in entries if entry["kind"] == "delivered"]
        assert len(set(keys)) == len(keys), "each delivery is in the log once"

    @invariant()
    def nobody_is_added_who_may_not_be_reached(self) -> None:
        now = held(self.path)
        may = self.consenting - self.suppressed - self.erased
        assert now - self.known <= may
        self.known = now

    def teardown(self) -> None:
        self.folder.cleanup()


SyncMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSyncMachine = SyncMachine.TestCase

DRIVER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, str(Path(sys.argv[1]).parents[1]))
from test_run_delivery import run_of
stop_at, seen = int(sys.argv[3]), 0
def stage(name):
    global seen
    if seen == stop_at:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
run_of(Path(sys.argv[2]), sys.argv[4].split(","), stage)
"""


def run_of(folder: Path, wanted: Sequence[str], on_stage: Any) -> DeliveryReport:
    from features.store import Store

    place = postgres_place(os.environ["TEST_DATABASE"], "TEST_DATABASE")
    target = Target(
        name="database", destination=place.destination, channel=CHANNEL, min_size=1, is_contact=True
    )
    store = Store(folder / "store")
    return delivering(store, on_stage=on_stage).run(audience(wanted), target, "sync")


def test_a_process_killed_at_any_stage_loses_and_doubles_nothing(
    tmp_path: Path, postgres_server: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres_server.database()
    monkeypatch.setenv("TEST_DATABASE", address)
    place = postgres_place(address, "TEST_DATABASE")
    store = store_of(tmp_path, USERS)
    stages: list[str] = []
    run_of(tmp_path, USERS[:4], stages.append)
    stages.clear()
    run_of(tmp_path, USERS[2:5], stages.append)
    assert stages[-1] == "confirm"
    was_resumed = []
    for stop_at, stage in enumerate(stages):
        wanted = USERS[stop_at % 3 : stop_at % 3 + 6] if stop_at % 2 else USERS[:3]
        command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(tmp_path)]
        done = subprocess.run(
            [*command, str(stop_at), ",".join(wanted)], capture_output=True, text=True
        )
        assert done.returncode == -signal.SIGKILL, (stage, done.stderr)
        report = run_of(tmp_path, wanted, lambda stage: None)
        was_resumed.append(report.was_resumed)
        assert set(place.held()) == set(wanted), f"after a kill at {stage}"
        assert run_of(tmp_path, wanted, lambda stage: None).delivery is None
    assert was_resumed == [index > stages.index("plan") for index in range(len(stages))]
    ledger = Ledger(store=store, segment="at-risk", destination="database")
    previous = ledger.previous()
    assert previous is not None
    assert set(previous["user_id"]) == set(place.held())
    logged = delivering(store).audit.entries()
    entries = [entry for entry in logged if entry["kind"] == "delivered"]
    assert len({entry["key"] for entry in entries}) == len(entries) == len(stages) + 2
    joined = sum(entry["added"] for entry in entries)
    assert store.scan("contacts").select(pl.len()).collect().item() == joined
