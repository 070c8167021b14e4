import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.casting import parse_list
from features.contracts import CONTRACTS, check, readable_rule
from features.errors import InputError
from features.known_rows import KnownRows
from features.quarantine import QUARANTINE_SCHEMA, quarantine_rows
from features.readers import ByteSource, detect, read_batches

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REVIEW = {
    "review_id": "r",
    "user_id": "u",
    "item_id": "i",
    "rating": "5",
    "title": "t",
    "text": "x",
    "source": "review",
    "event_time": "2020-01-01",
    "seq": "0",
}


def raw(*rows: Mapping[str, str | None]) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), schema=dict.fromkeys(rows[0], pl.String))
    return frame.with_columns(source_line=pl.int_range(1, len(rows) + 1, dtype=pl.Int64))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"rating": "five"}, "rating_is_not_a_number"),
        ({"rating": "nan"}, "rating_is_not_a_number"),
        ({"rating": "0"}, "rating_is_too_small"),
        ({"rating": "6"}, "rating_is_too_large"),
        ({"user_id": None}, "user_id_is_missing"),
        ({"user_id": "a\x00b"}, "user_id_has_control_characters"),
        ({"review_id": "a\nb"}, "review_id_has_control_characters"),
        ({"user_id": "u" * 257}, "user_id_is_too_long"),
        ({"event_time": "soon"}, "event_time_is_not_a_time"),
        ({"event_time": "1890-01-01"}, "event_time_is_plausible"),
        ({"event_time": None}, "event_time_is_missing"),
        ({"seq": "1.5"}, "seq_is_not_a_whole_number"),
        ({"source": "rumour"}, "source_is_not_allowed"),
        ({"rating": None, "title": None, "text": ""}, "has_text_or_rating"),
        ({"rating": "six", "user_id": None}, "rating_is_not_a_number"),
    ],
)
def test_the_broken_rule_is_named(change: dict[str, str | None], rule: str) -> None:
    checked = check("reviews", raw(REVIEW, REVIEW | change))
    assert len(checked.good) == 1
    assert checked.bad.to_dicts() == [{"source_line": 2, "rule": rule}]


def test_good_rows_have_the_types_of_the_contract() -> None:
    good = check("reviews", raw(REVIEW)).good
    assert good.drop("source_line").schema == CONTRACTS["reviews"].create_empty().schema


def test_text_loses_control_characters_and_keeps_line_breaks() -> None:
    good = check("reviews", raw(REVIEW | {"text": "a\x00b\n\tc\x1f", "title": "\x00"})).good
    assert good["text"].item() == "ab\n\tc"
    assert good["title"].item() is None


def test_the_same_id_twice_is_not_the_subject_of_a_contract() -> None:
    assert len(check("reviews", raw(REVIEW, REVIEW)).good) == 2


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("a|b", ["a", "b"]),
        (" a || b ", ["a", "b"]),
        ('["a|b", "c"]', ["a|b", "c"]),
        ("[]", []),
        ("[1]", None),
        ("[broken", None),
    ],
)
def test_lists(text: str, elements: list[str] | None) -> None:
    assert parse_list(text) == elements


def test_absent_lists_are_empty_and_broken_ones_refused() -> None:
    assert check("items", raw({"item_id": "i"})).good["categories"].to_list() == [[]]
    rows = raw({"item_id": "i", "categories": None}, {"item_id": "j", "categories": "[1"})
    checked = check("items", rows)
    assert checked.good["categories"].to_list() == [[]]
    assert checked.bad["rule"].to_list() == ["categories_is_not_a_list"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("1", True), ("Y", True), ("FALSE", False), ("0", False)],
)
def test_truth_values(text: str, value: bool) -> None:
    good = check("items", raw({"item_id": "i", "in_stock": text})).good
    assert good["in_stock"].item() is value


def test_rule_names_are_words() -> None:
    assert readable_rule("rating|max") == "rating_is_too_large"
    assert readable_rule("search_has_query") == "search_has_query"
    assert readable_rule("x|brand_new") == "x_breaks_brand_new"


def test_quarantined_rows_show_their_source() -> None:
    bad = pl.DataFrame({"source_line": [2], "rule": ["broken"]})
    source = pl.DataFrame({"source_line": [1, 2], "a": ["x", "你"], "b": [None, None]})
    rows = quarantine_rows("reviews", bad, source, source_file="f.csv.gz", ingested_at=NOW)
    assert rows.schema == QUARANTINE_SCHEMA
    [row] = rows.to_dicts()
    assert json.loads(row["row"]) == {"a": "你"}
    assert (row["rule"], row["source_line"], row["ingested_at"]) == ("broken", 2, NOW)
    plain = quarantine_rows("reviews", bad, source, source_file="f.csv", ingested_at=NOW)
    assert plain["quarantine_id"].item() == row["quarantine_id"]


values = st.none() | st.sampled_from(["5", "u", "2020-01-01", "review", "view", "a|b"]) | st.text()


@given(st.sampled_from(["items", "users", "events", "reviews", "splits"]), st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_either_good_or_bad(table: str, data: st.DataObject) -> None:
    columns = CONTRACTS[table].column_names()
    row = st.fixed_dictionaries(dict.fromkeys(columns, values))
    drawn = data.draw(st.lists(row, min_size=1, max_size=5))
    rows = [
        {name: value and value.encode("utf-8", "replace").decode() for name, value in row.items()}
        for row in drawn
    ]
    checked = check(table, raw(*rows))
    lines = checked.good["source_line"].to_list() + checked.bad["source_line"].to_list()
    assert sorted(lines) == list(range(1, len(rows) + 1))
    assert checked.bad["rule"].null_count() == 0
    CONTRACTS[table].validate(
        checked.good.drop("source_line").unique(CONTRACTS[table].primary_key())
    )


HEADS = [
    b"user_id,item_id,pos\n",
    b'{"user_id": "u", "text": "x", "event_time": 1500000000}\n',
    b"",
]


@given(st.sampled_from(HEADS), st.binary(max_size=300))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, head: bytes, content: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(head + content)
    try:
        with ByteSource(path) as source:
            detected = detect(source)
            for batch in read_batches(source, detected):
                for table, rows in batch.tables.items():
                    checked = check(table, rows.frame)
                    assert len(checked.good) + len(checked.bad) == len(rows.frame)
    except InputError:
        pass


hashes = st.lists(st.integers(min_value=0, max_value=2**64 - 1), unique=True, max_size=50)


@given(st.lists(hashes, max_size=6))
def test_known_rows_is_a_map(runs: list[list[int]]) -> None:
    known, model = KnownRows(), dict[int, int]()
    for run in runs:
        fresh = [value for value in run if value not in model]
        contents = [value ^ 1 for value in fresh]
        known.add(pl.Series(fresh, dtype=pl.UInt64), pl.Series(contents, dtype=pl.UInt64))
        model |= dict(zip(fresh, contents, strict=True))
    asked = [*model, 17, 2**63]
    found = known.look_up(pl.Series(asked, dtype=pl.UInt64)).to_list()
    assert found == [model.get(value) for value in asked]
    assert len(known) == len(model)
