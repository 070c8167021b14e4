"""Logs of an experiment as files: what is read as a number, and what is not."""

from pathlib import Path

import polars as pl

from jobs.scan_abtest_logs import scan_file


def test_cents_are_whole_however_they_are_written(tmp_path: Path) -> None:
    as_text = ["12", "12.0", "12.99", "dear", "-3", "9007199254740993", "nan", None]
    wanted = [12, 12, None, None, -3, 9007199254740993, None, None]
    pl.DataFrame({"price_cents": as_text}).write_csv(tmp_path / "text.csv")
    found = scan_file(tmp_path / "text.csv", ["price_cents"]).collect()
    assert found["price_cents"].to_list() == wanted
    numbers = pl.DataFrame({"price_cents": [12.0, 12.99, float("nan"), float("inf"), None]})
    numbers.write_parquet(tmp_path / "floats.parquet")
    found = scan_file(tmp_path / "floats.parquet", ["price_cents"]).collect()
    assert found["price_cents"].to_list() == [12, None, None, None, None]
