"""`sentirec abtest off-policy`, as people and machines see it: exit codes, JSON, the page."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app, exit_code_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "bandit"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three items, shown with known chances."""
    rng = np.random.default_rng(0)
    chance, rate = np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.2, 0.5])
    item = rng.choice(3, 4000, p=chance)
    path = tmp_path / "log.csv"
    pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in item],
            "propensity": chance[item],
            "click": (rng.random(4000) < rate[item]).astype(int),
        }
    ).write_csv(path)
    return path


def run(log: Path, policy: str, *arguments: str) -> Result:
    asked = ["abtest", "off-policy", "--log", str(log), "--policy", policy, *arguments]
    return CliRunner().invoke(app, asked)


def code(result: Result) -> int:
    """The exit code, as `main` gives it."""
    error = result.exception
    if isinstance(error, SystemExit) or error is None:
        return result.exit_code
    assert isinstance(error, Exception)
    found = exit_code_of(error)
    if found is None:
        raise error
    return found


def test_an_estimate_ends_with_zero_and_writes_json_and_a_page(log: Path, tmp_path: Path) -> None:
    out, machine = tmp_path / "report.html", tmp_path / "o.json"
    result = run(log, "uniform", "--out", str(out), "--json", str(machine), "--no-lightgbm")
    assert code(result) == 0, result.exception
    found = json.loads(machine.read_text())
    assert found["verdict"] == "estimated"
    assert found["estimate"]["estimator"] == "dr"
    low, high = found["estimate"]["intervals"]["bootstrap"]
    assert low < (0.1 + 0.2 + 0.5) / 3 < high
    assert "estimated: click of uniform by dr" in " ".join(result.stdout.split())
    page = out.read_text()
    assert page.index("estimated") < page.index("<h2>")
    assert page.count("data:image/svg+xml") == 2
    assert "http://" not in page
    assert "<script" not in page


def test_the_same_seed_gives_the_same_bytes(log: Path, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        out, machine = tmp_path / f"{name}.html", tmp_path / f"{name}.json"
        assert code(run(log, "uniform", "--out", str(out), "--json", str(machine))) == 0
        written.append((out.read_bytes(), machine.read_bytes()))
    assert written[0] == written[1]


def test_a_log_that_cannot_answer_ends_with_four_and_no_number(log: Path, tmp_path: Path) -> None:
    policy, machine, out = tmp_path / "p.json", tmp_path / "o.json", tmp_path / "o.html"
    policy.write_text(json.dumps({"i2": 0.5, "new": 0.5}))
    result = run(log, str(policy), "--json", str(machine), "--out", str(out))
    assert code(result) == 4
    found = json.loads(machine.read_text())
    assert found["verdict"] == "not estimable from this log"
    assert found["estimate"] is None
    assert found["estimates"] == {}
    assert any("never logged" in reason for reason in found["reasons"])
    assert "never logged" in out.read_text()


@pytest.mark.parametrize(
    ("policy", "arguments", "message"),
    [
        ("none.csv", [], "there is no file none.csv"),
        ("uniform", ["--reward", "purchase"], "no reward 'purchase'"),
        ("uniform", ["--estimator", "best"], "unknown estimator"),
        ("uniform", ["--clip", "0"], "clip is 0"),
        ("uniform", ["--window-days", "0"], "window_days is 0"),
        ("uniform", ["--out", "nowhere/o.html"], "there is no folder nowhere"),
    ],
)
def test_bad_input_ends_with_two(
    log: Path, policy: str, arguments: list[str], message: str
) -> None:
    result = run(log, policy, *arguments)
    assert code(result) == 2
    assert message in str(result.exception)


def test_a_log_without_propensities_ends_with_two(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("item_id,click\na,1\nb,0\n")
    result = run(path, "uniform")
    assert code(result) == 2
    assert "no propensities" in str(result.exception)


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_the_open_bandit_sample_is_estimated(tmp_path: Path) -> None:
    machine = tmp_path / "o.json"
    result = run(DATA / "bts_men.csv.gz", "uniform", "--json", str(machine), "--no-lightgbm")
    assert code(result) == 0
    found = json.loads(machine.read_text())
    assert round(found["estimates"]["ipw"]["value"], 9) == 0.003008626
    low, high = found["estimates"]["ipw"]["intervals"]["bootstrap"]
    assert (round(low, 7), round(high, 7)) == (0.0015292, 0.0046458)
