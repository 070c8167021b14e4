"""Ten million exposures to a verdict, in a process of its own; pandas and statsmodels beside it.

    python -m benchmarks.abtest.speed ours|pandas FOLDER

is what the benchmark starts: it analyses the logs of a folder and prints figures as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

START_US = 1_788_220_800_000_000  # 2026-09-01
DAY_US = 86_400_000_000
PLAN = """
name = "speed"
start = 2026-09-01T00:00:00Z
end = 2026-09-15T00:00:00Z
window_days = 7
pre_period_days = 14
analysis = "cuped"

[minimum_effect]
relative = 0.01

[[metrics]]
name = "revenue"
kind = "mean"
role = "primary"
event = "purchase"
value = "cents"

[[metrics]]
name = "buyers"
kind = "conversion"
event = "purchase"

[[metrics]]
name = "basket"
kind = "ratio"
event = "purchase"
value = "cents"
denominator_event = "purchase"
"""


def write_logs(folder: Path, num_exposures: int, num_users: int, seed: int) -> None:
    """Write exposures, and as many outcomes, of which half are before the exposure."""
    rng = np.random.default_rng(seed)
    names = pl.Series([f"user-{n:08d}" for n in range(num_users)])
    treated = rng.random(num_users) < 0.5
    entry = rng.integers(0, 14 * DAY_US, num_users)
    user = np.sort(np.concatenate([np.arange(num_users), _some(rng, num_users, num_exposures)]))
    later = rng.integers(0, 2 * DAY_US, len(user))
    later[np.unique(user, return_index=True)[1]] = 0
    at = np.minimum(entry[user] + later, 14 * DAY_US - 1)
    pl.DataFrame(
        {
            "recommendation_id": pl.select(
                "rec-" + pl.int_range(len(user)).cast(pl.String).str.zfill(9)
            ).to_series(),
            "user_id": names[user],
            "variant": pl.Series(np.where(treated[user], "treatment", "control")),
            "policy_propensity": pl.repeat(0.5, len(user), eager=True),
            "event_time": _times(at),
        }
    ).sample(fraction=1, shuffle=True, seed=seed).write_parquet(folder / "exposures.parquet")
    taste = rng.gamma(2.0, 1.0, num_users)
    chance = np.cumsum(taste) / taste.sum()
    who = np.searchsorted(chance, rng.random(num_exposures))
    is_before = rng.random(num_exposures) < 0.5
    shift = np.where(
        is_before,
        -rng.integers(1, 14 * DAY_US, num_exposures),
        rng.integers(0, 7 * DAY_US, num_exposures),
    )
    kind = np.where(rng.random(num_exposures) < 0.6, "purchase", "click")
    cents = rng.lognormal(7, 0.8, num_exposures) * (1 + 0.02 * treated[who] * ~is_before)
    pl.DataFrame(
        {
            "user_id": names[who],
            "event_type": pl.Series(kind),
            "event_time": _times(entry[who] + shift),
            "price_cents": cents.astype(np.int64),
        }
    ).write_parquet(folder / "outcomes.parquet")


def run_speed(
    folder: Path, num_exposures: int, repeats: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield wall time, processor time and peak memory of both, each in fresh processes."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "outcomes.parquet").exists():
        write_logs(folder, num_exposures, num_exposures // 5, seed)
    # By turns, so that both meet the same neighbours on a shared machine.
    for _ in range(repeats):
        for who in ("ours", "pandas"):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.abtest.speed", who, str(folder)],
                check=True,
                capture_output=True,
                env=os.environ | {"POLARS_MAX_THREADS": "2"},
            )
            yield {"who": who} | json.loads(done.stdout.splitlines()[-1])


def ours(folder: Path) -> dict[str, float]:
    """Analyse as the command does, with all gates."""
    from jobs.analyze_abtest import analysis_json
    from jobs.scan_abtest_logs import AbtestLogs, day_after, scan_file
    from recsys.abtest.analysis import analyse
    from recsys.abtest.enrolment import WANTED
    from recsys.abtest.outcomes import WANTED as OF_OUTCOMES
    from recsys.abtest.plan import parse_plan

    logs = AbtestLogs(
        scan_file(folder / "exposures.parquet", WANTED),
        scan_file(folder / "outcomes.parquet", OF_OUTCOMES),
    )
    found = analysis_json(
        analyse(parse_plan(PLAN), logs.exposures, logs.outcomes, as_of=day_after(logs))
    )
    assert found["metrics"], found["reasons"]
    return {name: m["absolute"]["value"] for name, m in found["metrics"].items()} | {
        f"{name} se": m["absolute"]["standard_error"] for name, m in found["metrics"].items()
    }


def with_pandas(folder: Path) -> dict[str, float]:
    """Compute the same effects; of the gates only the sample ratio and duplicates."""
    import pandas as pd
    import statsmodels.api as sm
    from scipy.stats import chisquare

    shown: Any = pd.read_parquet(folder / "exposures.parquet")
    assert not shown["recommendation_id"].duplicated().any()
    users: Any = shown.groupby("user_id").agg(
        entry=("event_time", "min"), variant=("variant", "first"), kinds=("variant", "nunique")
    )
    users = users[users["kinds"] == 1]
    users["treated"] = (users["variant"] == "treatment").astype(float)
    assert chisquare(users["treated"].value_counts())[1] > 0.001
    events: Any = pd.read_parquet(folder / "outcomes.parquet")
    events = events[events["event_type"] == "purchase"].merge(
        users[["entry"]], left_on="user_id", right_index=True
    )
    since = events["event_time"] - events["entry"]
    zero = pd.Timedelta(0)
    parts = {
        "after": events[(since >= zero) & (since < pd.Timedelta(days=7))],
        "before": events[(since < zero) & (since >= pd.Timedelta(days=-14))],
    }
    for name, rows in parts.items():
        sums = rows.groupby("user_id")["price_cents"].agg(["sum", "count"])
        users[[f"{name}_cents", f"{name}_count"]] = sums.reindex(users.index).fillna(0.0)
    for when in parts:
        users[f"{when}_bought"] = (users[f"{when}_count"] > 0).astype(float)
    told = {}
    for metric, column in (("revenue", "cents"), ("buyers", "bought")):
        design = sm.add_constant(users[["treated", f"before_{column}"]])
        fit: Any = sm.OLS(users[f"after_{column}"], design).fit(cov_type="HC2")
        told |= {metric: float(fit.params["treated"]), f"{metric} se": float(fit.bse["treated"])}
    means: Any = users.groupby("treated")[["after_cents", "after_count"]].mean()
    ratio = means["after_cents"] / means["after_count"]
    told["basket (no CUPED)"] = float(ratio.loc[1.0] - ratio.loc[0.0])
    return told


def _some(rng: np.random.Generator, num_users: int, num_exposures: int) -> np.ndarray:
    return rng.integers(0, num_users, num_exposures - num_users)


def _times(us: np.ndarray) -> pl.Series:
    return pl.Series(us + START_US).cast(pl.Datetime("us", "UTC"))


def main() -> None:
    """Analyse once, in this process, and print times, peak memory and effects."""
    who, folder = sys.argv[1], Path(sys.argv[2])
    start = time.perf_counter()
    found = (ours if who == "ours" else with_pandas)(folder)
    wall_s = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_gb": used.ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(told | {"effects": found}))


if __name__ == "__main__":
    main()
