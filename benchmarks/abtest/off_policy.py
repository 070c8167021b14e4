"""Whether off-policy intervals hold what they promise.

    python -m benchmarks.abtest.off_policy --json FILE

Monte Carlo of DR where model and weights are right or wrong, and 200 logs of the sample shop.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.stats

from benchmarks.harness import write
from jobs.sample_shop import ShopConfig, generate_shop
from jobs.simulate_experiment import SimulationConfig, named_policy, truth_of_shop
from recsys.off_policy import OffPolicyConfig, build_log, evaluate_policy, ranking_policy
from recsys.off_policy.estimators import doubly_robust
from recsys.off_policy.intervals import standard_error
from recsys.simulated_users import Behaviour, SoftPolicy, Truth
from recsys.simulation import REWARDS, simulate, true_value

SEED = 20261127
# Two contexts, three actions.
CONTEXT = np.array([0.4, 0.6])
LOGGING = np.array([[0.5, 0.3, 0.2], [0.25, 0.35, 0.4]])
TARGET = np.array([[0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
RATE = np.array([[0.2, 0.4, 0.7], [0.6, 0.3, 0.2]])
VALUE = float((CONTEXT[:, None] * TARGET * RATE).sum())
WRONG_LOGGING = np.array([[0.3, 0.4, 0.3], [0.4, 0.3, 0.3]])
WRONG_RATE = np.array([[0.6, 0.5, 0.1], [0.1, 0.3, 0.6]])
CASES = {
    "both right": (LOGGING, RATE),
    "model wrong": (LOGGING, WRONG_RATE),
    "weights wrong": (WRONG_LOGGING, RATE),
    "both wrong": (WRONG_LOGGING, WRONG_RATE),
}
LOGGED_TEMPERATURE, LOGGED_EPSILON = 0.3, 0.2


@dataclass(frozen=True, kw_only=True)
class MonteCarlo:
    """What simulations of one case say; all but `bias` in Monte Carlo standard errors where named.

    `size` is of the test at 5 percent that the value is the true one; `coverage` of its interval.
    """

    num_simulations: int
    bias: float
    bias_errors: float
    coverage: float
    coverage_errors: float
    size: float


def monte_carlo(case: str, *, num_simulations: int, num_rows: int = 1000) -> MonteCarlo:
    """Estimate by DR in many logs of one case of `CASES`."""
    propensity, model = CASES[case]
    rng = np.random.default_rng([SEED, list(CASES).index(case)])
    cells = (CONTEXT[:, None] * LOGGING).ravel()
    v_X = (TARGET * model).sum(1)
    group = np.arange(num_rows)
    z = float(scipy.stats.norm.ppf(0.975))
    values, held = np.empty(num_simulations), np.empty(num_simulations, dtype=bool)
    for number in range(num_simulations):
        x, a = np.divmod(rng.choice(len(cells), num_rows, p=cells), LOGGING.shape[1])
        reward = (rng.random(num_rows) < RATE[x, a]).astype(np.float64)
        weight = TARGET[x, a] / propensity[x, a]
        found = doubly_robust(reward, weight, model[x, a], v_X[x], (0.0, 1.0))
        values[number] = found.value
        held[number] = abs(found.value - VALUE) <= z * standard_error(found, group)
    error = values.std(ddof=1) / np.sqrt(num_simulations)
    coverage = float(held.mean())
    return MonteCarlo(
        num_simulations=num_simulations,
        bias=float(values.mean() - VALUE),
        bias_errors=float((values.mean() - VALUE) / error),
        coverage=coverage,
        coverage_errors=(coverage - 0.95) / np.sqrt(0.95 * 0.05 / num_simulations),
        size=1.0 - coverage,
    )


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often intervals of one estimator held the truth over simulated logs."""

    truth: float
    mean: float
    bootstrap: float
    normal: float
    num_logs: int
    num_refused: int


