"""`POST /v1/minimize`: search and descent.

A program's scalar node, or the sum of squares of a node that is an array (a residual), as a function of one flat vector, and
the methods that look for its minimum. A method is a function `(problem, options, path) -> Outcome` in a module of its family;
`methods.py` is the table of them, `options.py` reads what they can be told, `path.py` keeps the history and stops them, and
`job.py` is the verb.
"""

from __future__ import annotations

from engine.minimize.asked import Fields
from engine.minimize.job import Minimize, prepare_minimize
from engine.minimize.methods import METHODS
from engine.minimize.options import read_options

__all__ = ["METHODS", "Fields", "Minimize", "prepare_minimize", "read_options"]
