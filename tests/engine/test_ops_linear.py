"""Factorisations and functions of matrices where they are hard: singular, repeated, rank-deficient, not finite, in maps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.linalg
import sympy

from engine.aval import Aval
from engine.builder import GraphBuilder, Var, call
from engine.cost import Limits, cost_of
from engine.errors import EngineError, LimitExceeded, ShapeMismatch, SingularMatrix, UnknownOp, Unsupported
from engine.op import registry
from engine.ops.linear import determinant
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from tests.engine.conformance import compute
from tests.engine.helpers import ask, difference, near

A3 = np.array([[2.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.2, 1.0, 4.0]])
SYM = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.6], [0.5, -0.6, 2.0]])
RANK1 = np.outer([1.0, 2.0, 2.0], [2.0, -1.0, 0.5])
RANK2 = RANK1 + np.outer([0.5, -1.0, 0.3], [1.0, 1.0, -2.0])
SINGULAR = [
    RANK2,
    RANK1,
    np.zeros((3, 3)),
    np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),
    np.eye(3),
]


def evaluate(text: str, **inputs: Any) -> Any:
    """The first output."""
    return next(iter(ask("evaluate", text, inputs)["outputs"].values()))


def gradient(text: str, wrt: str = "A", **inputs: Any) -> Any:
    return ask("grad", text, inputs, wrt=[wrt])["gradients"][wrt]


def hessian(text: str, **inputs: Any) -> Any:
    return ask("hessian", text, inputs, wrt=["A"])["hessian"]["A"]["A"]


# ------------------------------------------------------------------------------------------------------------ determinant


def signed_permutations(n: int) -> list[tuple[tuple[int, ...], int]]:
    def sign(p: tuple[int, ...]) -> int:
        return round(float(np.linalg.det(np.eye(n)[list(p)])))

    return [(p, sign(p)) for p in itertools.permutations(range(n))]


def leibniz(a: np.ndarray, *places: tuple[int, int]) -> float:
    """The derivative of the determinant by some entries, from its polynomial."""
    n = len(a)
    total = 0.0
    for p, sign in signed_permutations(n):
        rows = [r for r, _ in places]
        if len(set(rows)) < len(rows) or any(p[r] != c for r, c in places):
            continue
        total += sign * math.prod(a[r, p[r]] for r in range(n) if r not in rows)
    return total


@pytest.mark.parametrize("a", SINGULAR, ids=["rank 2", "rank 1", "zero", "1 to 9", "identity"])
def test_det_is_a_polynomial_at_singular_matrices_too(a: np.ndarray) -> None:
    places = list(np.ndindex(3, 3))
    near(gradient("det(A)", A=a), np.reshape([leibniz(a, p) for p in places], (3, 3)), atol=1e-13)
    second = [[leibniz(a, p, q) for q in places] for p in places]
    for mode in ("auto", "reverse", "forward"):
        got = ask("hessian", "det(A)", {"A": a}, mode=mode)["hessian"]["A"]["A"]
        near(got, np.reshape(second, (3, 3, 3, 3)), atol=1e-13)


def test_det_of_every_order() -> None:
    """The third and the fourth derivative along directions, at matrices of rank 1 and at the identity."""
    rng = np.random.default_rng(11)
    n = 4
    b = GraphBuilder()
    a = b.input(Aval((n, n), "float64"))
    graph = b.build([call(b, "det", Var(b, a)).ref])
    for order in (1, 2, 3, 4):
        # Each step forward adds the tangents of all that was there; the last result is the mixed derivative.
        graph = jvp_graph(graph, [graph.inputs[0]], "float64")
        graph = graph.with_outputs([graph.outputs[-1]])
        directions = [rng.normal(size=(n, n)) for _ in range(order)]
        for point in (
            np.outer([1.0, 2.0, 0.0, 1.0], [1.0, -1.0, 0.5, 2.0]),
            np.eye(n),
            rng.normal(size=(n, n)),
        ):
            expected = 0.0
            for places in itertools.product(list(np.ndindex(n, n)), repeat=order) if order < 3 else []:
                weight = math.prod(d[p] for d, p in zip(directions, places, strict=True))
                expected += weight * leibniz(point, *places)
            if order >= 3:  # inclusion and exclusion over subsets: exact for a polynomial of this degree in t
                expected = _mixed(point, directions)
            (got,) = compute(graph, [point, *directions])
            assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _mixed(point: np.ndarray, directions: list[np.ndarray]) -> float:
    """∂ᵏ/∂t₁…∂t_k det(A + Σ tᵢ Eᵢ) at 0, in many digits."""
    k = len(directions)
    with mpmath.workdps(60):
        h = mpmath.mpf(10) ** -12
        total = mpmath.mpf(0)
        for signs in itertools.product((1, -1), repeat=k):
            m = mpmath.matrix(point.tolist())
            for s, d in zip(signs, directions, strict=True):
                m += s * h * mpmath.matrix(d.tolist())
            total += math.prod(signs) * mpmath.det(m)
        return float(total / (2 * h) ** k)


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8, 1e11, 1e15])
def test_cofactors_by_lu_and_by_singular_values(condition: float) -> None:
    """Both against rational arithmetic: LU as good as the singular values, which take over near singularity."""
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(2))
    a = u @ np.diag(np.geomspace(1, 1 / condition, 5)) @ v
    exact = sympy.Matrix(5, 5, lambda i, j: sympy.Rational(*float(a[i, j]).as_integer_ratio())).adjugate().T
    expected = np.array(exact.evalf(30).tolist(), float)
    found = gradient("det(A)", A=a)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=3e-16 * condition**0.7 * np.abs(expected).max() + 1e-15
    )
    stacked = gradient("sum(det(A))", A=a[None])  # a stack goes by singular values
    assert np.abs(found - expected).max() <= 4 * np.abs(stacked[0] - expected).max() + 1e-15
    lu = determinant._of_regular(a)
    assert (lu is None) == (condition > 1e14)
    if lu is not None:
        assert np.array_equal(lu, found)


def test_gradient_of_logdet_is_the_inverse_transposed() -> None:
    for text in ("slogdet(A)[1]", "logdet(A)", "log(det(A))", "slogdet(A).logabsdet"):
        near(gradient(text, A=A3), np.linalg.inv(A3).T)
    near(gradient("slogdet(A)[1]", A=-A3), np.linalg.inv(-A3).T)
    answer = ask("grad", "slogdet(A)[1]", {"A": RANK1 * [[1.0], [2.0], [4.0]]})
    assert answer["value"] == -np.inf
    assert np.isnan(answer["gradients"]["A"]).all()
    assert {w["kind"] for w in answer["warnings"]} == {"non-finite-value", "non-finite-gradient"}


# ----------------------------------------------------------------------------------------------------- repeated values


@pytest.mark.parametrize("q", [np.eye(3), scipy.linalg.qr(A3)[0]], ids=["diagonal", "turned"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(eigvalsh(A)**2)", lambda a: 2 * a),
        ("sum(exp(eigvalsh(A)))", scipy.linalg.expm),
        ("sum(log(eigh(A)[0]))", np.linalg.inv),
        ("prod(eigvalsh(A))", lambda a: np.linalg.det(a) * np.linalg.inv(a)),
        ("sum(svdvals(A)**2)", lambda a: 2 * a),
        ("sum(svd(A)[1]**3)", lambda a: 3 * a @ a),
        ("norm(A, 'nuc')", lambda a: np.eye(3)),
        ("sum(svd(A, compute_uv=False))", lambda a: np.eye(3)),
    ],
)
def test_symmetric_functions_of_repeated_values(
    text: str, expected: Callable[[Any], Any], q: np.ndarray
) -> None:
    a = q @ np.diag([2.0, 2.0, 5.0]) @ q.T
    a = (a + a.T) / 2
    near(gradient(text, A=a), expected(a), rtol=1e-10, atol=1e-10)
    near(ask("grad", text, {"A": a}, mode="forward")["gradients"]["A"], expected(a), rtol=1e-10, atol=1e-10)


def test_vectors_of_repeated_eigenvalues() -> None:
    """A zero cotangent of them is a strong zero; another one is NaN, and a warning."""
    quiet = ask("grad", "w, v = eigh(A)\nsum(w**3) + 0.0*sum(where(w > 9.0, w, 0.0))", {"A": np.eye(2)})
    near(quiet["gradients"]["A"], 3 * np.eye(2))
    assert not quiet["warnings"]
    cut = ask("grad", "w, v = eigh(A)\nsum(where(False, v, 0.0)) + sum(w)", {"A": np.eye(2)})
    near(cut["gradients"]["A"], np.eye(2))
    loud = ask("grad", "w, v = eigh(A)\nsum(v[0])", {"A": np.eye(2)})
    assert np.isnan(loud["gradients"]["A"]).any()
    assert "non-differentiable" in {w["kind"] for w in loud["warnings"]}
    # The parts of the third, simple eigenvalue are still right beside a repeated one that nobody asks for.
    a = np.diag([1.0, 1.0, 4.0])
    simple = ask("jacobian", "w, v = eigh(A)\nv[:, 2]", {"A": a})["jacobian"]
    (found,) = (row["A"] for row in simple.values())
    assert found[0, 0, 2] == pytest.approx(1 / 6)
    assert found[1, 1, 2] == pytest.approx(1 / 6)


def test_one_of_repeated_eigenvalues_warns() -> None:
    answer = ask("grad", "eigvalsh(A)[1]", {"A": np.eye(2)})
    assert [w["kind"] for w in answer["warnings"]] == ["non-differentiable"]
    assert not ask("grad", "eigvalsh(A)[1]", {"A": np.diag([1.0, 2.0])})["warnings"]
    assert not ask("grad", "sum(eigvalsh(A))", {"A": np.eye(2)})["warnings"]


def test_second_derivatives_that_part_repeated_eigenvalues_are_not_made_up() -> None:
    found = hessian("sum(eigvalsh(A)**2)", A=np.eye(2))
    assert found[0, 0, 0, 0] == 2
    assert np.isnan(found[0, 1, 0, 1])
    # Where the eigenvalues are simple they are right.
    a = np.array([[1.0, 0.3], [0.3, 2.0]])
    expected = difference(lambda x: 2 * (x + x.T) / 2, a)
    near(hessian("sum(eigvalsh(A)**2)", A=a), expected, rtol=1e-9, atol=1e-9)


def test_nuclear_norm_twice_at_repeated_singular_values() -> None:
    def slope(a: np.ndarray) -> np.ndarray:
        u, _, vh = np.linalg.svd(a)
        return np.asarray(u @ vh)

    for a in (np.eye(3), 2 * scipy.linalg.qr(A3)[0], A3):
        near(hessian("norm(A, 'nuc')", A=a), difference(slope, a), rtol=1e-8, atol=1e-8)


def test_singular_values_of_zero() -> None:
    """The subgradient of least norm: that of the part that is not 0."""
    u, _, vh = np.linalg.svd(RANK1)
    for text in ("sum(svdvals(A))", "norm(A, 'nuc')", "sum(svd(A)[1])"):
        answer = ask("grad", text, {"A": RANK1})
        near(answer["gradients"]["A"], np.outer(u[:, 0], vh[0]), atol=1e-12)
    near(gradient("norm(A, 'nuc')", A=np.zeros((2, 3))), np.zeros((2, 3)))
    near(gradient("norm(A, 2)", A=np.zeros((2, 3))), np.zeros((2, 3)))
    near(gradient("norm(A, 2)", A=RANK1), np.outer(u[:, 0], vh[0]), atol=1e-12)
    near(gradient("norm(A, -2)", A=RANK1), np.zeros((3, 3)))
    # Singular values that tie for the largest share the derivative.
    near(gradient("norm(A, 2)", A=np.diag([3.0, 3.0, 1.0])), np.diag([0.5, 0.5, 0.0]))


# --------------------------------------------------------------------------------------------------- rank-deficient


def _bend(f: Callable[[Any], Any]) -> Any:
    """The second derivative at 0."""
    return difference(lambda t: difference(f, t, 3e-4), np.array(0.0), 3e-4)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)], ids=str)
def test_pinv_and_lstsq_of_a_rank_that_does_not_change(shape: tuple[int, int]) -> None:
    """Along a curve of matrices of rank 2: first and second derivative."""
    rng = np.random.default_rng(11)
    m, n = shape
    left, right, dl, dr = (rng.normal(size=s) for s in ((m, 2), (2, n), (m, 2), (2, n)))
    y = rng.normal(size=m)
    curve = "A = (L + t*M) @ (R + t*N)\n"
    inputs = {"L": left, "M": dl, "R": right, "N": dr, "t": 0.0}

    def at(t: Any) -> np.ndarray:
        return np.asarray(np.linalg.pinv((left + t * dl) @ (right + t * dr), rcond=1e-10))

    for text, f in (
        ("sum(sin(pinv(A)))", lambda t: np.sum(np.sin(at(t)))),
        ("sum(sin(lstsq(A, y)[0]))", lambda t: np.sum(np.sin(at(t) @ y))),
    ):
        answer = ask("hessian", curve + text, inputs | ({"y": y} if "y)" in text else {}), wrt=["t"])
        slope = difference(f, np.array(0.0), 1e-4)
        bend = _bend(f)
        near(answer["gradients"]["t"], slope, rtol=1e-7, atol=1e-7)
        near(answer["hessian"]["t"]["t"], bend, rtol=1e-4, atol=1e-4)


def test_lstsq_is_numpys() -> None:
    rng = np.random.default_rng(11)
    for a, b in (
        (rng.normal(size=(5, 3)), rng.normal(size=5)), (rng.normal(size=(3, 5)), rng.normal(size=(3, 2))),
        (RANK1, np.array([1.0, 2.0, -1.0])), (RANK2, rng.normal(size=(3, 2))),
    ):  # fmt: skip
        x, residuals, rank, s = ask("evaluate", "x, r, k, s = lstsq(A, b)\nx, r, k, s", {"A": a, "b": b})[
            "outputs"
        ].values()
        expected = np.linalg.lstsq(a, b)
        near(x, expected[0], rtol=1e-11, atol=1e-11)
        near(s, expected[3], atol=1e-12)
        assert rank == expected[2]
        if expected[1].size:
            near(residuals, expected[1], rtol=1e-11, atol=1e-13)


# ------------------------------------------------------------------------------------------------- functions of matrices


@pytest.mark.parametrize(
    "a",
    [np.zeros((3, 3)), np.diag([1.0, 2.0], 1), 100 * A3 / np.linalg.norm(A3, 2), -100 * A3 / np.linalg.norm(A3, 2),
     RANK1, 1e-9 * A3, np.array([[0.0, 40.0, 0.0], [-40.0, 0.0, 1.0], [0.0, 0.0, 0.0]])],
    ids=["zero", "nilpotent", "norm 100", "norm -100", "rank 1", "small", "turning"],
)  # fmt: skip
def test_expm_in_many_digits(a: np.ndarray) -> None:
    """Value, gradient and second derivative along a direction, against the series of a block matrix in mpmath."""
    rng = np.random.default_rng(11)
    e = rng.normal(size=(3, 3)) / 3
    with mpmath.workdps(80):
        big = mpmath.matrix(12, 12)
        for i, j, block in (
            (0, 0, a),
            (1, 1, a),
            (2, 2, a),
            (3, 3, a),
            (0, 1, e),
            (0, 2, e),
            (1, 3, e),
            (2, 3, e),
        ):
            for r, c in np.ndindex(3, 3):
                big[3 * i + r, 3 * j + c] = mpmath.mpf(float(block[r, c]))
        y = mpmath.expm(big, method="taylor")
        parts = [np.array([[float(y[r, 3 * k + c]) for c in range(3)] for r in range(3)]) for k in (0, 1, 3)]
    answer = ask("jvp", "expm(A)", {"A": a}, tangents={"A": e})
    size = np.abs(parts[1]).max()
    near(next(iter(answer["outputs"].values())), parts[0], rtol=1e-10, atol=1e-11 * np.abs(parts[0]).max())
    near(next(iter(answer["output_tangents"].values())), parts[1], rtol=1e-10, atol=1e-11 * size)
    text = "expm(A + t*E)"
    b = ask("hessian", f"sum(W * {text})", {"A": a, "t": 0.0, "E": e, "W": SYM}, wrt=["t"])
    near(b["hessian"]["t"]["t"], np.sum(SYM * parts[2]), rtol=1e-9, atol=1e-10 * np.abs(parts[2]).max())


def test_matrix_functions_undo_one_another() -> None:
    rng = np.random.default_rng(11)
    near(evaluate("logm(expm(A))", A=SYM / 3), SYM / 3, atol=1e-11)
    near(evaluate("sqrtm(A) @ sqrtm(A)", A=SYM), SYM, atol=1e-12)
    # d(s s) = da: a square root's derivative solves Sylvester's equation.
    e = rng.normal(size=(3, 3))
    root = scipy.linalg.sqrtm(SYM)
    got = next(iter(ask("jvp", "sqrtm(A)", {"A": SYM}, tangents={"A": e})["output_tangents"].values()))
    near(got, scipy.linalg.solve_sylvester(root, root, e), atol=1e-12)
    for text in ("sqrtm(A)", "logm(A)"):
        with pytest.raises(SingularMatrix, match="no real"):
            evaluate(text, A=-SYM)


def test_negative_powers() -> None:
    near(evaluate("matrix_power(A, -2)", A=A3), np.linalg.inv(A3 @ A3))
    got = gradient("sum(matrix_power(A, -2) * W)", A=A3, W=SYM)
    near(got, difference(lambda x: np.sum(np.linalg.inv(x @ x) * SYM), A3), rtol=1e-8, atol=1e-9)
    near(hessian("sum(matrix_power(A, 0))", A=A3), np.zeros((3, 3, 3, 3)))
    with pytest.raises(SingularMatrix):
        evaluate("matrix_power(A, -1)", A=np.zeros((2, 2)))


# ----------------------------------------------------------------------------------------------------------- symmetry


@pytest.mark.parametrize("text", ["sum(sin(cholesky(A)))", "sum(sin(eigvalsh(A)))", "sum(eigh(A)[1]**3)"])
def test_gradients_of_symmetric_matrices_are_symmetric(text: str) -> None:
    found = gradient(text, A=SYM)
    near(found, found.T)

    def along(a: np.ndarray) -> Any:
        return evaluate(text, A=(a + a.T) / 2)

    near(found, difference(along, SYM), rtol=1e-8, atol=1e-9)
    near(hessian(text, A=SYM), difference(lambda a: gradient(text, A=a), SYM), rtol=1e-7, atol=1e-8)


def test_spellings_of_scipy() -> None:
    near(evaluate("scipy.linalg.cholesky(A)", A=SYM), scipy.linalg.cholesky(SYM))
    near(evaluate("scipy.linalg.cholesky(A, lower=True)", A=SYM), np.linalg.cholesky(SYM))
    near(evaluate("np.linalg.cholesky(A, upper=True)", A=SYM), scipy.linalg.cholesky(SYM))
    q, r = scipy.linalg.qr(A3[:, :2])
    near(evaluate("scipy.linalg.qr(A)[0]", A=A3[:, :2]), q)
    near(evaluate("scipy.linalg.qr(A)[1]", A=A3[:, :2]), r)
    near(evaluate("scipy.linalg.qr(A, mode='economic')[0]", A=A3[:, :2]), q[:, :2])
    near(
        evaluate("scipy.linalg.solve(A, b, assume_a='pos')", A=SYM, b=np.ones(3)),
        np.linalg.solve(SYM, np.ones(3)),
    )
    near(
        evaluate("scipy.linalg.solve_triangular(A, b)", A=A3, b=np.ones(3)),
        scipy.linalg.solve_triangular(A3, np.ones(3)),
    )
    near(evaluate("scipy.linalg.eigh(A, eigvals_only=True)", A=SYM), np.linalg.eigvalsh(SYM))
    near(evaluate("np.linalg.cond(A)", A=A3), np.linalg.cond(A3))
    near(evaluate("scipy.linalg.lu_factor(A)[0]", A=A3), scipy.linalg.lu_factor(A3)[0])
    near(
        evaluate("f = lu_factor(A)\nlu_solve(f[0], f[1], b)", A=A3, b=np.ones(3)),
        np.linalg.solve(A3, np.ones(3)),
    )


SHAPES = [
    ((3, 3), (3,)), ((3, 3), (3, 2)), ((5, 3, 3), (3,)), ((5, 3, 3), (3, 2)), ((5, 3, 3), (5, 3, 2)), ((3, 3), (5, 3, 2)),
    ((2, 1, 3, 3), (5, 3, 1)), ((0, 3, 3), (3, 2)), ((0, 0), (0,)), ((3, 3), (3, 0)), ((1, 3, 3), (4, 3, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("s", "t"), SHAPES, ids=str)
def test_solve_takes_what_numpy_takes(s: tuple[int, ...], t: tuple[int, ...]) -> None:
    rng = np.random.default_rng(11)
    a = rng.normal(size=s) + 3 * np.eye(s[-1])
    b = rng.normal(size=t)
    near(evaluate("solve(A, b)", A=a, b=b), np.linalg.solve(a, b))
    tri = evaluate("solve_triangular(A, b, lower=True)", A=a, b=b)
    near(tri, np.linalg.solve(np.tril(a), b))
    for wrt in ("A", "b"):
        f: Callable[[Any], Any] = {
            "A": lambda x: np.sum(np.sin(np.linalg.solve(x, b))),
            "b": lambda x: np.sum(np.sin(np.linalg.solve(a, x))),
        }[wrt]
        x = a if wrt == "A" else b
        near(gradient("sum(sin(solve(A, b)))", wrt, A=a, b=b), difference(f, x), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("s", "t"), [((3, 3), (4,)), ((3, 2), (3,)), ((3,), (3,)), ((5, 3, 3), (5, 3)), ((3, 3), ())]
)
def test_solve_refuses_by_shape(s: tuple[int, ...], t: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch):
        evaluate("solve(A, b)", A=np.ones(s), b=np.ones(t))


# ------------------------------------------------------------------------------------------------ singular and not finite

FACTORING = [
    ("solve(A, b)", np.zeros((2, 2))), ("inv(A)", np.ones((2, 2))), ("cholesky(A)", -np.eye(2)),
    ("solve_triangular(A, b)", np.array([[1.0, 2.0], [3.0, 0.0]])), ("sqrtm(A)", -np.diag([1.0, 2.0])),
    ("logm(A)", np.zeros((2, 2))), ("solve_sylvester(A, -A, A)", np.eye(2)), ("tensorinv(A, ind=1)", np.ones((2, 2))),
    ("solve(A, b, assume_a='pos')", np.ones((2, 2)) - 2 * np.eye(2)), ("cho_solve(A, b)", np.array([[0.0, 0.0], [1.0, 1.0]])),
]  # fmt: skip


@pytest.mark.parametrize(("text", "bad"), FACTORING, ids=[t for t, _ in FACTORING])
@pytest.mark.parametrize("verb", ["evaluate", "grad", "jacobian", "hessian"])
def test_a_singular_matrix_is_an_error_alone_and_nan_in_a_map(text: str, bad: np.ndarray, verb: str) -> None:
    good = np.array([[2.0, 0.5], [0.3, 3.0]])
    if "cholesky" in text or "pos" in text:
        good = good @ good.T
    if "sylvester" in text:
        text = "solve_sylvester(A, -np.diag([2.0, 2.0]) + 3.0*np.eye(2)*0.0, B)"
        bad, good = np.diag([2.0, 5.0]), np.diag([1.0, 4.0])
    program = f"x = {text}\nsum(x**2)"
    inputs: dict[str, Any] = {"A": bad}
    if "b" in text.split("(")[1]:
        inputs["b"] = np.array([1.0, 2.0])
    if "B" in text:
        inputs["B"] = np.ones((2, 2))
    with pytest.raises(SingularMatrix) as caught:
        ask(verb, program, inputs)
    assert caught.value.node is not None
    assert "singular" in caught.value.detail or "no" in caught.value.detail
    stack = np.stack([good, bad, good + np.diag([0.1, 0.1])])
    mapped = ask(verb, program, inputs | {"A": stack}, in_axes={"A": 0}, nodes="none")
    warned = [w for w in mapped["warnings"] if w["kind"] == "singular-matrix"]
    assert len(warned) >= 1
    assert warned[0]["index"][0] == 1
    assert warned[0]["count"] == 1
    for k in (0, 2):
        alone = ask(verb, program, inputs | {"A": stack[k]}, nodes="none")
        for field in ("value", "outputs", "gradients", "jacobian", "hessian"):
            if field in alone:
                _same_member(mapped[field], alone[field], k)
    value = mapped["value"] if "value" in mapped else next(iter(mapped["outputs"].values()))
    assert np.isnan(value[1])


def _same_member(mapped: Any, alone: Any, k: int) -> None:
    if isinstance(alone, dict):
        for name, value in alone.items():
            _same_member(mapped[name], value, k)
    else:
        near(mapped[k], alone, rtol=1e-10, atol=1e-11)


def test_a_stack_of_the_users_own_names_the_member() -> None:
    stack = np.stack([A3, RANK1, A3])
    with pytest.raises(SingularMatrix, match=r"\[1\]"):
        evaluate("inv(A)", A=np.stack([A3, np.zeros((3, 3)), A3]))
    with pytest.raises(SingularMatrix, match=r"\[1, 0\]"):
        evaluate("cholesky(A)", A=np.stack([SYM, SYM, -SYM, SYM]).reshape(2, 2, 3, 3))
    near(evaluate("det(A)", A=stack), np.linalg.det(stack), atol=1e-14)


@pytest.mark.parametrize("condition", ["det(A) > 0.5", "det(A) < -99.0"])
def test_what_where_cuts_off_has_no_gradient(condition: str) -> None:
    """Also where the member that it cuts off is singular: no "double where" is needed."""
    stack = np.stack([A3, np.zeros((3, 3))])
    program = f"x = solve(A, b)\nwhere({condition}, sum(x**2), 0.0)"
    for verb in ("grad", "hessian"):
        got = ask(
            verb, program, {"A": stack, "b": np.ones(3)}, in_axes={"A": 0}, nodes="none", wrt=["A", "b"]
        )
        for gradient in got["gradients"].values():
            assert np.isfinite(gradient).all()
            assert not gradient[1].any()


NOT_FINITE = [
    "solve(A, b)", "inv(A)", "det(A)", "slogdet(A)[1]", "cholesky(A)", "eigvalsh(A)", "eigh(A)[1]", "svd(A)[0]", "svdvals(A)",
    "qr(A)[0]", "lu(A)[1]", "pinv(A)", "lstsq(A, b)[0]", "expm(A)", "logm(A)", "sqrtm(A)", "matrix_power(A, 3)",
    "matrix_power(A, -1)", "np.linalg.cond(A)", "np.linalg.cond(A, 1)", "norm(A, 'nuc')", "norm(A, 2)",
    "solve_triangular(A, b)", "solve_sylvester(A, A, A)", "matrix_rank(A)", "cosm(A)",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_FINITE)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(text: str, bad: float) -> None:
    """LAPACK is not asked (it may not come back), and nothing but an error of the engine escapes."""
    a = A3.copy()
    a[0, 1] = bad
    inputs: dict[str, Any] = {"A": a} | ({"b": np.ones(3)} if "b)" in text else {})
    try:
        value = evaluate(text, **inputs)
        assert "rank" in text or "cond" in text or not np.isfinite(value).all()
        if "rank" not in text:
            ask("grad", f"sum({text})", inputs)
    except EngineError:
        pass
    mapped = ask("evaluate", text, inputs | {"A": np.stack([a, A3 @ A3.T])}, in_axes={"A": 0})
    alone = evaluate(text, **(inputs | {"A": A3 @ A3.T}))
    near(next(iter(mapped["outputs"].values()))[1], alone, atol=1e-10)


@pytest.mark.parametrize("n", [0, 1])
def test_small_and_empty_matrices(n: int) -> None:
    a = np.full((n, n), 4.0)
    for text in (t for t in NOT_FINITE if "b)" not in t and not (n == 0 and ("cond" in t))):
        for verb in ("grad", "hessian"):
            if "rank" in text:
                continue
            answer = ask(verb, f"sum({text})", {"A": a})
            assert np.isfinite(answer["gradients"]["A"]).all(), text
    assert evaluate("det(A)", A=a) == (1.0 if n == 0 else 4.0)


def test_nearly_singular_is_no_false_alarm() -> None:
    for a in (np.diag([1e-200, 1e200]), np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]]), scipy.linalg.hilbert(12)):
        near(evaluate("inv(A)", A=a), np.linalg.inv(a))
    tiny = 1e-30 * SYM
    near(evaluate("cholesky(A)", A=tiny), np.linalg.cholesky(tiny), atol=0)
    near(evaluate("sum(solve(A, b))", A=tiny, b=np.ones(3)), np.sum(np.linalg.solve(tiny, np.ones(3))))


# -------------------------------------------------------------------------------------------------------------- other


@pytest.mark.parametrize("name", ["eig", "eigvals", "np.linalg.eig", "scipy.linalg.schur"])
def test_what_is_not_offered_says_why(name: str) -> None:
    with pytest.raises(UnknownOp, match=r"not offered.*(eigvalsh|eigh)"):
        evaluate(f"{name}(A)", A=A3)


def test_unsupported_modes() -> None:
    with pytest.raises(Unsupported, match="raw"):
        evaluate("qr(A, mode='raw')[0]", A=A3)
    with pytest.raises(Unsupported, match="pivoting"):
        evaluate("scipy.linalg.qr(A, pivoting=True)[0]", A=A3)


def test_one_result_where_there_is_one() -> None:
    near(
        evaluate("s = svd(A, compute_uv=False)\ns[0] + s", A=A3),
        np.linalg.svdvals(A3)[0] + np.linalg.svdvals(A3),
    )
    near(evaluate("qr(A, mode='r').T", A=A3), np.linalg.qr(A3, "r").T)


def test_null_space_of_a_full_svd() -> None:
    """The projector on the complement has a derivative, though its basis has none."""
    rng = np.random.default_rng(11)
    a = rng.normal(size=(5, 2))

    def projector(x: np.ndarray) -> Any:
        return np.sum(np.sin(np.eye(5) - x @ np.linalg.pinv(x)))

    for factors in ("u, s, v = svd(A)", "u, r = qr(A, 'complete')"):
        got = gradient(f"{factors}\nn = u[:, 2:]\nsum(sin(n @ n.T))", A=a)
        near(got, difference(projector, a), rtol=1e-8, atol=1e-8)


def test_one_factorisation_for_many_right_hand_sides() -> None:
    """A map over b alone makes one system with more columns."""
    rng = np.random.default_rng(11)
    wide = ask("evaluate", "solve(A, b)", {"A": A3, "b": rng.normal(size=(50, 3))}, in_axes={"b": 0})
    assert next(iter(wide["outputs"].values())).shape == (50, 3)
    b = GraphBuilder()
    a, y = (b.input(Aval(s, "float64")) for s in ((40, 40), (40, 1)))
    graph = b.build([call(b, "solve", Var(b, a), Var(b, y)).ref])
    reverse = vjp_graph(graph, [graph.outputs[0]], [a, y], "float64")
    from engine.transforms.vmap import map_graph

    swept = map_graph(reverse, 40, [None, None, 0], "float64")
    assert cost_of(swept).flops < 15 * cost_of(graph).flops


@pytest.mark.parametrize(
    "text", ["svd(A)[1]", "eigh(A)[0]", "expm(A)", "inv(A)", "pinv(A)", "qr(A)[0]", "logm(A)"]
)
def test_a_step_that_would_take_too_long_is_refused(text: str) -> None:
    limits = Limits(elements=10**9)
    with pytest.raises(LimitExceeded) as caught:
        ask(
            "evaluate", f"sum({text})", {"A": np.broadcast_to(0.0, (4000, 4000))}, limits=limits, nodes="none"
        )
    assert caught.value.limit in ("step_flops", "flops")
    assert cost_of(_graph(text, 200)).largest_step < limits.step_flops / 2


def _graph(text: str, n: int) -> Any:
    from engine.language import parse_text
    from engine.specialize import specialize

    return specialize(parse_text(text), {"A": Aval((n, n), "float64")}, limits=Limits()).graph


def test_every_linear_op_has_a_cost() -> None:
    for name in ("linear_systems", "symmetric_eigen", "singular_factors", "matrix_function", "cofactor"):
        op = registry.core(name)
        assert type(op).flops is not type(registry.core("add")).flops


def test_memory_counts_what_a_step_needs_for_itself() -> None:
    """The third derivative of a determinant holds n³ products, the second of expm matrices four times as large."""
    b = GraphBuilder()
    a = b.input(Aval((300, 300), "float64"))
    cofactor = b.build([b.core("cofactor", a, a, a)])
    assert cost_of(cofactor).bytes > 300**3 * 8
    second = b.build([b.core("matrix_function", a, a, a, function="exp", raises=False)])
    assert cost_of(second).bytes > 10 * (4 * 300) ** 2 * 8
