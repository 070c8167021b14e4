from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rows import day, reviews, signals

from features.erasure import erase_user
from features.item_needs import NEEDS_PER_ITEM, item_needs
from features.store import Store
from features.traces import find_traces


def need(text: str, start: int = 0, kind: str = "improvement") -> dict[str, Any]:
    return {"text": text, "start": start, "end": start + len(text), "kind": kind}


def voiced(texts: pl.DataFrame, needs: dict[str, list[dict[str, Any]]]) -> pl.DataFrame:
    said = signals(dict.fromkeys(texts["review_id"], 0.0))
    told = pl.Series([needs.get(name, []) for name in said["review_id"]], dtype=said["needs"].dtype)
    return item_needs(texts.lazy(), said.with_columns(needs=told).lazy())


def test_needs_come_with_their_author_and_review_the_latest_first() -> None:
    texts = reviews(
        {"user_id": "u", "item_id": "b", "text": "t", "day": 1},
        {"user_id": "v", "item_id": "a", "text": "t", "day": 2},
        {"user_id": "w", "item_id": "a", "text": "t", "day": 3},
    )
    found = voiced(
        texts,
        {
            "r0": [need("more of it")],
            "r1": [need("a light"), need("does it fly", 9, "question")],
            "r2": [need("a case", 2, "missing_feature")],
        },
    )
    assert found.rows() == [
        ("a", "r2", "w", "a case", "missing_feature", day(3)),
        ("a", "r1", "v", "a light", "improvement", day(2)),
        ("a", "r1", "v", "does it fly", "question", day(2)),
        ("b", "r0", "u", "more of it", "improvement", day(1)),
    ]


@pytest.mark.parametrize("source", ["support", "question", "social"])
def test_what_was_not_written_to_judge_is_not_told(source: str) -> None:
    row = {"user_id": "u", "item_id": "a", "text": "t", "source": source, "day": 1}
    assert voiced(reviews(row), {"r0": [need("a light")]}).is_empty()


def test_needs_of_no_item_are_left_out() -> None:
    row = {"user_id": "u", "item_id": None, "text": "t", "day": 1}
    assert voiced(reviews(row), {"r0": [need("a light")]}).is_empty()


def test_of_many_needs_the_last_are_kept() -> None:
    rows = [
        {"user_id": "u", "item_id": "a", "text": "t", "day": number}
        for number in range(NEEDS_PER_ITEM + 5)
    ]
    found = voiced(reviews(*rows), {f"r{n}": [need(f"wish {n}")] for n in range(len(rows))})
    assert found["need"].to_list() == [f"wish {n}" for n in range(len(rows) - 1, 4, -1)]


def test_who_is_erased_is_in_the_table_no_longer(tmp_path: Path) -> None:
    texts = reviews(
        {"user_id": "anna", "item_id": "a", "text": "t", "day": 1},
        {"user_id": "bert", "item_id": "a", "text": "t", "day": 2},
    )
    store = Store(tmp_path / "shop")
    store.append("reviews", texts)
    store.overwrite("item_needs", voiced(texts, {n: [need("a light")] for n in ("r0", "r1")}))
    report = erase_user(store, "anna", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert report.rows["item_needs"] == 1
    assert store.scan("item_needs").collect()["user_id"].to_list() == ["bert"]
    assert find_traces(store.path(), {"anna", "r0"}) == []
