"""Scores: one row per known customer, with a status where no prediction can be made.

Predictions (what will be) are null unless the status is ``ok``; facts (what has been) are given for every customer with
an order.
"""

__all__ = ["SCORE_COLUMNS", "STATUSES", "score", "score_columns"]
