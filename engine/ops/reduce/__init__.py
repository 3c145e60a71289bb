"""Reductions, running reductions, norms and statistics."""
