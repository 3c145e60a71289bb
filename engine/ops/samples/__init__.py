"""Calculus and signals on samples."""
