"""Derivatives by complex steps."""

from __future__ import annotations

from engine.aval import Array
from engine.numeric.differences import Lines
from engine.numeric.function import Function


def complex_derivatives(function: Function, lines: Lines, seeds: Array) -> Array | None:
    """d/dt Σ seed·f along each line, [seeds, lines]; None where an op of the program does not take complex numbers."""
    return None
