"""A kept state that is added to equals one made anew, whatever came in when; and says when not."""

import random as random_module
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import day, events, items, reviews, signals

from features.erasure import erase_user
from features.errors import StoreError
from features.kept_state import rebuild, update
from features.profile_state import ProfileState
from features.profiles import item_profiles, user_affinities, user_profiles
from features.store import Store

CATALOGUE = items(
    *({"item_id": name, "categories": ["c"], "price_cents": 100} for name in ("a", "b"))
)
EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(["a", "b"]),
        "event_type": st.sampled_from(["view", "purchase"]),
        "day": st.integers(0, 40),
        "price_cents": st.just(5),
    }
)


def fill(store: Store, rows: list[dict], said: list[dict], first: int = 0) -> None:
    """Append events and reviews, with signals."""
    store.append(
        "events", events(*({"event_id": f"e{first + n}"} | row for n, row in enumerate(rows)))
    )
    written = reviews(*({"review_id": f"r{first + n}"} | row for n, row in enumerate(said)))
    store.append("reviews", written)
    store.append("review_signals", signals(dict.fromkeys(written["review_id"], 0.5)))


def read(state: ProfileState, as_of: datetime) -> list[pl.DataFrame]:
    turned = user_affinities(CATALOGUE.lazy(), state, as_of)
    return [item_profiles(CATALOGUE.lazy(), state, as_of), user_profiles(state, as_of, turned)]


def bought(user: str, at: float, **more: object) -> dict:
    return {"user_id": user, "item_id": "a", "day": at, "price_cents": 5, **more}


# Nine batches are more than are kept apart.
@settings(max_examples=4)
@example([[{"user_id": "u", "item_id": "a", "event_type": "view", "day": n, "price_cents": 5}]
          for n in range(9)], random_module.Random(0))  # fmt: skip
@given(
    st.lists(st.lists(EVENT, max_size=6), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_added_to_it_equals_one_made_anew(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[dict]],
    random: random_module.Random,
) -> None:
    """Rows come in late and ahead of time; the moment moves on."""
    store = Store(tmp_path_factory.mktemp("shop"))
    store.append("items", CATALOGUE)
    moment, state = 10.0, None
    for number, batch in enumerate(batches):
        said = [
            {"user_id": row["user_id"], "item_id": row["item_id"], "day": row["day"], "rating": 4.0}
            for row in batch[::2]
        ]
        fill(store, batch, said, first=100 * number)
        moment += random.choice([0.0, 2.5, 7.0])
        make = update if number else rebuild
        state = make(store, version="m", as_of=day(moment))
    anew = Store(tmp_path_factory.mktemp("other"))
    for table in ("items", "events", "reviews", "review_signals"):
        anew.append(table, store.scan(table).collect())
    wanted = read(rebuild(anew, version="m", as_of=day(moment)), day(moment))
    assert state is not None
    for found, frame in zip(read(state, day(moment)), wanted, strict=True):
        assert_frame_equal(found, frame, abs_tol=1e-6)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "shop")
    opened.append("items", CATALOGUE)
    fill(opened, [bought("u", 1), bought("v", 2)], [{"user_id": "u", "item_id": "a", "day": 3}])
    return opened


def test_what_an_interrupted_update_left_behind_counts_for_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(store, version="m", as_of=day(5))
    fill(store, [bought("u", 4)], [], first=10)
    append = store.append

    def dies(table: str, frame: pl.DataFrame) -> None:
        if table == "profile_ratings":
            raise KeyboardInterrupt
        append(table, frame)

    monkeypatch.setattr(store, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        update(store, version="m", as_of=day(6))
    monkeypatch.undo()
    users = read(update(store, version="m", as_of=day(6)), day(6))[1]
    assert users["num_purchases"].to_list() == [2, 1]


def test_an_interrupted_rebuild_keeps_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(store, version="m", as_of=day(5))
    overwrite = store.overwrite

    def dies(table: str, frame: pl.DataFrame) -> None:
        if table == "profile_item_days":
            raise KeyboardInterrupt
        overwrite(table, frame)

    monkeypatch.setattr(store, "overwrite", dies)
    with pytest.raises(KeyboardInterrupt):
        rebuild(store, version="m", as_of=day(5))
    monkeypatch.undo()
    with pytest.raises(StoreError, match="no state of profiles is kept yet"):
        update(store, version="m", as_of=day(6))


def test_where_it_would_be_wrong_it_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="no state of profiles is kept yet"):
        update(store, version="m", as_of=day(6))
    rebuild(store, version="m", as_of=day(5))
    with pytest.raises(StoreError, match="holds rows up to 2024-01-06"):
        update(store, version="m", as_of=day(4))
    with pytest.raises(StoreError, match=r"another model version \(m, now n\)"):
        update(store, version="n", as_of=day(6))


def test_whoever_was_erased_is_not_in_what_is_made_anew(store: Store) -> None:
    rebuild(store, version="m", as_of=day(5))
    assert erase_user(store, "u", now=day(5)).after == []
    with pytest.raises(StoreError, match="rows of events were changed or deleted"):
        update(store, version="m", as_of=day(6))
    users = read(rebuild(store, version="m", as_of=day(6)), day(6))[1]
    assert users["user_id"].to_list() == ["v"]


def test_joined_files_are_no_news(store: Store) -> None:
    rebuild(store, version="m", as_of=day(5))
    for number in range(9):
        fill(store, [bought("u", 4.5)], [], first=10 + number)
    store.compact("events")
    users = read(update(store, version="m", as_of=day(6)), day(6))[1]
    assert users["num_purchases"].to_list() == [10, 1]


def test_list_prices_count_where_purchases_have_none(store: Store) -> None:
    rebuild(store, version="m", as_of=day(5))
    dearer = CATALOGUE.with_columns(price_cents=pl.lit(900, dtype=pl.Int64))
    store.upsert("items", dearer, ["item_id"])
    fill(store, [bought("u", 5.5, price_cents=None)], [], first=10)
    users = read(update(store, version="m", as_of=day(6)), day(6))[1]
    assert users["spend_cents"].to_list() == [905, 5]
    store.upsert("items", CATALOGUE, ["item_id"])
    with pytest.raises(StoreError, match="the list price of 2 items changed"):
        update(store, version="m", as_of=day(7))
