"""Alerts: rises of negative reviews that are real, told from bombings, and seen to.

Opinions (`opinions`) become series (`series`) of items, brands and categories; each daily look
(`detection`) weighs the evidence of a rise (`evidence`) against what is to be expected (`levels`)
and keeps the share of false alerts (`discoveries`). An alert is dated (`onsets`), described
(`particulars`: `suspicion`, `kinds`) and has a life of its own (`lifecycle`).
"""

from recsys.alerts.config import AlertConfig
from recsys.alerts.detection import Look, look
from recsys.alerts.lifecycle import Alert, Change
from recsys.alerts.opinions import Opinions, opinions
from recsys.alerts.particulars import Circumstances, Particulars, particulars

__all__ = [
    "Alert",
    "AlertConfig",
    "Change",
    "Circumstances",
    "Look",
    "Opinions",
    "Particulars",
    "look",
    "opinions",
    "particulars",
]
