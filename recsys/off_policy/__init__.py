"""Off-policy evaluation: what a policy would have earned, from the log of another."""

from recsys.off_policy.evaluation import ESTIMATORS, OffPolicyConfig, evaluate_policy
from recsys.off_policy.list_policies import ranking_policy, uniform_policy
from recsys.off_policy.log import Log, build_log
from recsys.off_policy.log_files import read_log_rows
from recsys.off_policy.overlap import Gates, Overlap
from recsys.off_policy.policies import TargetPolicy, table_policy
from recsys.off_policy.policy_files import read_policy
from recsys.off_policy.report import ESTIMATED, NOT_ESTIMABLE, Estimate, OffPolicyReport

__all__ = [
    "ESTIMATED",
    "ESTIMATORS",
    "NOT_ESTIMABLE",
    "Estimate",
    "Gates",
    "Log",
    "OffPolicyConfig",
    "OffPolicyReport",
    "Overlap",
    "TargetPolicy",
    "build_log",
    "evaluate_policy",
    "ranking_policy",
    "read_log_rows",
    "read_policy",
    "table_policy",
    "uniform_policy",
]
