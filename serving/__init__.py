"""Scores, rules, lists, and the one command."""
