"""Measurements beside other systems: `make bench`, or `python -m benchmarks` in an environment that has them all."""
