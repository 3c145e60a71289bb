"""Elementwise functions of our own, where NumPy's take ten times as long as they need on long arrays of float64.

Each is one text of sums and products (`circular`), run in two ways: over numbers, in loops that Numba compiles to vector
instructions (`native`), and over pieces of arrays in NumPy (`plain`), until the loops are loaded and where Numba is missing.
Both give the same bits, so which of them runs does not matter. The functions for arrays are in `arrays`.
"""

from engine.kernels.arrays import MANY, cos, sin

__all__ = ["MANY", "cos", "sin"]
