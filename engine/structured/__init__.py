"""A linear graph for all its unit seeds at once, with the structure of the identity kept for as long as it lasts.

A Jacobian by rows or columns is a linear graph applied to every unit seed. Mapping it over the identity would carry a
matrix of n seeds through each node. But what a node holds for unit seeds is mostly zeros at first: through elementwise
ops the identity stays diagonal, slices shift it, concat stacks it. Such a value is kept as *terms* (`value`): one entry and
the number of its seed for each entry of the node, so that a node costs what it costs for one seed. diag(w) times a matrix
is a scaling of its rows, a sum of a diagonal is its vector. Only where an op has no such rule is the array of all seeds
written out, and from there on it goes as under `vmap`.

A. Griewank, A. Walther, *Evaluating Derivatives*, 2nd ed., SIAM 2008, chapter 7 (sparse forward and reverse), 8 (compression).
"""

from engine.structured.result import Structured
from engine.structured.scattered import Scattered
from engine.structured.walk import Unstructured

__all__ = ["Scattered", "Structured", "Unstructured"]
