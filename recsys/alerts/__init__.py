"""Alerts: rises of negative reviews that are real, told from bombings, and seen to.

Opinions (`opinions`) become series (`series`) of items, brands and categories; each daily look
(`detection`) weighs the evidence of a rise (`evidence`: reviews, and `returns`) against what is to
be expected (`expectations`, from `levels`; `shared_rises`) and keeps the share of false alerts
(`discoveries`). An alert is dated (`onsets`), described (`particulars`: `suspicion`, `kinds`) and
has a life of its own (`lifecycle`).
"""