def shop_coverage(
    truth: Truth,
    behaviour: Behaviour,
    logging: SoftPolicy,
    target: SoftPolicy,
    reward: str,
    *,
    num_logs: int,
    num_lists: int,
    estimators: Sequence[str] = ("ipw", "snipw", "dr", "sndr"),
    num_resamples: int = 1000,
) -> dict[str, Coverage]:
    """Simulate logs of one policy and evaluate another from each, by the same way as a command."""
    value = true_value(truth, behaviour, target, reward)
    of_users = pl.DataFrame(
        {
            "user_id": np.repeat(truth.user_ids, truth.candidates.shape[1]).tolist(),
            "item_id": truth.item_ids[truth.candidates.ravel()].tolist(),
            "score": truth.of_candidates(target.scores).ravel(),
        }
    )
    config = OffPolicyConfig(boosted=False, num_resamples=num_resamples)
    found: dict[str, list[tuple[float, bool, bool]]] = {name: [] for name in estimators}
    refused = 0
    for seed in range(num_logs):
        rows = simulate(truth, behaviour, logging, num_lists=num_lists, seed=seed).rows(truth)
        log = build_log(rows, reward)
        lists = rows.select("list_id", "user_id").unique("list_id", maintain_order=True)
        policy = ranking_policy(
            log,
            lists.join(of_users, on="user_id").drop("user_id"),
            name=target.name,
            temperature=target.temperature,
            epsilon=target.epsilon,
        )
        report = evaluate_policy(log, policy, config)
        refused += bool(report.reasons)
        for name in estimators:
            if name in report.estimates:
                estimate = report.estimates[name]
                pairs = (estimate.intervals.bootstrap, estimate.intervals.normal)
                percentiles, normal = (low <= value <= high for low, high in pairs)
                found[name].append((estimate.value, percentiles, normal))
    return {
        name: Coverage(
            truth=value,
            mean=float(np.mean([row[0] for row in told])),
            bootstrap=float(np.mean([row[1] for row in told])),
            normal=float(np.mean([row[2] for row in told])),
            num_logs=len(told),
            num_refused=refused,
        )
        for name, told in found.items()
        if told
    }


def sample_shop() -> tuple[Truth, Behaviour, SoftPolicy, SoftPolicy]:
    """Return a sample shop, a logging policy by relevance and a target that asks satisfaction."""
    config = SimulationConfig(
        temperature=0.1,
        epsilon=0.1,
        shop=ShopConfig(num_users=400, num_items=120, num_reviews=1200, num_events=12_000),
    )
    shop = generate_shop(config.shop)
    truth = truth_of_shop(shop, num_candidates=config.num_candidates, seed=config.seed)
    target = named_policy("satisfaction", truth, shop, config)
    logging = SoftPolicy(
        name="relevance",
        scores=truth.relevance,
        temperature=LOGGED_TEMPERATURE,
        epsilon=LOGGED_EPSILON,
    )
    return truth, config.behaviour, logging, target


def off_policy(
    *, num_simulations: int = 10_000, num_logs: int = 200, num_lists: int = 2000
) -> dict[str, Any]:
    """Run everything, print tables and return the figures."""
    start = time.perf_counter()
    print("DR, 1,000 rows a log\n")
    print("| case | bias | in its errors | coverage of 95% | off 0.95 in errors | size of 5% |")
    print("|---|---|---|---|---|---|")
    cases = {}
    for case in CASES:
        found = monte_carlo(case, num_simulations=num_simulations)
        cases[case] = vars(found)
        print(
            f"| {case} | {found.bias:+.6f} | {found.bias_errors:+.2f} | {found.coverage:.4f} | "
            f"{found.coverage_errors:+.2f} | {found.size:.4f} |"
        )
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    truth, behaviour, logging, target = sample_shop()
    print(f"\n{num_logs} logs of the sample shop, {num_lists:,} lists each\n")
    print(
        "| reward | estimator | truth | mean estimate | bootstrap holds | normal holds | refused |"
    )
    print("|---|---|---|---|---|---|---|")
    shops = {}
    for reward in REWARDS:
        covered = shop_coverage(
            truth, behaviour, logging, target, reward, num_logs=num_logs, num_lists=num_lists
        )
        shops[reward] = {name: vars(found) for name, found in covered.items()}
        for name, found in covered.items():
            print(
                f"| {reward} | {name} | {found.truth:.6f} | {found.mean:.6f} | "
                f"{found.bootstrap:.3f} | {found.normal:.3f} | {found.num_refused} |"
            )
    return {
        "monte_carlo": {"value": VALUE, "num_rows": 1000, "seed": SEED, "cases": cases},
        "sample_shop": shops,
        "timings_s": {"monte_carlo": seconds, "sample_shop": time.perf_counter() - start},
    }


def run_off_policy(*, num_simulations: int, num_logs: int) -> Iterator[dict[str, Any]]:
    """Yield a row a case of DR, and a row a reward and estimator of the sample shop."""
    found = off_policy(num_simulations=num_simulations, num_logs=num_logs)
    for case, told in found["monte_carlo"]["cases"].items():
        yield {
            "case": f"dr, {case}",
            "truth": VALUE,
            "mean": VALUE + told["bias"],
            "coverage": told["coverage"],
            "bootstrap": None,
            "refused": 0,
        }
    for reward, of_estimators in found["sample_shop"].items():
        for name, told in of_estimators.items():
            yield {
                "case": f"{name}, {reward} of the sample shop",
                "truth": told["truth"],
                "mean": told["mean"],
                "coverage": told["normal"],
                "bootstrap": told["bootstrap"],
                "refused": told["num_refused"],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--logs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    write(asked.json, off_policy(num_simulations=asked.simulations, num_logs=asked.logs))


if __name__ == "__main__":
    main()
