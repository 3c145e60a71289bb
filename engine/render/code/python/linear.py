"""Text of linear algebra: NumPy's functions where they say all, functions of ours where singular members need care."""

from __future__ import annotations

from engine.ops.linear.roots import logarithm, square_root
from engine.render.code.python.expr import Expr, call
from engine.render.code.python.scope import Call
from engine.render.code.python.table import writes


def _several(c: Call, found: Expr) -> None:
    """Names for the results."""
    names = c.results()
    c.scope.line(f"{', '.join(names)}{',' * (len(names) == 1)} = {found.text}")


@writes("strong_matmul")
def _strong_matmul(c: Call) -> Expr:
    return call(c.helper("strong_matmul", "linear"), *c.args)


@writes("linear_systems", "strong_systems")
def _systems(c: Call) -> Expr:
    if c.params.get("raises"):
        return call("np.linalg.solve", *c.args)
    return call(c.helper("solve", "linear"), *c.args, str(c.node.op.name == "strong_systems"))


@writes("triangular_systems", "strong_triangular_systems")
def _triangular(c: Call) -> Expr:
    p = c.params
    flags = (p["lower"], p["unit"], p.get("raises", False), c.node.op.name.startswith("strong"))
    names = ("lower", "unit", "raises", "strong")
    given = [f"{n}={bool(f)}" for n, f in zip(names, flags, strict=True)]
    return call(c.helper("solve_triangle", "linear"), *c.args, *given)


@writes("cholesky_factor")
def _cholesky(c: Call) -> Expr:
    return call(c.helper("cholesky" if c.params["raises"] else "cholesky_or_nan", "linear"), *c.args)


@writes("det", "cofactor", "eigvalsh", "svdvals", "nuclear_norm", "pivot_order")
def _plain(c: Call) -> Expr:
    return call(c.helper(c.node.op.name, "linear"), *c.args)


@writes("polar_factor")
def _polar(c: Call) -> Expr:
    return call(c.helper("polar", "linear"), *c.args)


@writes("pseudo_inverse")
def _pinv(c: Call) -> Expr:
    return call(c.helper("pinv", "linear"), *c.args, repr(c.params["rcond"]))


@writes("slogdet", "lu_factors")
def _factors(c: Call) -> None:
    _several(c, call(c.helper(c.node.op.name, "linear"), *c.args))


@writes("symmetric_eigen")
def _eigh(c: Call) -> None:
    _several(c, call(c.helper("eigh", "linear"), *c.args))


@writes("singular_factors")
def _svd(c: Call) -> None:
    _several(c, call(c.helper("svd", "linear"), *c.args, str(bool(c.params["full"]))))


@writes("qr_factors")
def _qr(c: Call) -> None:
    _several(c, call(c.helper("qr", "linear"), *c.args, str(bool(c.params["full"]))))


@writes("sylvester", "strong_sylvester")
def _sylvester(c: Call) -> Expr:
    strong = c.node.op.name == "strong_sylvester"
    return call(
        c.helper("sylvester", "linear"), *c.args, f"raises={bool(c.params.get('raises'))}", f"strong={strong}"
    )


@writes("matrix_function")
def _matrix_function(c: Call) -> Expr:
    name = c.params["function"]
    ours = {"log": logarithm, "sqrt": square_root}.get(name)
    if ours is not None:
        f = c.module.use(ours.__module__, ours.__name__)
    else:
        c.module.imports.add("from scipy import linalg")
        f = {"exp": "linalg.expm", "sin": "linalg.sinm", "cos": "linalg.cosm"}[name]
    return call(c.helper("matrix_function", "linear"), f, str(bool(c.params["raises"])), *c.args)
