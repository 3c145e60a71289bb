"""Ops that work entry by entry: rows of a table, and what they have in common."""
