"""Loops, choices, and derivatives inside programs: ops that hold graphs."""
