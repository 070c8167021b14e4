import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.contracts import check
from features.errors import DamagedFileError, InputError, MissingColumnError, UnknownFormatError
from features.readers import Batch, ByteSource, detect, read_batches
from features.readers import batches as batches_module

AMAZON_2014 = {
    "reviewerID": "A1",
    "asin": "B1",
    "reviewerName": "Jo",
    "helpful": [2, 3],
    "reviewText": "Fine sound",
    "overall": 5.0,
    "summary": "Good",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
AMAZON_2018 = AMAZON_2014 | {"verified": True, "vote": "1,204", "style": {"Color:": " Red"}}
AMAZON_2023 = {
    "rating": 5.0,
    "title": "Good",
    "text": "Fine sound",
    "images": [],
    "asin": "B1-red",
    "parent_asin": "B1",
    "user_id": "A1",
    "timestamp": 1252800000123,
    "helpful_vote": 7,
    "verified_purchase": True,
}
NORMALISED = {
    "user_id": "A1",
    "item_id": "B1",
    "rating": 5,
    "timestamp": 1252800000,
    "title": "Good",
    "text": "Fine sound",
    "helpful_up": 2,
    "helpful_total": 3,
}


def read(path: Path, format_name: str | None = None) -> tuple[str, list[Batch]]:
    with ByteSource(path) as source:
        detected = detect(source, format_name)
        return detected.format.name, list(read_batches(source, detected))


def write(folder: Path, content: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_json(folder: Path, *rows: dict[str, Any]) -> Path:
    return write(folder, "".join(json.dumps(row) + "\n" for row in rows))


def rows(batches: list[Batch], table: str) -> list[dict[str, Any]]:
    typed = [check(table, batch.tables[table].frame).good for batch in batches]
    return pl.concat(typed).to_dicts()


@pytest.mark.parametrize("row", [AMAZON_2014, AMAZON_2018, AMAZON_2023, NORMALISED])
def test_amazon_vintages(tmp_path: Path, row: dict[str, Any]) -> None:
    name, batches = read(write_json(tmp_path, row))
    assert name == "amazon-reviews"
    [review] = rows(batches, "reviews")
    assert (review["user_id"], review["item_id"], review["rating"]) == ("A1", "B1", 5.0)
    assert (review["title"], review["text"], review["source"]) == ("Good", "Fine sound", "review")
    assert review["event_time"].date().isoformat() == "2009-09-13"
    assert review["seq"] == 0
    [event] = rows(batches, "events")
    assert event["event_type"] == "purchase"
    assert event["event_time"] == review["event_time"]
    assert event["seq"] == review["seq"]
    [item] = rows(batches, "items")
    assert item["item_id"] == "B1"
    assert item["categories"] == []


def test_amazon_votes(tmp_path: Path) -> None:
    votes = []
    for row in (AMAZON_2014, AMAZON_2018, AMAZON_2023, NORMALISED):
        _, batches = read(write_json(tmp_path, row))
        votes.append(rows(batches, "reviews")[0]["helpful_votes"])
    assert votes == [2, 1204, 7, 2]


def test_one_review_has_one_id_in_every_vintage(tmp_path: Path) -> None:
    ids = {
        rows(read(write_json(tmp_path, row))[1], "reviews")[0]["review_id"]
        for row in (AMAZON_2014, AMAZON_2018, NORMALISED)
    }
    assert len(ids) == 1


def test_ids_do_not_depend_on_file_name_compression_or_place(tmp_path: Path) -> None:
    other = NORMALISED | {"text": "Bad sound"}
    content = "".join(json.dumps(row) + "\n" for row in (NORMALISED, other))
    swapped = "".join(json.dumps(row) + "\r\n" for row in (other, NORMALISED))
    files = [
        write(tmp_path, content, "a.jsonl"),
        write(tmp_path, gzip.compress(content.encode()), "b.unknown"),
        write(tmp_path, swapped, "c"),
    ]
    ids = [{row["review_id"] for row in rows(read(file)[1], "reviews")} for file in files]
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 2


def test_interactions_yield_purchases_ratings_and_splits(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,rating,timestamp,split\nu,i,4.0,1546297654,train\n")
    name, batches = read(path)
    assert name == "amazon-interactions"
    [event] = rows(batches, "events")
    [review] = rows(batches, "reviews")
    [split] = rows(batches, "splits")
    assert event["event_type"] == "purchase"
    assert (review["rating"], review["text"]) == (4.0, None)
    assert (split["event_id"], split["split"]) == (event["event_id"], "train")


def test_interactions_without_a_rating_yield_no_review(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,rating,timestamp\nu,i,,1546297654\n")
    _, batches = read(path)
    assert len(rows(batches, "events")) == 1
    assert rows(batches, "reviews") == []
    assert "splits" not in batches[0].tables


def test_catalogue_prices_become_cents(tmp_path: Path) -> None:
    header = "item_id,title,category,brand,price,avg_rating\n"
    path = write(tmp_path, header + 'a,"A, b",Cases,X,27.99,4.4\nb,B,,,,\nc,C,Cases,X,"$1,299",\n')
    name, batches = read(path)
    assert name == "amazon-items"
    items = rows(batches, "items")
    assert [item["price_cents"] for item in items] == [2799, None, 129900]
    assert [item["currency"] for item in items] == ["USD", None, "USD"]
    assert [item["categories"] for item in items] == [["Cases"], [], ["Cases"]]


def test_sequences_get_a_day_a_position(tmp_path: Path) -> None:
    name, batches = read(write(tmp_path, "user_id,item_id,pos\nu,a,0\nu,b,1\n"))
    assert name == "sequences"
    events = rows(batches, "events")
    assert [event["event_time"].strftime("%Y-%m-%d") for event in events] == [
        "2000-01-01",
        "2000-01-02",
    ]
    assert [event["seq"] for event in events] == [0, 1]


def test_attributes_become_categories(tmp_path: Path) -> None:
    name, batches = read(write(tmp_path, "item_id,attribute_ids\na,1 2\nb,\n"))
    assert name == "item-attributes"
    assert [item["categories"] for item in rows(batches, "items")] == [["attr:1", "attr:2"], []]


TAOBAO = (
    "1,10,7,pv,1511544070\n1,10,7,cart,1511544071\n1,10,7,fav,1511544072\n1,10,7,buy,1511544073\n"
)


@pytest.mark.parametrize("header", ["user_id,item_id,category_id,behavior,timestamp\n", ""])
def test_taobao_with_and_without_its_header(tmp_path: Path, header: str) -> None:
    name, batches = read(write(tmp_path, header + TAOBAO))
    assert name == "taobao"
    events = rows(batches, "events")
    assert [event["event_type"] for event in events] == ["view", "cart", "wishlist", "purchase"]
    assert rows(batches, "items")[0]["categories"] == ["7"]


def test_retailrocket(tmp_path: Path) -> None:
    header = "timestamp,visitorid,event,itemid,transactionid\n"
    body = (
        "1433193132535,1,view,5,\n1433193132536,1,addtocart,5,\n1433193132537,1,transaction,5,9\n"
    )
    name, batches = read(write(tmp_path, header + body))
    assert name == "retailrocket"
    events = rows(batches, "events")
    assert [event["event_type"] for event in events] == ["view", "cart", "purchase"]
    assert events[0]["event_time"].year == 2015


UCI = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,LAMP,6.0,2010-12-01 08:26:00,2.55,17850.0,France
C2,A,LAMP,-1,2010-12-02 08:26:00,2.55,17850,France
3,A,LAMP,-2,12/3/2010 8:26,2.55,17850,France
4,A,?,1,12/4/2010 8:26,2.55,,France
"""


def test_uci_returns_and_lines_without_a_customer(tmp_path: Path) -> None:
    name, batches = read(write(tmp_path, UCI))
    assert name == "uci-retail"
    events = rows(batches, "events")
    assert [(event["event_type"], event["quantity"]) for event in events] == [
        ("purchase", 6),
        ("return", 1),
        ("return", 2),
    ]
    assert {event["user_id"] for event in events} == {"17850"}
    assert events[0]["price_cents"] == 255
    assert [event["event_time"].strftime("%m-%d %H:%M") for event in events] == [
        "12-01 08:26",
        "12-02 08:26",
        "12-03 08:26",
    ]
    bad = check("events", batches[0].tables["events"].frame).bad
    assert bad.to_dicts() == [{"source_line": 5, "rule": "no_customer"}]


def test_product_reviews(tmp_path: Path) -> None:
    header = "id,brand,categories,name,reviews_date,reviews_didPurchase,reviews_rating,"
    header += "reviews_text,reviews_title,user_id\n"
    body = 'p,X,"Music,Movies, Music & Books",N,2012-11-30T06:21:45.000Z,,5,"two\nlines",T,u\n'
    body += "p,X,,N,2012-11-30T06:21:45.000Z,False,1,bad,T,v\n"
    name, batches = read(write(tmp_path, header + body))
    assert name == "product-reviews"
    reviews = rows(batches, "reviews")
    assert [review["text"] for review in reviews] == ["two\nlines", "bad"]
    assert [review["verified"] for review in reviews] == [None, False]
    assert [event["user_id"] for event in rows(batches, "events")] == ["u"]
    assert rows(batches, "items")[0]["categories"] == ["Music", "Movies, Music & Books"]


def test_a_review_table_without_users_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "Clothing ID,Title,Review Text,Rating\n1,a,b,5\n")
    with pytest.raises(MissingColumnError, match=r"lacks user_id .*found are: Clothing ID, Title"):
        read(path)


@pytest.mark.parametrize("container", ["csv", "json", "parquet"])
def test_the_tables_themselves(tmp_path: Path, container: str) -> None:
    path = tmp_path / "items"
    if container == "csv":
        path.write_text("item_id,title,categories,in_stock,created_at\ni,T,a|b,true,2020-01-01\n")
    elif container == "json":
        row = {"item_id": "i", "title": "T", "categories": ["a", "b"], "in_stock": True}
        path.write_text(json.dumps(row | {"created_at": "2020-01-01T00:00:00Z"}) + "\n")
    else:
        frame = {"item_id": ["i"], "title": ["T"], "categories": [["a", "b"]], "in_stock": [True]}
        pl.DataFrame(frame | {"created_at": [datetime(2020, 1, 1)]}).write_parquet(path)
    name, batches = read(path)
    assert name == "items"
    [item] = rows(batches, "items")
    assert item["categories"] == ["a", "b"]
    assert item["in_stock"] is True
    assert item["created_at"].isoformat() == "2020-01-01T00:00:00+00:00"


def test_events_keep_their_seq_and_get_ids_where_they_have_none(tmp_path: Path) -> None:
    header = "user_id,item_id,event_type,event_time,seq\n"
    name, batches = read(write(tmp_path, header + "u,i,view,1546297654,41\nu,j,view,1546297654,\n"))
    assert name == "events"
    events = rows(batches, "events")
    assert [event["seq"] for event in events] == [41, 1]
    assert len({event["event_id"] for event in events}) == 2


def test_reviews_without_source_are_reviews(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,text,event_time\nu,good,2020-01-01\n")
    name, batches = read(path)
    assert name == "reviews"
    assert rows(batches, "reviews")[0]["source"] == "review"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n \n", "empty"),
        (gzip.compress(b""), "empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"PAR1", "Parquet"),
        (b"[1, 2]", "one JSON object a line"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\x89\xe9\n1", "not UTF-8"),
        (b"a,b\n1,2\n", "its columns are: a, b"),
        (b"a,a\n1,2\n", "more than once: a"),
        (b"{broken\n", "none of its first lines"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path, content))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "absent")
    with pytest.raises(InputError, match="directory"):
        read(tmp_path)


def test_a_forced_format_names_what_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "a,b\n1,2\n")
    with pytest.raises(MissingColumnError, match=r"visitorid; event; itemid.*found are: a, b"):
        read(path, "retailrocket")
    with pytest.raises(UnknownFormatError, match="there is no format nonsense"):
        read(path, "nonsense")


def problems(batches: list[Batch]) -> list[tuple[int, str]]:
    return [(found.line, found.rule) for batch in batches for found in batch.records.problems]


def test_broken_json_lines_are_named_and_the_others_read(tmp_path: Path) -> None:
    good = json.dumps(NORMALISED).encode()
    surrogate = json.dumps(NORMALISED).replace("Good", "\\ud800").encode()
    lines = [good, b"{broken", b'"text"', b"", b'{"a": "\xff"}', surrogate, b"[" * 100_000, good]
    _, batches = read(write(tmp_path, b"\n".join(lines)))
    assert problems(batches) == [
        (2, "malformed_json"),
        (3, "not_a_json_object"),
        (5, "invalid_utf8"),
        (6, "invalid_unicode"),
        (7, "malformed_json"),
    ]
    assert [review["seq"] for review in rows(batches, "reviews")] == [0, 6]


def test_a_stray_quote_costs_one_row(tmp_path: Path) -> None:
    body = 'a,"x\ny",1\nb,"open,1\nc,z,1\nd,"q ""w""",1\ne,one,two,1\nf,\xff,1\ng,h,1'
    content = ("user_id,item_id,pos\n" + body).encode("latin-1")
    _, batches = read(write(tmp_path, content))
    assert problems(batches) == [
        (4, "malformed_csv"),
        (7, "wrong_number_of_fields"),
        (8, "invalid_utf8"),
    ]
    records = batches[0].records.frame
    assert records["user_id"].to_list() == ["a", "c", "d", "g"]
    assert records["item_id"].to_list() == ["x\ny", "z", 'q "w"', "h"]
    assert records["source_line"].to_list() == [2, 5, 6, 9]


@pytest.mark.parametrize("kept_share", [0.5, 0.99])
def test_a_cut_gzip_yields_its_whole_rows_and_then_fails(tmp_path: Path, kept_share: float) -> None:
    lines = [json.dumps(NORMALISED | {"text": f"text {n} " * 9}) + "\n" for n in range(20_000)]
    packed = gzip.compress("".join(lines).encode())
    path = write(tmp_path, packed[: int(len(packed) * kept_share)])
    batches: list[Batch] = []
    with ByteSource(path) as source, pytest.raises(DamagedFileError, match="ends early"):
        batches.extend(read_batches(source, detect(source)))
    seen = sum(len(batch.records.frame) for batch in batches)
    assert problems(batches) == []
    assert 0.8 * kept_share * len(lines) < seen < len(lines)


def test_a_gzip_with_a_wrong_checksum_is_damaged(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(json.dumps(NORMALISED).encode() + b"\n"))
    packed[-8] ^= 0xFF
    with pytest.raises(DamagedFileError, match="broken gzip"):
        read(write(tmp_path, bytes(packed)))


def test_gzip_members_are_read_on(tmp_path: Path) -> None:
    member = gzip.compress(json.dumps(NORMALISED).encode() + b"\n")
    _, batches = read(write(tmp_path, member * 3 + b"\x00" * 64))
    assert len(batches[0].records.frame) == 3


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "BATCH_ROWS", 10)
    body = "".join(f"u{n},i,{n}\n" for n in range(25))
    _, batches = read(write(tmp_path, "user_id,item_id,pos\n" + body))
    assert [len(batch.records.frame) for batch in batches] == [10, 10, 5]
    seqs = pl.concat([batch.tables["events"].frame["seq"] for batch in batches])
    assert seqs.to_list() == list(range(25))
