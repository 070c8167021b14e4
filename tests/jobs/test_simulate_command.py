"""`sentirec abtest simulate` and `interleave`, as people and machines see them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from features.store import Store
from jobs.cli import app, exit_code_of

SMALL = ["--users", "60", "--items", "100", "--lists", "1500", "--candidates", "5"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["abtest", *arguments])


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


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("simulated") / "shop"
    result = run("simulate", "--out", str(folder), *SMALL, "--epsilon", "0.6", "--json", "-")
    assert code(result) == 0, result.exception
    return folder, json.loads(result.stdout)


def test_the_store_holds_what_the_report_counts(simulated: tuple[Path, dict]) -> None:
    folder, report = simulated
    store = Store(folder)
    for table, count in report["rows"].items():
        assert len(store.scan(table).collect()) == count
    assert report["rows"]["exposures"] == 1500
    truth = report["true_values"]
    assert truth["relevance"]["click"] > truth["uniform"]["click"]
    assert truth["satisfaction"]["satisfaction"] > truth["uniform"]["satisfaction"]


@pytest.mark.parametrize("reward", ["click", "purchase", "satisfaction"])
def test_off_policy_finds_the_truth_in_the_simulated_store(
    simulated: tuple[Path, dict], reward: str
) -> None:
    folder, report = simulated
    asked = ["off-policy", "--log", str(folder), "--policy", "uniform", "--reward", reward]
    result = run(*asked, "--no-lightgbm", "--json", "-")
    assert code(result) == 0, result.exception
    found = json.loads(result.stdout)["estimates"]
    truth = report["true_values"]["uniform"][reward]
    for name in ("dr", "snipw"):
        estimate = found[name]
        assert abs(estimate["value"] - truth) < 4 * estimate["intervals"]["standard_error"], name
    lists = found["reward_interaction_ips"]
    assert abs(lists["value"] - 3 * truth) < 4 * lists["intervals"]["standard_error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "best"], "unknown policy 'best'"),
        (["--epsilon", "2"], "epsilon is 2"),
        (["--candidates", "2"], "num_candidates is 2"),
        (["--lists", "0"], "num_lists is 0"),
        (["--users", "3"], "num_users is 3"),
    ],
)
def test_bad_settings_end_with_two(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("simulate", "--out", str(tmp_path / "shop"), *SMALL, *arguments)
    assert code(result) == 2
    assert message in str(result.exception)
    assert not (tmp_path / "shop").exists()


def test_a_store_with_tables_is_left_alone(simulated: tuple[Path, dict]) -> None:
    result = run("simulate", "--out", str(simulated[0]), *SMALL)
    assert code(result) == 2
    assert "holds the table exposures" in str(result.exception)


def ranking(path: Path, orders: dict[str, str]) -> Path:
    pl.DataFrame(
        [
            {"list_id": name, "item_id": item, "rank": rank}
            for name, order in orders.items()
            for rank, item in enumerate(order, 1)
        ]
    ).write_csv(path)
    return path


def test_rankings_are_interleaved_shown_and_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"l{number:03}" for number in range(150)]
    a = ranking(tmp_path / "a.csv", dict.fromkeys(names, "abcdef"))
    b = ranking(tmp_path / "b.csv", dict.fromkeys(names, "adbecf"))
    out = tmp_path / "lists.csv"
    asked = ["interleave", "--a", str(a), "--b", str(b), "--out", str(out), "--places", "4"]
    written = run(*asked, "--json", "-")
    assert code(written) == 0, written.exception
    lists = pl.read_csv(out)
    report = json.loads(written.stdout)
    assert (report["num_lists"], len(lists)) == (150, 600)
    assert lists.filter(pl.col("position") == 1)["item_id"].unique().to_list() == ["a"]
    assert report["agreed"] == 150
    # Users like d, which b puts second.
    liked = pl.when(pl.col("item_id") == "d").then(0.6).otherwise(0.1)
    shown = lists.with_columns(
        user_id=pl.col("list_id"), click=(liked > pl.Series(rng.random(600))).cast(int)
    )
    shown.write_csv(tmp_path / "log.csv")
    judged = run("interleave", "--log", str(tmp_path / "log.csv"), "--json", "-")
    assert code(judged) == 0, judged.exception
    found = json.loads(judged.stdout)
    assert found["preferred"] == "b"
    assert found["low"] > 0
    shown.with_columns(click=pl.lit(0)).write_csv(tmp_path / "none.csv")
    undecided = run("interleave", "--log", str(tmp_path / "none.csv"))
    assert code(undecided) == 4
    assert "not decidable" in str(undecided.exception)


def test_bad_interleaving_ends_with_two(tmp_path: Path) -> None:
    a = ranking(tmp_path / "a.csv", {"l1": "ab", "l2": "ab"})
    b = ranking(tmp_path / "b.csv", {"l1": "ba"})
    twice = ranking(tmp_path / "twice.csv", {"l1": "aa", "l2": "ab"})
    bare = tmp_path / "bare.csv"
    bare.write_text("list_id,click\n1,0\n")
    worded = tmp_path / "worded.csv"
    worded.write_text("list_id,item_id,rank\nl1,a,1\nl1,b,ten\nl2,a,2\n")
    gap = tmp_path / "gap.csv"
    gap.write_text("list_id,item_id,rank\nl1,a,1\nl1,b,\nl2,a,2\n")
    teams = tmp_path / "teams.csv"
    teams.write_text("list_id,user_id,team,click\n1,u,c,0\n")
    out = str(tmp_path / "o.csv")
    for arguments, message in (
        (["--a", str(a), "--b", str(b), "--out", out], "1 lists stand in one file only"),
        (["--a", str(a), "--b", str(twice), "--out", out], "same list_id and item_id"),
        (["--a", str(a), "--b", str(bare), "--out", out], "has no item_id, rank"),
        (["--a", str(a), "--b", str(worded), "--out", out], "ranks that are no numbers"),
        (["--a", str(a), "--b", str(gap), "--out", out], "1 rows without a list, an item or"),
        (["--a", str(a)], "--a, --b and --out go together"),
        ([], "give --a, --b and --out; or --log"),
        (["--log", str(bare)], "has no user_id, team"),
        (["--log", str(teams)], r"teams ['c']"),
        (["--simulate", "popular", "best"], "unknown policy 'best'"),
        (["--simulate", "popular", "popular"], "the same clicks"),
    ):
        result = run("interleave", *arguments)
        assert code(result) == 2, arguments
        assert message in str(result.exception)


def test_the_saving_is_told() -> None:
    result = run("interleave", "--simulate", "popular", "relevance", "--places", "3", "--json", "-")
    assert code(result) == 0, result.exception
    found = json.loads(result.stdout)
    assert found["ratio"] > 1.5
    assert found["ab_lists"] > found["interleaved_lists"]
