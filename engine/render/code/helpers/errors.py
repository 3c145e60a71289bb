"""Error functions."""
