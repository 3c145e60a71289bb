"""A function over a grid of one or two of its scalars: what its graph looks like there.

`axes` says over which scalars, `section` computes the function of these alone, `job` is the verb, `told` its warnings.
"""

from engine.landscape.axes import Axis
from engine.landscape.job import Asked, Landscape

__all__ = ["Asked", "Axis", "Landscape"]
