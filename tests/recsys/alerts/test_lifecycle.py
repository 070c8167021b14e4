"""What is found again opens its old alert, whatever is complained of now."""

import pytest

from features.alert_tables import OPEN, RESOLVED
from recsys.alerts.config import AlertConfig
from recsys.alerts.lifecycle import Alert, alert_id, found_again

CONFIG = AlertConfig()


def found(day: int, aspect: str | None, key: str = "lamp") -> Alert:
    return {
        "alert_id": alert_id("item", key, aspect, day),
        "scope": "item",
        "key": key,
        "aspect": aspect,
        "state": OPEN,
        "opened_day": day,
        "changed_day": day,
        "num_reopened": 0,
        "num_changes": 0,
    }


@pytest.mark.parametrize("aspect", [None, "durability", "size"])
def test_the_same_subject_opens_its_last_alert_again(aspect: str | None) -> None:
    closed = {"state": RESOLVED, "num_changes": 1}
    first = found(100, "durability") | closed | {"changed_day": 115}
    last = found(116, None) | closed | {"changed_day": 120}
    other = found(118, aspect, key="chair") | closed
    alerts: dict[str, Alert] = {str(one["alert_id"]): one for one in (first, last, other)}
    again, change = found_again(alerts, found(130, aspect), day=130, config=CONFIG)
    assert (again["alert_id"], change.alert_id) == (last["alert_id"], last["alert_id"])
    assert (again["aspect"], again["state"], again["num_reopened"]) == (aspect, OPEN, 1)
    assert (again["opened_day"], change.number, change.note) == (116, 2, "found again")


def test_after_reopen_days_it_is_another_alert() -> None:
    closed = found(100, None) | {"state": RESOLVED, "num_changes": 1}
    late = 100 + CONFIG.reopen_days + 1
    again, change = found_again({"a": closed}, found(late, None), day=late, config=CONFIG)
    assert again["alert_id"] == change.alert_id != closed["alert_id"]
    assert change.number == 0
