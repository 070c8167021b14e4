"""Evaluate a policy from a log: read the log, read or ask the policy, and answer or refuse."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from features.store import Store
from jobs.errors import BadInputError
from jobs.load_shop import load_shop
from recsys.bundle import load_bundle
from recsys.bundle_versions import BUNDLES, bundle_folder
from recsys.errors import BundleError
from recsys.off_policy import (
    Log,
    OffPolicyConfig,
    OffPolicyReport,
    TargetPolicy,
    build_log,
    evaluate_policy,
    ranking_policy,
    read_log_rows,
    read_policy,
    uniform_policy,
)
from recsys.off_policy.exposure_rows import Attribution, exposure_rows
from recsys.off_policy.recommender_policy import recommender_scores

UNIFORM, BUNDLE = "uniform", "bundle:"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be evaluated.

    Attributes:
        log: A file of rows, or a folder that is a store with the table `exposures`.
        policy: `uniform`, `bundle:VERSION`, or a file of chances.
        reward: click, purchase or satisfaction, or another column of the file.
        store: Where the bundle and what is known of users are; None takes a log that is a store.
        temperature: Of the bundle's ranking; 0 always shows the best.
        epsilon: Chance with which the bundle fills a place by luck.
        refresh_days: How often what is known of users is taken anew for the bundle.
        attribution: How outcomes are joined to exposures of a store.
    """

    log: Path
    policy: str
    reward: str = "click"
    store: Store | None = None
    temperature: float = 0.0
    epsilon: float = 0.0
    refresh_days: float = 7.0
    attribution: Attribution = field(default_factory=Attribution)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The report, and what was left out of the log."""

    report: OffPolicyReport
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the machine's copy."""
        return self.report.to_dict() | {"exposures_left_out": self.left_out}


def evaluate_off_policy(question: Question, config: OffPolicyConfig) -> Answer:
    """Evaluate a policy from a log.

    Raises:
        LogError: If the log cannot be evaluated from.
        PolicyError: If the policy is not one, or does not fit the log.
        StoreError: If a table is missing.
        BadInputError: If there is no such bundle, or no store to find it in.
    """
    rows, left_out = _rows(question)
    log = build_log(rows, question.reward)
    target = _target(question, rows, log)
    return Answer(report=evaluate_policy(log, target, config), left_out=left_out)


def _rows(question: Question) -> tuple[pl.DataFrame, dict[str, int]]:
    if not question.log.is_dir():
        return read_log_rows(question.log), {}
    store = Store(question.log)
    found = exposure_rows(
        store.scan("exposures").collect(),
        store.scan("events").collect(),
        _table(store, "reviews"),
        # Of a review that several models have read, the last to be written counts.
        _table(store, "review_signals").unique("review_id", keep="last", maintain_order=True),
        question.attribution,
    )
    return found.rows, found.left_out


def _table(store: Store, name: str) -> pl.DataFrame:
    from features.schema import TABLES

    return store.scan(name).collect() if store.exists(name) else TABLES[name].create_empty()


def _target(question: Question, rows: pl.DataFrame, log: Log) -> TargetPolicy:
    if question.policy == UNIFORM:
        return uniform_policy(log)
    if not question.policy.startswith(BUNDLE):
        return read_policy(Path(question.policy), log)
    version = question.policy.removeprefix(BUNDLE)
    store = question.store or (Store(question.log) if question.log.is_dir() else None)
    if store is None:
        raise BadInputError("a bundle lies in a store: give --store, or a store as --log")
    try:
        recommender, manifest = load_bundle(bundle_folder(store.path(BUNDLES), version))
    except BundleError as error:
        raise BadInputError(str(error)) from error
    scored = recommender_scores(
        rows,
        load_shop(store, manifest.data["model_version"]),
        recommender,
        refresh_days=question.refresh_days,
    )
    return ranking_policy(
        log,
        scored.scores,
        name=question.policy,
        temperature=question.temperature,
        epsilon=question.epsilon,
    )
