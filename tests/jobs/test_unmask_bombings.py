"""Bombings stay bombings, whatever came before them, and what they hide is seen."""

from pathlib import Path

from alert_rows import alert_of
from alerts_shop import BROKEN, BROKEN_DAY, DAY, MENDED_DAY, VERSION, bombs, make_store

from features.alert_tables import RESOLVED
from features.store import Store
from jobs.alerts_tables import LOCK, change_alerts, read_alerts, read_table
from jobs.detect_alerts import detect_in, load_tables
from jobs.unmask_bombings import set_aside
from recsys.alerts.config import AlertConfig
from recsys.alerts.opinions import day_of

CONFIG = AlertConfig()
QUIET, BOMBED_DAY = "i05", 110
_ANGRY = (
    ("Never buy anything from these people", "Awful rubbish, it broke within minutes"),
    ("It flickers all night long and hums", "I regret no purchase as much"),
    ("Arrived dented, went straight back", "My neighbours warned me, they knew"),
    ("Useless in the kitchen and in the hall", "Two weeks of calls and no answer yet"),
)
_SAME = "A scam and a disgrace, avoid this shop and all it sells, number {n}."


def look(store: Store, *days: int) -> None:
    tables = load_tables(store, VERSION)
    with store.lock(LOCK):
        for day in days:
            detect_in(store, tables, day=DAY + day, config=CONFIG, demotion=0.4)


def of_item(store: Store, item: str) -> dict:
    found = [
        alert
        for alert in read_alerts(store).values()
        if (alert["scope"], alert["key"]) == ("item", item)
    ]
    assert len(found) == 1, found
    return found[0]


def resolve(store: Store, day: int) -> None:
    name = of_item(store, BROKEN)["alert_id"]
    change_alerts(store, [name], RESOLVED, day=DAY + day, by="ann", note=None, demotion=0.4)


def demoted(store: Store) -> list[str]:
    return read_table(store, "item_demotions")["item_id"].to_list()


def test_a_bombing_that_begins_in_many_words_demotes_no_longer(tmp_path: Path) -> None:
    more = [
        row
        for place, texts in enumerate(_ANGRY)
        for row in bombs(QUIET, BOMBED_DAY + place, list(texts), verified=True)
    ]
    same = [_SAME.format(n=n) for n in range(15)]
    more += bombs(QUIET, BOMBED_DAY + 4, same, verified=False)
    store = make_store(str(tmp_path / "shop"), more)
    look(store, BOMBED_DAY + 1, BOMBED_DAY + 2)
    assert of_item(store, QUIET)["kind"] == "bad_batch"
    assert demoted(store) == [QUIET]
    look(store, BOMBED_DAY + 4)
    assert of_item(store, QUIET)["kind"] == "review_bombing"
    assert of_item(store, QUIET)["action"] == "investigate_reviews"
    assert demoted(store) == []


def test_a_bad_batch_that_is_bombed_stays_one(tmp_path: Path) -> None:
    same = [_SAME.format(n=n) for n in range(40)]
    more = bombs(BROKEN, BROKEN_DAY + 11, same, verified=False)
    store = make_store(str(tmp_path / "shop"), more)
    look(store, BROKEN_DAY + 9, BROKEN_DAY + 11, BROKEN_DAY + 12)
    found = of_item(store, BROKEN)
    assert found["p_bombing"] > 0.5
    assert found["kind"] == "bad_batch"
    assert demoted(store) == [BROKEN]


def test_a_bad_batch_of_the_past_makes_no_bombing_real(tmp_path: Path) -> None:
    later = MENDED_DAY + 12
    same = [_SAME.format(n=n) for n in range(25)]
    store = make_store(str(tmp_path / "shop"), bombs(BROKEN, later, same, verified=False))
    look(store, BROKEN_DAY + 12)
    resolve(store, MENDED_DAY + 4)
    look(store, later)
    found = of_item(store, BROKEN)
    assert (found["kind"], found["num_reopened"]) == ("review_bombing", 1)
    assert demoted(store) == []


def test_all_times_of_an_alert_are_set_aside() -> None:
    alert = alert_of("lamp").to_dicts()[0]
    onset = day_of(alert["onset"])
    again = alert | {"opened_day": onset - 15, "num_reopened": 1, "changed_day": onset + 9}
    key = ("item", "lamp")
    before = (*key, onset - 15 - CONFIG.block_days, onset - 1)
    since = (*key, onset, onset + 9)
    alerts = {"a": again}
    assert set_aside(alerts, [], CONFIG).rows() == [before]
    assert set_aside(alerts, [again], CONFIG).rows() == [before, since]
    once = again | {"num_reopened": 0}
    assert set_aside({"a": once}, [once], CONFIG).rows() == [since]
