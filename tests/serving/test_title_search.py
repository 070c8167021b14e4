import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from live_shop import live_shop
from published_shop import Published

from serving.title_search import TitleSearch

ITEMS = pl.DataFrame(
    {
        "title": ["Travel guitar", "Clip-on tuner", None, "吉他背带 黑色", "Guitar stand"],
        "brand": ["Tonewell", None, "Ace", None, "Ace"],
        "categories": [["Guitars"], ["Tuners"], None, ["吉他"], []],
    }
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("travel guitar", [0]),
        ("GUITAR", [0, 4]),
        ("tuner, clip!", [1]),
        ("黑色吉他", [3]),
        ("ace", [2, 4]),
        ("ace guitar", [4, 0, 2]),
        ("submarine", []),
        ("!?", []),
        ("", []),
    ],
)
def test_a_search_finds_what_shares_its_words(query: str, found: list[int]) -> None:
    assert TitleSearch.of(ITEMS).best(query, 10) == found


def test_at_most_so_many_are_found() -> None:
    assert TitleSearch.of(ITEMS).best("guitar", 1) == [0]


def test_an_empty_catalogue_finds_nothing() -> None:
    assert TitleSearch.of(ITEMS.head(0)).best("guitar", 3) == []


def test_items_without_words_are_no_obstacle() -> None:
    nameless = pl.DataFrame(
        {"title": [None], "brand": [None], "categories": [None]},
        schema={"title": pl.String, "brand": pl.String, "categories": pl.List(pl.String)},
    )
    assert TitleSearch.of(nameless).best("guitar", 3) == []


def test_a_search_waits_for_the_words_of_titles(
    published_once: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    whole = TitleSearch.of

    def held_up(profiles: pl.DataFrame) -> TitleSearch:
        assert may_go_on.wait(60.0)
        return whole(profiles)

    monkeypatch.setattr(TitleSearch, "of", held_up)
    with live_shop(published_once.store, tmp_path) as shop, ThreadPoolExecutor(1) as other:
        snapshot = shop.state.snapshot
        assert snapshot is not None
        title = snapshot.catalogue.name(0)
        searched = other.submit(shop.ask, session={"query": title}, k=5)
        # Whoever does not search is answered before.
        assert shop.ask(session={"item_ids": [snapshot.catalogue.item_ids[0]]}, k=5).items
        assert not searched.done()
        may_go_on.set()
        assert searched.result().degraded == "session_only"
