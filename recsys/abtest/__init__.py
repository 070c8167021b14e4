"""Experiments: from a plan and two logs to a verdict that a statistician would sign.

A plan (`plan`) says what is asked. Exposures become users (`enrolment`), outcomes become sums of
users (`outcomes`), and users whole numbers that add up (`metric_sums`), however they lie in parts
(`parts`). Those become estimates of arms (`metric_estimates`, `metric_quantiles`) and contrasts
(`effects`), which are read by the plan's stop rule (`looks`: `group_sequential`,
`always_valid`). Gates (`gates`, `log_gates`, `plan_gates`) may refuse; `verdict` decides.
"""

from recsys.abtest.analysis import Analysis, analyse
from recsys.abtest.campaign import CampaignAnalysis, analyse_campaign
from recsys.abtest.campaign_plan import CampaignPlan, parse_campaign
from recsys.abtest.history import Forecast, forecast
from recsys.abtest.plan import Plan, parse_plan
from recsys.abtest.verdict import Verdict

__all__ = [
    "Analysis",
    "CampaignAnalysis",
    "CampaignPlan",
    "Forecast",
    "Plan",
    "Verdict",
    "analyse",
    "analyse_campaign",
    "forecast",
    "parse_campaign",
    "parse_plan",
]
