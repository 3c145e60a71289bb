"""Programs in high-precision arithmetic: what derivatives are measured against.

Every op has its value here once more, on numbers of mpmath, written from its definition and not from its NumPy code; no
derivative rule is used. `numbers` is the arithmetic, `functions` and `special` the elementwise ops, `arrays`, `linear` and
`nested` the others, `evaluator` runs graphs, and `differences` takes derivatives by differences with tiny steps.

F. Johansson et al., *mpmath: a Python library for arbitrary-precision floating-point arithmetic*, version 1.3.
"""
