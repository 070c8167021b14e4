"""`sentirec abtest plan` and `analyze` as people and machines see them."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from features.schema import TABLES
from features.store import Store
from jobs.cli import app, exit_code_of
from jobs.errors import BadInputError

START = datetime(2026, 9, 1, tzinfo=UTC)
PLAN = """
name = "sentiment-rerank"
start = 2026-09-01T00:00:00Z
end = 2026-09-08T00:00:00Z
window_days = 3
pre_period_days = 7

[minimum_effect]
relative = 0.1

[[metrics]]
name = "purchases"
kind = "mean"
role = "primary"
event = "purchase"

[[metrics]]
name = "revenue"
kind = "mean"
event = "purchase"
value = "cents"

[[segments]]
name = "past"
by = "new-users"
"""


def rows_of(*, gain: int, num_users: int = 600) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return exposures and outcomes: user n of the treatment buys `gain` more than n % 3."""
    exposures, outcomes = [], []
    for n in range(num_users):
        user, treated = f"u{n}", n % 2 == 1
        entry = START + timedelta(days=n % 7, hours=n % 24)
        variant = "treatment" if treated else "control"
        exposures.append((f"r{n}", user, variant, entry, 0.5, "home" if n % 5 else "item"))
        bought = (n // 2) % 3 + (gain if treated else 0)
        hours = [1 + k for k in range(bought)] + [-5 - k for k in range((n // 2) % 3)]
        outcomes += [(user, "purchase", entry + timedelta(hours=h), 500 + n % 90, 1) for h in hours]
        outcomes.append((user, "view", entry - timedelta(days=8), None, 1))
    return (
        pl.DataFrame(
            exposures,
            schema=[
                "recommendation_id",
                "user_id",
                "variant",
                "event_time",
                "policy_propensity",
                "surface",
            ],
            orient="row",
        ),
        pl.DataFrame(
            outcomes,
            schema=["user_id", "event_type", "event_time", "price_cents", "quantity"],
            orient="row",
            infer_schema_length=None,
        ),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan and logs whose treatment is better."""
    (tmp_path / "abtest.toml").write_text(PLAN)
    write_logs(tmp_path, gain=1)
    return tmp_path


def write_logs(folder: Path, *, gain: int) -> None:
    """Write both logs, the exposures as Parquet and the outcomes as CSV."""
    exposures, outcomes = rows_of(gain=gain)
    exposures.write_parquet(folder / "exposures.parquet")
    outcomes.write_csv(folder / "outcomes.csv")


def run(folder: Path, *arguments: str, command: str = "analyze") -> tuple[int, str]:
    """Run a command on the files of a folder; return exit code and standard output."""
    files = ["--outcomes", str(folder / "outcomes.csv"), "--plan", str(folder / "abtest.toml")]
    if command == "analyze":
        files += ["--exposures", str(folder / "exposures.parquet")]
    result = CliRunner().invoke(app, ["abtest", command, *files, *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_ship_is_exit_code_0_and_the_report_begins_with_it(folder: Path) -> None:
    code, out = run(folder, "--json", "-", "--out", str(folder / "report.html"))
    found = json.loads(out)
    assert code == found["exit_code"] == 0
    assert found["decision"] == "ship"
    assert found["users"] == {"control": 300, "treatment": 300}
    assert found["metrics"]["purchases"]["control"]["estimate"] == pytest.approx(1)
    assert found["metrics"]["purchases"]["absolute"]["value"] == pytest.approx(1)
    report = (folder / "report.html").read_text()
    body = report[report.index("<body>") :]
    assert body.index("SHIP") < body.index("Effects") < body.index("Whether the data are fit")
    assert found["plan"]["sha256"] in report


def test_the_report_loads_nothing_and_runs_nothing(folder: Path) -> None:
    run(folder, "--out", str(folder / "report.html"), "--explore", "surface")
    report = (folder / "report.html").read_text()
    assert "<script" not in report
    sources = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(.{5})", report)
    assert set(sources) == {"data:"}
    assert "http" not in report.replace("http-equiv", "")
    assert report.count("<img") == 4
    assert all(len(alt) > 10 for alt in re.findall(r'alt="([^"]*)"', report))
    assert "exploratory" in report


def test_a_rerun_has_the_same_bytes(folder: Path) -> None:
    told = []
    for turn in ("one", "two"):
        page, figures = folder / f"{turn}.html", folder / f"{turn}.json"
        run(folder, "--out", str(page), "--json", str(figures), "--explore", "surface")
        told.append((page.read_bytes(), figures.read_bytes()))
    assert told[0] == told[1]


def test_do_not_ship_is_exit_code_3_and_not_decidable_4(folder: Path) -> None:
    plan = (folder / "abtest.toml").read_text()
    (folder / "abtest.toml").write_text(
        plan.replace('event = "purchase"', 'event = "purchase"\nbetter = "lower"', 1)
    )
    assert run(folder)[0] == 3
    (folder / "abtest.toml").write_text(plan)
    write_logs(folder, gain=0)
    assert run(folder)[0] == 4


def test_a_gate_that_refuses_hides_the_effects(folder: Path) -> None:
    exposures, _ = rows_of(gain=1)
    treated = pl.col("variant") == "treatment"
    lost = exposures.filter(~treated | (pl.col("user_id").str.slice(1).cast(pl.Int64) % 3 > 0))
    lost.write_parquet(folder / "exposures.parquet")
    code, out = run(folder, "--json", "-", "--out", str(folder / "report.html"))
    found = json.loads(out)
    assert code == 4
    assert found["metrics"] == {}
    assert any("sample ratio" in reason for reason in found["reasons"])
    report = (folder / "report.html").read_text()
    assert "NOT DECIDABLE" in report
    assert "Effects are not shown" in report


def test_peeking_is_refused_and_remembered(folder: Path) -> None:
    early = "2026-09-05T00:00:00+00:00"
    code, out = run(folder, "--as-of", early, "--json", "-")
    assert code == 4
    assert any("wait until" in reason for reason in json.loads(out)["reasons"])
    code, out = run(folder, "--json", "-")
    gates = {gate["name"]: gate for gate in json.loads(out)["gates"]}
    assert code == 0
    assert gates["looks"]["status"] == "warn"
    assert early in gates["looks"]["message"]


def test_a_plan_is_locked_and_a_change_is_marked(folder: Path) -> None:
    code, out = run(folder, "--as-of", "2026-08-31", "--json", "-", command="plan")
    planned = json.loads(out)
    assert code == 0
    lock = json.loads((folder / "abtest.lock.json").read_text())
    assert [entry["sha256"] for entry in lock["plans"]] == [planned["sha256"]]
    _, again = run(folder, "--as-of", "2026-08-31", "--json", "-", command="plan")
    assert json.loads(again) == planned

    def plan_gate() -> dict:
        found = json.loads(run(folder, "--json", "-")[1])
        return next(gate for gate in found["gates"] if gate["name"] == "plan")

    # It was locked now, long after the first exposure of these logs.
    assert "after the first exposure" in plan_gate()["message"]
    lock["plans"][0]["first_seen"] = "2026-08-20T00:00:00Z"
    (folder / "abtest.lock.json").write_text(json.dumps(lock))
    assert plan_gate()["status"] == "pass"
    with (folder / "abtest.toml").open("a") as file:
        file.write("[bots]\nmax_exposures_per_day = 99\n")
    assert "changed after it was locked" in plan_gate()["message"]


def test_plan_says_users_and_days_with_and_without_cuped(folder: Path) -> None:
    _, out = run(folder, "--as-of", "2026-08-31", "--json", "-", command="plan")
    found = json.loads(out)
    purchases = found["metrics"]["purchases"]
    assert found["history"]["num_users"] > 20
    assert purchases["plain"]["num_users"] is None or purchases["plain"]["num_users"] > 0
    assert "revenue" in found["metrics"]


def test_plan_agrees_with_a_computation_by_hand(tmp_path: Path) -> None:
    rows = [(f"u{n}", "view", START - timedelta(days=9, hours=n % 24), None) for n in range(200)]
    rows += [
        (f"u{n}", "purchase", START - timedelta(days=8), 100)
        for n in range(200)
        for _ in range(n % 4)
    ]
    rows += [
        (f"u{n}", "purchase", START - timedelta(days=12), 100)
        for n in range(200)
        for _ in range(n % 4 if n % 2 else 1)
    ]
    pl.DataFrame(
        rows,
        schema=["user_id", "event_type", "event_time", "price_cents"],
        orient="row",
        infer_schema_length=None,
    ).write_csv(tmp_path / "outcomes.csv")
    (tmp_path / "abtest.toml").write_text(PLAN)
    _, out = run(tmp_path, "--json", "-", "--as-of", START.isoformat(), command="plan")
    purchases = json.loads(out)["metrics"]["purchases"]
    counts = [n % 4 for n in range(200)]
    mean = sum(counts) / 200
    variance = sum((c - mean) ** 2 for c in counts) / 199
    assert purchases["mean"] == pytest.approx(mean)
    assert purchases["plain"]["variance"] == pytest.approx(variance)
    needed = (1.959964 + 0.841621) ** 2 * variance / mean**2 / 0.1**2 * 2 * (1 + 1.1**2)
    assert purchases["plain"]["num_users"] == pytest.approx(needed, abs=1)
    assert 0 < purchases["variance_cut"] < 1
    assert purchases["cuped"]["num_users"] < purchases["plain"]["num_users"]
    assert purchases["plain"]["duration_days"] > 7


def test_the_tables_of_a_store_are_read(tmp_path: Path) -> None:
    exposures, outcomes = rows_of(gain=1)
    store = Store(tmp_path / "shop")
    empty = {name: TABLES[name].create_empty() for name in ("exposures", "events")}
    full = exposures.with_columns(
        experiment=pl.lit("sentiment-rerank"),
        model_version=pl.lit("v"),
        seq=pl.int_range(pl.len()),
        items=pl.lit([], dtype=empty["exposures"].schema["items"]),
        candidates=pl.lit([], dtype=pl.List(pl.String)),
    )
    store.append("exposures", _like(full, empty["exposures"]))
    events = outcomes.with_columns(
        event_id=pl.int_range(pl.len()).cast(pl.String),
        item_id=pl.lit("i"),
        seq=pl.int_range(pl.len()),
    )
    store.append("events", _like(events, empty["events"]))
    (tmp_path / "abtest.toml").write_text(PLAN)
    result = CliRunner().invoke(
        app,
        [
            *("abtest", "analyze", "--plan", str(tmp_path / "abtest.toml")),
            *("--store", store.root, "--json", "-"),
        ],
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["metrics"]["purchases"]["absolute"]["value"] == 1


def _like(frame: pl.DataFrame, empty: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that a frame lacks, as nulls."""
    lacking = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in empty.schema.items()
        if name not in frame.columns
    ]
    return frame.with_columns(lacking).select(empty.columns)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("exposures.csv", "user_id,event_time\na,2026-09-02\n", "has no column variant"),
        ("exposures.csv", "user_id,variant,event_time\na,control,soon\n", "no user of variant"),
        (
            "exposures.csv",
            "user_id,variant,event_time\na,control,2026-09-02\nb,control,2026-09-02\n",
            "no user of variant 'treatment'",
        ),
        ("exposures.txt", "x", "must be one of .csv, .csv.gz, .parquet"),
        ("exposures.parquet", "no parquet", "cannot read"),
    ],
)
def test_bad_exposures_are_exit_code_2(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(Exception, match=message) as caught:
        run(folder, "--exposures", str(folder / file))
    assert exit_code_of(caught.value) == 2


def test_bad_input_is_exit_code_2(folder: Path) -> None:
    cases = [
        (["--exposures", str(folder / "none.csv")], "there is no file"),
        (["--plan", str(folder / "none.toml")], "cannot read"),
        (["--out", str(folder / "none" / "r.html")], "there is no folder"),
        (["--as-of", "soon"], "is no ISO 8601 time"),
        (["--store", str(folder)], "not both"),
        (["--explore", "country"], "has no column country"),
    ]
    for arguments, message in cases:
        with pytest.raises(Exception, match=message) as caught:
            run(folder, *arguments)
        assert exit_code_of(caught.value) == 2
    (folder / "abtest.lock.json").write_text("{")
    with pytest.raises(BadInputError, match="is damaged"):
        run(folder)


def test_exclusions_are_stated_with_counts(folder: Path) -> None:
    exposures, _ = rows_of(gain=1)
    early = exposures.head(1).with_columns(
        event_time=pl.lit(START - timedelta(days=1)), recommendation_id=pl.lit("early")
    )
    other = exposures.slice(2, 1).with_columns(
        variant=pl.lit("treatment"), recommendation_id=pl.lit("other")
    )
    more = pl.concat([exposures, early, other, exposures.head(3)], how="vertical_relaxed")
    more.drop("policy_propensity").write_parquet(folder / "exposures.parquet")
    _, out = run(folder, "--json", "-")
    counts = json.loads(out)["counts"]
    assert counts["rows_before_start"] == 1
    assert counts["users_in_both_variants"] == 1
    assert counts["duplicate_exposures"] == 3
    gates = {gate["name"]: gate["message"] for gate in json.loads(out)["gates"]}
    assert "no propensities" in gates["assignment"]
