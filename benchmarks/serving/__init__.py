"""Servers to compare with, and what is asked of each."""
