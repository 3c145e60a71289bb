"""Functions that a mathematics library lacks: written once, in the part of Python that `translate` prints in any language.

A helper is a function of doubles (or of integers, where it is annotated so) that uses comparisons, loops, `math`, tables of
numbers of its module and other helpers, so that it can be tried out as it stands. The NaN, infinities and signed zeros of
every function are those of NumPy and SciPy. What is cited in a docstring goes into the code that is written.
"""
