"""`sentirec abtest campaign` on a promotion whose truth is known."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from jobs.cli import app, exit_code_of

START = datetime(2026, 9, 1, tzinfo=UTC)
PLAN = """
name = "autumn strings"
start = 2026-09-01
end = 2026-09-15
num_periods_before = 21
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan, a file of treated items, and purchases: the treated sell 30 a day more from START."""
    rng = np.random.default_rng(1)
    rows = []
    for item in range(30):
        for day in range(-21, 14):
            mean = 60 + 10 * (item % 5) + (30 if item < 8 and day >= 0 else 0)
            when = START + timedelta(days=day, hours=2)
            rows += [("u", "purchase", when, f"i{item}", 200, None)] * rng.poisson(mean)
            rows.append((f"u{day}", "review", when, f"i{item}", None, rng.uniform(-0.2, 1)))
    pl.DataFrame(
        rows,
        schema=["user_id", "event_type", "event_time", "item_id", "price_cents", "polarity"],
        orient="row",
        infer_schema_length=None,
    ).write_parquet(tmp_path / "outcomes.parquet")
    (tmp_path / "campaign.toml").write_text(PLAN)
    (tmp_path / "treated.txt").write_text("".join(f"i{n}\n" for n in range(8)))
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, dict]:
    """Run the command; return exit code and what it wrote as JSON."""
    result = CliRunner().invoke(
        app,
        [
            *("abtest", "campaign", "--plan", str(folder / "campaign.toml")),
            *("--outcomes", str(folder / "outcomes.parquet"), "--json", "-"),
            *("--treated", str(folder / "treated.txt"), *arguments),
        ],
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)


def test_incremental_sales_are_found_and_the_report_is_the_same_again(folder: Path) -> None:
    pages = [folder / "one.html", folder / "two.html"]
    told = [run(folder, "--out", str(page)) for page in pages]
    assert told[0] == told[1]
    code, found = told[0]
    assert code == 0, found["reasons"]
    # Eight items, fourteen days, thirty more a day at 200 cents.
    truth = 8 * 14 * 30 * 200
    assert found["sales"]["total_low"] < truth < found["sales"]["total_high"]
    assert found["sales"]["total"] == pytest.approx(truth, rel=0.15)
    assert found["sentiment"]["effect"] == pytest.approx(0, abs=0.1)
    assert (found["num_treated"], found["num_controls"]) == (8, 22)
    report = pages[0].read_text()
    assert report == pages[1].read_text()
    assert "WORKED" in report
    assert "<script" not in report


def test_one_item_by_synthetic_control(folder: Path) -> None:
    (folder / "treated.txt").write_text("i0\n")
    others = json.dumps([f"i{n}" for n in range(8, 30)])
    (folder / "campaign.toml").write_text(
        PLAN + f'method = "synthetic-control"\ncontrols = {others}\n'
    )
    code, found = run(folder, "--out", str(folder / "one.html"))
    # Fourteen days of one item have a standard deviation of about 500 cents; the mixture adds.
    assert found["synthetic_control"]["effect"] == pytest.approx(6000, abs=2000)
    assert sum(found["synthetic_control"]["weights_D"]) == pytest.approx(1)
    assert code in (0, 4)
    assert "synthetic control" in (folder / "one.html").read_text()


def test_bad_input_is_exit_code_2(folder: Path) -> None:
    cases = [
        (["--treated", str(folder / "none.txt")], "cannot read"),
        (["--store", "x"], "not both"),
        (["--out", str(folder / "none" / "r.html")], "there is no folder"),
    ]
    for arguments, message in cases:
        with pytest.raises(Exception, match=message) as caught:
            run(folder, *arguments)
        assert exit_code_of(caught.value) == 2
    (folder / "treated.txt").write_text("")
    with pytest.raises(Exception, match="no unit is treated") as caught:
        run(folder)
    assert exit_code_of(caught.value) == 2
