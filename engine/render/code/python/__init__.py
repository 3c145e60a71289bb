"""Derivatives as Python: one function with NumPy that returns the value and a dict of derivatives, and stands alone.

`scope.py` writes a graph as statements, `table.py` knows who writes each op; those modules are `elementwise`, `arrays`,
`linear`, `special` and `control`. What takes more than a line is a function above the main one, whose text is the source of
a function of ours (`library.py`).
"""

from __future__ import annotations

from engine.render.code.python import arrays, control, elementwise, linear, special
from engine.render.code.python.main import python_code

__all__ = ["arrays", "control", "elementwise", "linear", "python_code", "special"]
