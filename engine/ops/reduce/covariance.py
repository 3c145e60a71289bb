"""Covariance and correlation matrices, as `numpy.cov` and `numpy.corrcoef`."""

from __future__ import annotations

from math import nan
from typing import Any

from engine.attrs import BOOL, NUMBER, optional
from engine.builder import Builder, Var, call
from engine.errors import ShapeMismatch
from engine.op import Attr, Example, Operand
from engine.ops.layout.shape import joined
from engine.ops.written import written

_DATA = [[1.0, 2.0, 4.5, 0.5], [3.0, -1.0, 0.5, 2.0]]


def _variables(name: str, m: Var, rowvar: bool) -> Var:
    """Rows of observations: a variable each."""
    if m.rank > 2:
        raise ShapeMismatch(f"{name} takes vectors and matrices; here the shape is {list(m.shape)}.")
    if m.rank < 2:
        return m.reshape((1, m.size))
    return m if rowvar or m.shape[0] == 1 else call(m.b, "permute_dims", m)


def _deviations(
    name: str, m: Var, y: Var | None, rowvar: bool, weights: Var | None
) -> tuple[Var, Var | None]:
    """Distances from the (weighted) means of all variables, and weights that sum to 1."""
    rows = _variables(name, m, rowvar)
    if y is not None:
        others = _variables(name, y, rowvar)
        if others.shape[-1] != rows.shape[-1]:
            raise ShapeMismatch(
                f"{name}: both must have as many observations; they have {rows.shape[-1]} and {others.shape[-1]}."
            )
        rows = joined([rows, others], -2)
    k, n = rows.shape
    if weights is None:
        mean = rows.sum(-1) / float(n)
        return rows - mean.reshape((k, 1)), None
    if weights.shape != (n,):
        raise ShapeMismatch(
            f"{name}: aweights are a vector with a weight for each of the {n} observations; their shape is "
            f"{list(weights.shape)}."
        )
    shares = weights / weights.sum()
    return rows - (rows * shares).sum(-1).reshape((k, 1)), shares


def _cov(b: Builder, m: Var, y: Var | None, aweights: Var | None, **attrs: Any) -> Var:
    rows, shares = _deviations("cov", m, y, attrs["rowvar"], aweights)
    k, n = rows.shape
    ddof = attrs["ddof"] if attrs["ddof"] is not None else 0.0 if attrs["bias"] else 1.0
    if shares is None:
        left = n - ddof
        if left > 0:
            matrix = (rows @ call(b, "permute_dims", rows)) / left
        else:  # entry by entry, since a zero tangent is a strong zero beside NaN in a product, but not in matmul
            matrix = (rows.reshape((k, 1, n)) * rows.reshape((1, k, n))).sum(-1) * nan
    else:
        assert aweights is not None
        # Of weights that sum to 1 the effective number of degrees of freedom is 1 − ddof·Σw².
        kept = 1.0 - ddof * call(b, "square", shares).sum()
        enough = kept > 0.0
        matrix = (rows * shares) @ call(b, "permute_dims", rows) / call(b, "where", enough, kept, 1.0)
        matrix = call(b, "where", enough, matrix, nan)
    return matrix.reshape(()) if k == 1 else matrix


written(
    "cov",
    _cov,
    Operand("m", ("x", "input")),
    Operand("y", optional=True),
    Attr("rowvar", BOOL, True),
    Attr("bias", BOOL, False),
    Attr("ddof", optional(NUMBER), None, ("correction",)),
    Operand("aweights", optional=True),
    doc="""Covariance matrix of variables (rows of m, and of y; columns without `rowvar`): Σ (x − x̄)(y − ȳ) / (n − ddof).

    As `numpy.cov`: `ddof` is 1 unless given, 0 with `bias`; `aweights` are weights of the observations. Of a single
    variable it is its variance, a scalar. NaN where there are too few observations.""",
    latex="\\operatorname{{cov}} {m}",
    family="reduction",
    floating=True,
    examples=(
        Example((_DATA,)),
        Example((_DATA, [0.5, 1.5, -2.0, 1.0]), {"bias": True}),
        Example((_DATA,), {"rowvar": False, "ddof": 0}),
        Example(([1.0, 2.0, 4.5],), note="a single variable"),
        Example((_DATA, None, [1.0, 2.0, 0.5, 1.5])),
        Example(([5.0],), smooth=False, note="too few observations"),
    ),
)


def _corrcoef(b: Builder, x: Var, y: Var | None, **attrs: Any) -> Var:
    rows, _ = _deviations("corrcoef", x, y, attrs["rowvar"], None)
    k = rows.shape[0]
    length: Var = b.write("vector_norm", rows, axes=(-1,))
    still = length.equals(0.0)
    length = call(b, "where", still, 1.0, length)
    matrix = (rows @ call(b, "permute_dims", rows)) / length.reshape((k, 1)) / length
    matrix = call(b, "where", call(b, "logical_or", still.reshape((k, 1)), still), nan, matrix)
    return matrix.reshape(()) if k == 1 else matrix


written(
    "corrcoef",
    _corrcoef,
    Operand("x", ("m", "input")),
    Operand("y", optional=True),
    Attr("rowvar", BOOL, True),
    doc="""Correlation coefficients of variables, cov(x, y) / (std x · std y), as `numpy.corrcoef`.

    NaN for a variable that is constant.""",
    latex="\\operatorname{{corr}} {x}",
    convention="Of a variable that is constant it is NaN, with the derivative 0.",
    family="reduction",
    floating=True,
    examples=(
        Example((_DATA,)),
        Example((_DATA, [0.5, 1.5, -2.0, 1.0])),
        Example((_DATA[0], _DATA[1])),
        Example(([[1.0, 2.0], [0.5, 3.0], [2.0, 1.0]],), {"rowvar": False}),
        Example(
            ([[1.0, 1.0, 1.0], [0.5, 3.0, 1.0], [2.0, 0.5, 1.5]],), smooth=False, note="a constant variable"
        ),
    ),
)
