"""What is live changes under traffic; what is broken never becomes live."""

import threading
import time
from pathlib import Path

import polars as pl
import pytest
from published_shop import Published, app_of
from starlette.testclient import TestClient

from features.errors import StoreError
from features.pseudonyms import PSEUDONYM_KEY, Pseudonyms
from features.store import Store
from recsys.bundle_versions import promote
from recsys.errors import BundleError
from recsys.recommender import Recommended, Recommender
from serving.errors import NothingToServeError
from serving.state import ServingState

PATH = "/v1/recommendations"


def loaded(published: Published) -> ServingState:
    state = ServingState(published.store)
    state.load()
    return state


def version(state: ServingState) -> str:
    assert state.snapshot is not None
    return state.snapshot.manifest.version


def corrupt(folder: Path) -> None:
    path = folder / "ranker.txt"
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))


def point_at(published: Published, name: str) -> None:
    """Switch `current` without the checks of `promote`."""
    link = published.bundles / "current"
    link.unlink()
    link.symlink_to(name)


def test_nothing_changed_is_no_refresh(published_once: Published) -> None:
    state = loaded(published_once)
    before = state.snapshot
    assert not state.refresh()
    assert state.snapshot is before


def test_a_promoted_bundle_is_taken_over_without_a_failed_request(published: Published) -> None:
    state = loaded(published)
    client = TestClient(app_of(state))
    state.start_polling(0.05)
    seen: list[tuple[int, str]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answered = client.post(PATH, json={"user_id": "u00001", "k": 5})
            seen.append((answered.status_code, answered.json().get("model_version")))

    traffic = threading.Thread(target=ask)
    traffic.start()
    published.add_bundle("v2")
    promote(published.bundles, "v2")
    end = time.monotonic() + 30
    while version(state) != "v2" and time.monotonic() < end:
        time.sleep(0.02)
    before = len(seen)
    while len(seen) < before + 10 and time.monotonic() < end:
        time.sleep(0.02)
    ended.set()
    traffic.join()
    state.close()
    assert {status for status, _ in seen} == {200}
    versions = [name for _, name in seen]
    assert versions == sorted(versions)
    assert set(versions) == {"v1", "v2"}


def test_a_corrupt_bundle_never_replaces_the_live_one(published: Published) -> None:
    state = loaded(published)
    corrupt(published.add_bundle("v2"))
    point_at(published, "v2")
    assert not state.refresh()
    assert version(state) == "v1"
    assert "ranker.txt" in (state.reload_error or "")
    client = TestClient(app_of(state))
    assert client.post(PATH, json={}).status_code == 200
    assert "ranker.txt" in client.get("/v1/model").json()["reload_error"]


def test_a_bundle_that_cannot_answer_never_replaces_the_live_one(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = loaded(published)
    published.add_bundle("v2")
    promote(published.bundles, "v2")

    def fails(*given: object) -> Recommended:
        raise IndexError("item 7 of 5")

    monkeypatch.setattr(Recommender, "shown", fails)
    assert not state.refresh()
    assert version(state) == "v1"
    assert state.reload_error == "item 7 of 5"


def test_a_whole_bundle_after_a_corrupt_one_is_taken_over(published: Published) -> None:
    state = loaded(published)
    corrupt(published.add_bundle("v2"))
    point_at(published, "v2")
    state.refresh()
    published.add_bundle("v3")
    promote(published.bundles, "v3")
    assert state.refresh()
    assert version(state) == "v3"
    assert state.reload_error is None


def test_a_rollback_from_a_corrupt_bundle_clears_the_error(published: Published) -> None:
    state = loaded(published)
    corrupt(published.add_bundle("v2"))
    point_at(published, "v2")
    state.refresh()
    point_at(published, "v1")
    assert not state.refresh()
    assert state.reload_error is None


def test_side_tables_go_on_changing_beside_a_corrupt_bundle(published: Published) -> None:
    state = loaded(published)
    corrupt(published.add_bundle("v2"))
    point_at(published, "v2")
    published.store.overwrite("quotes", published.tables["quotes"].clear())
    assert state.refresh()
    assert version(state) == "v1"
    assert state.snapshot is not None
    assert not state.snapshot.quotes
    assert "ranker.txt" in (state.reload_error or "")
    assert not state.refresh()


def test_a_bundle_that_vanishes_stays_live(published: Published) -> None:
    state = loaded(published)
    (published.bundles / "current").unlink()
    assert not state.refresh()
    assert version(state) == "v1"
    assert "no bundle is published" in (state.reload_error or "")


def test_a_purchase_is_seen_at_the_next_refresh(published: Published) -> None:
    state = loaded(published)
    client = TestClient(app_of(state))
    best = client.post(PATH, json={"user_id": "u00001", "k": 1}).json()["items"][0]["item_id"]
    purchases = published.tables["purchase_history"]
    bought = purchases.filter(user_id="u00001").tail(1).with_columns(item_id=pl.lit(best))
    published.store.append("purchase_history", bought)
    assert state.refresh()
    answered = client.post(PATH, json={"user_id": "u00001", "k": 100}).json()
    assert best not in {item["item_id"] for item in answered["items"]}


def test_a_damaged_table_leaves_all_as_it_is(published: Published) -> None:
    state = loaded(published)
    published.store.overwrite("quotes", published.tables["quotes"].head(3))
    for file in (published.root / "tables" / "quotes").glob("*.parquet"):
        file.write_bytes(b"no parquet")
    before = state.snapshot
    assert not state.refresh()
    assert state.snapshot is before
    assert state.reload_error


def test_a_first_load_says_what_is_missing(published: Published, tmp_path: Path) -> None:
    with pytest.raises(NothingToServeError, match=r"no bundle is published in .*bundles"):
        ServingState(Store(tmp_path / "nowhere")).load()
    (published.root / "tables" / "quotes").rename(tmp_path / "quotes")
    with pytest.raises(NothingToServeError, match="has no table quotes"):
        ServingState(published.store).load()


def test_a_first_load_refuses_a_corrupt_bundle(published: Published) -> None:
    corrupt(published.bundles / "v1")
    with pytest.raises(BundleError, match=r"ranker\.txt"):
        ServingState(published.store).load()


def test_a_store_of_pseudonyms_is_asked_by_plain_ids(published: Published) -> None:
    ours = Pseudonyms.of_secret(bytes(range(32)))
    user_id = published.tables["purchase_history"]["user_id"][0]
    body = {"user_id": user_id, "k": 5, "explain": True}
    plain = TestClient(app_of(loaded(published))).post(PATH, json=body).json()
    key = pl.DataFrame({"fingerprint": [ours.fingerprint]})
    published.store.append(PSEUDONYM_KEY, key)
    for name, frame in published.tables.items():
        published.store.overwrite(name, ours.named(frame))
    with pytest.raises(StoreError, match="holds pseudonyms"):
        loaded(published)
    state = ServingState(published.store, pseudonyms=ours)
    state.load()
    answered = TestClient(app_of(state)).post(PATH, json=body).json()
    assert answered["degraded"] is None
    assert answered["user_id"] == user_id
    for found, wanted in zip(answered["items"], plain["items"], strict=True):
        assert found["item_id"] == wanted["item_id"]
        assert found["score"] == pytest.approx(wanted["score"])
        texts = [(item["reason"]["quote"] or {}).get("text") for item in (found, wanted)]
        assert texts[0] == texts[1]
