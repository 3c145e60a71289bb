"""Sparse Jacobians and Hessians against the dense ones: values, structures, numbers of passes, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cost import Limits
from engine.derive import prepare
from engine.errors import LimitExceeded, Unsupported
from engine.execute.meter import Meter
from engine.sparsity import loops
from engine.sparsity.colouring import column_colouring, star_colouring
from engine.sparsity.compression import Compression, compressed, of_symmetric
from engine.sparsity.readout import Readout
from tests.engine.helpers import ask, request
from tests.engine.test_random_graphs import Case, cases


def v(*shape: int, start: float = 0.3) -> np.ndarray:
    """Numbers without a pattern, of size about 1, none of them 0 or 1."""
    return np.asarray(1.3 * np.sin(start + 1.7 * np.arange(np.prod(shape, dtype=int)))).reshape(shape)


def n(name: str, op: str, *inputs: Any, **attrs: Any) -> dict[str, Any]:
    """A node of a JSON graph."""
    return {"id": name, "op": op, "inputs": list(inputs)} | ({"attrs": attrs} if attrs else {})


def doc(*nodes: dict[str, Any], inputs: str, outputs: list[str]) -> dict[str, Any]:
    """A JSON graph."""
    return {"nodes": [*({"id": i, "op": "input"} for i in inputs.split()), *nodes], "outputs": outputs}


def spread(block: Any) -> np.ndarray:
    """A block as the dense matrix that it says; its coordinates are checked on the way."""
    if not isinstance(block, dict):
        return np.asarray(block).reshape(1, 1)
    assert list(block) == ["format", "shape", "row", "col", "data"]
    assert block["format"] == "coo"
    row, col, data = block["row"], block["col"], block["data"]
    assert row.dtype == col.dtype == np.int64
    rows, columns = block["shape"]
    keys = row * columns + col
    assert (np.diff(keys) > 0).all(), "row-major, none twice"
    dense = np.zeros((rows, columns), data.dtype)
    dense[row, col] = data
    return dense


def structure(block: Any) -> set[tuple[int, int]]:
    """Places of the structural nonzeros."""
    return set(zip(block["row"].tolist(), block["col"].tolist(), strict=True))


def compare(verb: str, program: Any, inputs: Mapping[str, Any], exactly: bool = True, **fields: Any) -> Any:
    """The sparse answer, once it is found equal to the dense one wherever that is not 0, and no larger."""
    sparse = ask(verb, program, inputs, sparse=True, **fields)
    dense = ask(verb, program, inputs, **fields)
    assert set(sparse) == set(dense)
    for field in set(sparse) - {verb, "passes", "mode", "warnings"}:
        np.testing.assert_equal(sparse[field], dense[field])
    assert [list(row) for row in sparse[verb].values()] == [list(row) for row in dense[verb].values()]
    for out, row in dense[verb].items():
        for into, block in row.items():
            own = sparse[verb][out][into]
            if np.ndim(block) == 0:
                assert not isinstance(own, dict), "a block between scalars is a number"
            got = spread(own)
            expected = np.reshape(block, got.shape)
            assert got.dtype == expected.dtype
            if exactly:
                np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15)
            else:
                np.testing.assert_allclose(got, expected, 1e-12, 1e-13)
    total = sum(np.size(b) for row in dense[verb].values() for b in row.values())
    assert sparse["passes"] <= max(total, 1)
    return sparse


# ---------------------------------------------------------------------------------------------------------- programs

STEP = {
    "inputs": ["i", "y", "x"],
    "outputs": ["h"],
    "nodes": [n("s", "roll", "y", shift=1), n("p", "multiply", "s", "x"), n("h", "add", "y", "p")],
}
PICK = {
    "inputs": ["i", "y", "x"],
    "outputs": ["h"],
    "nodes": [n("a", "take", "x", "i"), n("b", "square", "a"), n("h", "add", "y", "b")],
}
SHIFT = {
    "inputs": ["c", "a"],
    "outputs": ["d", "e"],
    "nodes": [n("d", "tanh", "a"), n("e", "multiply", "c", "a")],
}

PROGRAMS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "an identity": ("x + 0", {"x": v(7)}, 7),
    "two neighbours": ("x[1:]**2 - x[:-1]*sin(x[1:])", {"x": v(9)}, 16),
    "three neighbours": ("-x[:-2] + 2*x[1:-1] - x[2:] + exp(x[1:-1])", {"x": v(9)}, 21),
    "a padded stencil": ("p = pad(x, 1)\n(3 - 2*x)*x - p[:-2] - 2*p[2:] + 1", {"x": v(8)}, 22),
    "a periodic one": ("roll(x, 1)*x - exp(roll(x, -1))", {"x": v(9)}, 27),
    "joined parts": ("concat([x[:1]**2, x[1:]*x[:-1], x[-1:]])", {"x": v(6)}, 12),
    "a grid": (
        "u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4*exp(u[1:-1, 1:-1])", {"u": v(6, 7)}, 100,
    ),
    "broadcasting": ("x[:, None] * y", {"x": v(3), "y": v(4)}, 24),
    "a shared sum": ("x / sum(x)", {"x": v(5)}, 25),
    "half of it shared": ("x * sum(x[:3])", {"x": v(6)}, 21),
    "rows normalised": ("x / sum(x, axis=1, keepdims=True)", {"x": v(3, 4)}, 48),
    "columns": ("softmax(x, axis=0)", {"x": v(3, 4)}, 36),
    "a matrix of the program": ("array([[1, 0, 2], [0, 0, 3], [0, 4, 0.5]]) @ x", {"x": v(3)}, 5),
    "from the right": ("x @ array([[1, 0], [0, 2], [0, 3]])", {"x": v(4, 3)}, 12),
    "a stack of them": ("x @ array([[[1, 0], [0, 2]], [[0, 1], [0, 0]]])", {"x": v(2, 3, 2)}, 9),
    "a matrix of the inputs": ("A @ x", {"A": np.eye(3), "x": v(3)}, 18),
    "batched products": ("X @ Y", {"X": v(2, 2, 3), "Y": v(2, 3, 2)}, 48),
    "a running sum": ("cumsum(x)", {"x": v(6)}, 21),
    "running sums of columns": ("cumsum(x, axis=0)", {"x": v(3, 4)}, 24),
    "picked": ("x[[3, 0, 3]] * y", {"x": v(5), "y": 2.0}, 6),
    "picked by an input": ("take(x, i)", {"x": v(5), "i": np.array([4, -1, 2])}, 3),
    "picked by what is computed": ("take(x, astype(x > 0, 'int')*2)", {"x": v(5)}, 5),
    "scattered": ("scatter_add(x, [0, 2, 0], y)", {"x": v(4), "y": v(3)}, 7),
    "rearranged": ("flip(tile(x.reshape(2, 3).T, (1, 2)), 0)", {"x": v(6)}, 12),
    "repeated": ("repeat(x, [2, 0, 3])", {"x": v(3)}, 5),
    "triangles": ("tril(A) + triu(A, 1)", {"A": v(3, 3)}, 9),
    "a diagonal": ("diag(A) * diag(x)", {"A": v(3, 3), "x": v(3)}, 12),
    "chosen": ("where(x > 0, x, y)", {"x": v(4), "y": v(4, start=2)}, 8),
    "largest of each row": ("A.max(1)", {"A": v(3, 4)}, 12),
    "a product of all": ("prod(x)", {"x": v(6)}, 6),
    "two outputs": ("x*y, sum(x)", {"x": v(3), "y": v(3)}, 9),
    "scalars": ("x*y + z", {"x": 2.0, "y": 3.0, "z": 4.0}, 3),
    "a scalar and arrays": ("s*x, s*s", {"x": v(3), "s": 2.0}, 7),
    "without a derivative": ("round(x) + 0*floor(y), x", {"x": v(2), "y": v(2)}, 2),
    "einsum": ("einsum('ij,j->ij', A, x)", {"A": v(2, 3), "x": v(3)}, 12),
    "a loop": (
        doc(n("r", "fori_loop", "x", "x", start=0, stop=2, body=STEP), inputs="x", outputs=["r"]), {"x": v(7)}, 21,
    ),
    "a loop that counts": (
        doc(n("r", "fori_loop", "z", "x", start=1, stop=3, body=PICK), inputs="x z", outputs=["r"]),
        {"x": v(6), "z": 0.0}, 3,
    ),
    "a loop with a memory": (
        doc(
            n("r", "scan", "z", "x", carry=1, scanned=1, body=SHIFT),
            {"id": "y", "op": "item", "inputs": ["r"], "attrs": {"index": 1}}, inputs="x z", outputs=["y"],
        ),
        {"x": v(6), "z": 0.5}, 12,
    ),
    "a choice": (
        doc(
            n("p", "less", "s", 0),
            n(
                "r", "cond", "p", "x",
                then={"inputs": ["x"], "outputs": ["y"], "nodes": [n("y", "roll", "x", shift=1)]},
                **{"else": {"inputs": ["x"], "outputs": ["y"], "nodes": [n("y", "square", "x")]}},
            ),
            inputs="x s", outputs=["r"],
        ),
        {"x": v(4), "s": 1.0}, 8,
    ),
}  # fmt: skip
"""Program, inputs, and how many structural nonzeros its Jacobian by all inputs has."""


def count(blocks: Mapping[str, Mapping[str, Any]]) -> int:
    """Structural nonzeros; numbers count if they are not 0."""
    found = [b for row in blocks.values() for b in row.values()]
    return sum(len(b["row"]) if isinstance(b, dict) else int(b != 0) for b in found)


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobians(name: str, mode: str) -> None:
    program, inputs, nonzeros = PROGRAMS[name]
    answer = compare("jacobian", program, inputs, exactly="@" not in str(program), mode=mode)
    assert count(answer["jacobian"]) == nonzeros
    if mode != "auto":
        assert answer["mode"] == mode


@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobians_in_single_precision(name: str) -> None:
    program, inputs, nonzeros = PROGRAMS[name]
    answer = compare("jacobian", program, inputs, exactly="@" not in str(program), dtype="float32")
    assert count(answer["jacobian"]) == nonzeros


FUNCTIONS: dict[str, tuple[Any, dict[str, Any], int, int]] = {
    "squares": ("sum(x**2)", {"x": v(8)}, 8, 1),
    "neighbours": ("sum(x[1:]*x[:-1])", {"x": v(8)}, 14, 2),
    "Rosenbrock": ("sum(100*(x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2)", {"x": v(9)}, 25, 3),
    "logsumexp": ("logsumexp(x)", {"x": v(5)}, 25, 5),
    "an arrow": ("x[0]*sum(x) + sum(x**2)", {"x": v(9)}, 25, 2),
    "linear": ("sum(3*x) + 2", {"x": v(4)}, 0, 0),
    "pieces": ("sum(relu(x)) + sum(abs(x))", {"x": v(4)}, 0, 0),
    "two groups": ("sum(x*y) + sum(exp(y))", {"x": v(4), "y": v(4)}, 12, 2),
    "a quadratic form": ("dot(x, array([[2, 1, 0], [1, 2, 1], [0, 1, 2]]) @ x)", {"x": v(3)}, 7, 2),
    "blocks": ("sum(prod(x, axis=1))", {"x": v(4, 3)}, 24, 3),
    "scalars": ("a*b + exp(c)", {"a": 2.0, "b": 3.0, "c": 0.5}, 3, 1),
    "rows": ("sum(logsumexp(x, axis=1))", {"x": v(3, 2)}, 12, 2),
    "a grid": (
        "sum((u[1:] - u[:-1])**4) + sum((u[:, 1:] - u[:, :-1])**4)", {"u": v(4, 5)}, 20 + 2 * (3 * 5 + 4 * 4), 5,
    ),
    "a loop": (
        doc(
            n("r", "fori_loop", "x", "x", start=0, stop=1, body=STEP), n("f", "sum", "r"), inputs="x", outputs=["f"]
        ),
        {"x": v(7)}, 14, 3,
    ),
    "a loop that counts": (
        doc(n("r", "fori_loop", "z", "x", start=1, stop=3, body=PICK), inputs="x z", outputs=["r"]),
        {"x": v(6), "z": 0.0}, 2, 1,
    ),
}  # fmt: skip
"""Function, inputs, structural nonzeros of its Hessian, and in how many passes it is had."""


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_hessians(name: str, mode: str) -> None:
    program, inputs, nonzeros, passes = FUNCTIONS[name]
    answer = compare("hessian", program, inputs, exactly=False, mode=mode)
    assert count(answer["hessian"]) == nonzeros
    assert answer["passes"] == passes


def test_seeds_and_intermediates() -> None:
    answer = compare(
        "hessian", "y = x[1:]*x[:-1]\nexp(y)", {"x": v(5)}, False, of="t3", seed=v(4), wrt=["y", "x"]
    )
    assert structure(answer["hessian"]["y"]["y"]) == {(i, i) for i in range(4)}
    assert structure(answer["hessian"]["y"]["x"]) == {(i, i + k) for i in range(4) for k in (0, 1)}
    answer = compare("jacobian", "y = x[1:]*x[:-1]\nexp(y)", {"x": v(5)}, of=["t3", "y"], wrt=["y", "x"])
    assert structure(answer["jacobian"]["y"]["y"]) == {(i, i) for i in range(4)}


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_empty_blocks(shape: tuple[int, ...]) -> None:
    answer = compare("jacobian", "x*2, y, sum(x)", {"x": np.zeros(shape), "y": 2.0})
    assert answer["jacobian"]["t1"]["x"]["shape"] == [0, 0]
    assert answer["jacobian"]["t2"]["x"]["shape"] == [1, 0]
    assert answer["jacobian"]["t1"]["y"]["shape"] == [0, 1]
    assert ask("hessian", "sum(x*x)", {"x": np.zeros(shape)}, sparse=True)["passes"] == 0


def test_nothing_is_swept_where_nothing_depends() -> None:
    answer = ask("jacobian", "x + 1\ny*2", {"x": v(3), "y": v(2)}, of="t2", wrt=["x"], sparse=True)
    assert answer["passes"] == 0
    assert count(answer["jacobian"]) == 0


# ------------------------------------------------------------------------------------------------ structures of others


def test_structures_against_sympy() -> None:
    """The structure of x[i−1]·x[i]² + sin(x[i+1]) and of a Hessian, from symbolic differentiation."""
    size = 6
    xs = sympy.symbols(f"x0:{size}")
    rows = [xs[i - 1] * xs[i] ** 2 + sympy.sin(xs[i + 1]) for i in range(1, size - 1)]
    symbolic = sympy.Matrix(rows).jacobian(xs)
    expected = {(i, j) for i in range(size - 2) for j in range(size) if symbolic[i, j] != 0}
    answer = ask("jacobian", "x[:-2]*x[1:-1]**2 + sin(x[2:])", {"x": v(size)}, sparse=True)
    assert structure(next(iter(answer["jacobian"].values()))["x"]) == expected

    f = sum((xs[i + 1] - xs[i] ** 2) ** 2 for i in range(size - 1)) + xs[0] * xs[5]
    symbolic = sympy.hessian(f, xs)
    expected = {(i, j) for i in range(size) for j in range(size) if symbolic[i, j] != 0}
    answer = ask("hessian", "sum((x[1:] - x[:-1]**2)**2) + x[0]*x[5]", {"x": v(size)}, sparse=True)
    assert structure(answer["hessian"]["x"]["x"]) == expected


def test_structures_against_kronecker_products() -> None:
    """The five-point Laplacian as SciPy builds it."""
    m, k = 5, 6

    def second(size: int) -> Any:
        return sp.diags_array(
            [np.ones(size - 1), -2.0 * np.ones(size), np.ones(size - 1)], offsets=[-1, 0, 1]
        )

    laplacian = sp.kron(second(m), sp.eye_array(k)) + sp.kron(sp.eye_array(m), second(k))
    text = "p = pad(u, 1)\np[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4*u"
    answer = ask("jacobian", text, {"u": v(m, k)}, sparse=True)
    (block,) = (row["u"] for row in answer["jacobian"].values())
    np.testing.assert_array_equal(spread(block), laplacian.toarray())
    assert len(block["row"]) == laplacian.nnz
    assert answer["passes"] == 5


# ------------------------------------------------------------------------------------------------------- known patterns


@pytest.mark.parametrize("size", [10, 999, 1000])
@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("x**2", 1),
        ("p = pad(x, 1)\nexp(x) - p[:-2] - p[2:]", 3),
        ("p = pad(x, 2)\nexp(x) - p[:-4] - p[4:] + p[1:-3]*p[3:-1]", 5),
        ("x[1:] - x[:-1]", 1),  # by both slices, of which a row reads one entry each
    ],
)
def test_bands_take_as_many_passes_as_they_are_wide(text: str, passes: int, size: int) -> None:
    assert ask("jacobian", text, {"x": v(size)}, sparse=True)["passes"] == passes


def test_dense_rows_and_columns() -> None:
    """One dense row needs a colour for each column, one dense column for each row: the other direction is taken."""
    row = ask("jacobian", "concat([x**2, stack([sum(x)])])", {"x": v(50)}, sparse=True)
    assert (row["passes"], row["mode"]) == (2, "reverse")
    column = ask("jacobian", "x*x[0]", {"x": v(50)}, sparse=True)
    assert (column["passes"], column["mode"]) == (2, "forward")
    assert ask("jacobian", "x*x[0]", {"x": v(50)}, sparse=True, mode="reverse")["passes"] == 50
    blocks = ask("jacobian", "softmax(x, axis=1)", {"x": v(20, 4)}, sparse=True)
    assert blocks["passes"] == 4


def test_hidden_bands_are_found() -> None:
    order = np.random.default_rng(0).permutation(60)
    text = f"y = x[{order.tolist()}]\ny[1:]*y[:-1]"
    assert ask("jacobian", text, {"x": v(60)}, sparse=True)["passes"] == 1
    assert ask("jacobian", text, {"x": v(60)}, sparse=True, mode="forward")["passes"] == 2


# --------------------------------------------------------------------------------------------------------- random graphs


@settings(max_examples=60, deadline=None)
@given(cases())
def test_random_jacobians(case: Case) -> None:
    names = [entry["id"] for entry in case.document["nodes"]]
    some = names[:: max(1, len(names) // 4)]
    for mode in ("auto", "reverse", "forward"):
        compare("jacobian", case.document, case.inputs, exactly=False, of=some, wrt=names, mode=mode)


@settings(max_examples=40, deadline=None)
@given(cases(steps=6))
def test_random_hessians(case: Case) -> None:
    inputs = ask("hessian", case.document, case.inputs, sparse=True)["hessian"]
    dense = ask("hessian", case.document, case.inputs)["hessian"]
    for a, row in dense.items():
        for b, block in row.items():
            got = spread(inputs[a][b])
            scale = 1e-9 * max(1.0, float(np.abs(block).max(initial=0)))
            np.testing.assert_allclose(got, np.reshape(block, got.shape), 1e-9, scale)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_any_matrix_is_recovered(rows: int, columns: int, density: float, seed: int) -> None:
    """From products with its seeds alone, in either direction and in chunks of any size; and a symmetric one."""
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, columns)) < density
    matrix = np.where(mask, rng.normal(size=mask.shape), 0.0)
    table = sp.csr_array(mask)
    for preferred in ("forward", "reverse"):
        for only in (False, True):
            direction, found = compressed(
                table,
                [(rows,)],
                [(columns,)],
                preferred,
                only,
                lambda: None,  # type: ignore[arg-type]
            )
            assert not only or direction == preferred
            turned = matrix.T if direction == "forward" else matrix
            assert np.array_equal(recovered(found, turned, rng.integers(1, 4)), matrix[mask])
    square = rng.random((rows, rows)) < density
    square = square | square.T
    values = rng.normal(size=square.shape)
    hessian = np.where(square, values + values.T, 0.0)
    found = of_symmetric(sp.csr_array(square), [(rows,)], lambda: None)
    assert np.array_equal(recovered(found, hessian, rng.integers(1, 4)), hessian[square])


def recovered(found: Compression, matrix: np.ndarray, chunk: int) -> np.ndarray:
    """Nonzeros from sweeps: each is a seed times the matrix."""
    readout = Readout(
        found.rows,
        found.columns,
        found.sweeps,
        found.places,
        heights=[found.rows.max(initial=-1) + 1],
        widths=[found.columns.max(initial=-1) + 1],
        results=[matrix.shape[1]],
        starts=range(0, found.count, chunk),
    )
    data = readout.empty("float64")
    for start in range(0, found.count, chunk):
        sweeps = np.arange(start, min(start + chunk, found.count))
        readout.read(data, [(found.colours == sweeps[:, None]).astype(float) @ matrix], start)
    (block,) = readout.blocks
    assert np.array_equal(block.rows, found.rows)
    assert np.array_equal(block.columns, found.columns)
    return readout.added(data)[0]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_star_colourings(size: int, density: float, seed: int) -> None:
    """Neighbours differ, and no path of four vertices has two colours: by looking at all of them."""
    rng = np.random.default_rng(seed)
    mask = rng.random((size, size)) < density
    mask = mask | mask.T
    colours = star_colouring(sp.csr_array(mask), lambda: None).colours
    near = [[j for j in range(size) if mask[i, j] and i != j] for i in range(size)]
    for b in range(size):
        for c in near[b]:
            assert colours[b] != colours[c]
            for a in near[b]:
                for d in near[c]:
                    if len({a, b, c, d}) == 4:
                        assert len({colours[k] for k in (a, b, c, d)}) > 2


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_column_colourings(rows: int, columns: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < density
    found = column_colouring(sp.csr_array(mask), [(columns,)], lambda: None)
    for row in mask:
        mine = found.colours[row]
        assert len(set(mine.tolist())) == len(mine)
    assert found.colours.max() < found.count or not mask.any()
    assert found.count >= max(1, int(mask.sum(axis=1).max()))


# ------------------------------------------------------------------------------------------ non-finite entries, refusals


def test_an_infinite_entry_stays_by_itself() -> None:
    x = np.array([4.0, 0.0, 1.0, 9.0])
    answer = compare("jacobian", "sqrt(x)", {"x": x})
    (block,) = (row["x"] for row in answer["jacobian"].values())
    np.testing.assert_array_equal(block["data"], [0.25, np.inf, 0.5, 1 / 6])
    assert answer["passes"] == 1
    warning = answer["warnings"][-1]
    assert (warning["kind"], warning["node"], warning["operand"]) == ("non-finite-gradient", "t1", "x")
    assert (warning["index"], warning["count"]) == ([1], 1)
    compare("jacobian", "log(x[1:])*x[:-1]", {"x": x})
    compare("hessian", "sum(where(x > 0, sqrt(x), 0))", {"x": x})


def test_there_is_no_sparse_map() -> None:
    with pytest.raises(Unsupported, match="batch axis") as refused:
        ask("jacobian", "x*x", {"x": v(2, 3)}, sparse=True, in_axes={"x": 0})
    assert refused.value.where is not None
    assert refused.value.where.pointer == "/sparse"
    with pytest.raises(Unsupported, match="jacobian and hessian"):
        ask("grad", "sum(x*x)", {"x": v(2)}, sparse=True)


def test_dense_structures_of_large_arrays_are_refused_in_time() -> None:
    big = {"x": v(100_000)}
    for verb, text in [
        ("jacobian", "x/sum(x)"),
        ("jacobian", "cumsum(x)"),
        ("jacobian", "softmax(x) * x[0]"),
        ("hessian", "logsumexp(x)"),
        ("hessian", "sum(x)**2"),
        ("jacobian", "x[::-1]*mean(x)"),
    ]:
        with pytest.raises(LimitExceeded) as refused:
            prepare(verb, request(text, big, sparse=True))
        assert refused.value.limit == "response_elements"
        assert refused.value.actual > 10**9


def test_the_answer_counts_its_nonzeros() -> None:
    limits = Limits(response_elements=3000)
    assert ask("jacobian", "x[1:]*x[:-1]", {"x": v(1500)}, sparse=True, limits=limits)["passes"] == 1
    with pytest.raises(LimitExceeded, match="structural nonzeros"):
        ask("jacobian", "x[1:]*x[:-1]", {"x": v(1600)}, sparse=True, limits=limits)


def test_what_is_dense_on_the_way_may_be_sparse_at_the_end() -> None:
    """A gradient's row through a softmax, and a total of running sums: nothing of n² is made."""
    size = 100_000
    for text in ("sum(softmax(x)*x)", "sum(cumsum(x)**2)", "sum(exp(x)/sum(exp(x)))", "norm(x - mean(x))"):
        answer = ask("jacobian", text, {"x": v(size)}, sparse=True)
        assert answer["passes"] == 1
        assert count(answer["jacobian"]) == size


def test_long_loops_are_taken_as_a_whole() -> None:
    """Loops too long to be followed step by step: with a memory of one step, without end, and one that only counts."""
    size = 20_000
    program, _, _ = PROGRAMS["a loop with a memory"]
    found = ask("jacobian", program, {"x": v(size), "z": 0.5}, sparse=True)
    expected = {(i, i) for i in range(size)} | {(i + 1, i) for i in range(size - 1)}
    assert structure(found["jacobian"]["y"]["x"]) == expected
    assert structure(found["jacobian"]["y"]["z"]) == {(0, 0)}
    assert found["passes"] == 2


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["a loop with a memory", "a sum", "a sum that nobody reads", "a counter"])
def test_loops_as_a_whole_are_loops_step_by_step(
    name: str, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never less than what is found step by step; and no more where memory is short, or no carry is read."""
    bodies = {
        "a loop with a memory": SHIFT,
        "a sum": {
            "inputs": ["c", "a"], "outputs": ["d", "e"],
            "nodes": [n("d", "add", "c", "a"), n("e", "multiply", "d", "a")],
        },
        "a sum that nobody reads": {
            "inputs": ["c", "a"], "outputs": ["d", "e"],
            "nodes": [n("d", "add", "c", "a"), n("e", "square", "a")],
        },
        "a counter": {
            "inputs": ["c", "a"], "outputs": ["d", "e"],
            "nodes": [n("d", "multiply", "c", 0.5), n("e", "square", "a")],
        },
    }  # fmt: skip
    program = doc(
        n("r", "scan", "z", "x", carry=1, scanned=1, body=bodies[name], reverse=reverse),
        {"id": "c", "op": "item", "inputs": ["r"], "attrs": {"index": 0}},
        {"id": "y", "op": "item", "inputs": ["r"], "attrs": {"index": 1}},
        inputs="x z",
        outputs=["c", "y"],
    )
    inputs = {"x": v(20, 2), "z": v(2)}
    followed = compare("jacobian", program, inputs)
    monkeypatch.setattr(loops, "FOLLOWED", 0)
    whole = compare("jacobian", program, inputs)
    for out in ("c", "y"):
        for into in ("x", "z"):
            mine, more = (structure(a["jacobian"][out][into]) for a in (followed, whole))
            assert mine <= more
            if name != "a sum":
                assert mine == more, (out, into)
    compare(
        "hessian",
        {**program, "nodes": [*program["nodes"], n("f", "sum", "y")], "outputs": ["f"]},
        inputs,
        False,
    )


def test_indices_that_are_not_known_may_be_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is carried: known where the loop is followed step by step, any where it is taken as a whole."""
    body = {
        "inputs": ["i", "t", "a", "x"],
        "outputs": ["j", "u", "y"],
        "nodes": [
            n("j", "add", "i", 1),
            n("k", "add", "i", [0, -1]),
            n("b", "reshape", "a", shape=[2, 1]),
            n("u", "scatter_add", "t", "k", "b"),
            n("p", "take", "x", "i", axis=0),
            n("y", "multiply", "p", "a"),
        ],
    }
    program = doc(
        n("r", "scan", "i", "t", "a", "x", carry=2, scanned=1, body=body),
        *({"id": k, "op": "item", "inputs": ["r"], "attrs": {"index": m}} for m, k in ((1, "u"), (2, "y"))),
        inputs="i t a x",
        outputs=["u", "y"],
    )
    inputs = {"i": np.array(1), "t": v(6, 2), "a": v(4, 2), "x": v(6, 2)}
    followed = compare("jacobian", program, inputs)["jacobian"]
    assert len(followed["u"]["a"]["row"]) == 16
    assert len(followed["y"]["x"]["row"]) == 8
    monkeypatch.setattr(loops, "FOLLOWED", 0)
    whole = compare("jacobian", program, inputs)["jacobian"]
    assert structure(followed["u"]["a"]) < structure(whole["u"]["a"])
    assert structure(followed["y"]["x"]) < structure(whole["y"]["x"])
    # Columns of the arrays are kept apart all the same.
    assert all((i - j) % 2 == 0 for i, j in structure(whole["y"]["x"]))


@pytest.mark.parametrize("size", [101, 50_001])
@pytest.mark.parametrize(
    ("verb", "text", "sparse"),
    [
        ("jacobian", "l = log(x*x)\nwhere(x > 0.5, l, x)", True),
        ("jacobian", "l = log(x*x)\nsum(where(x > 0.5, l, x))", False),
        ("hessian", "l = log(x*x)\nsum(where(x > 0.5, l, x**2))", True),
    ],
)
def test_what_is_hidden_has_a_warning_at_any_size(verb: str, text: str, sparse: bool, size: int) -> None:
    x = np.linspace(-1, 1, size)
    x[size // 2] = 0
    fields = {"sparse": True} if sparse else {}
    answer = prepare(verb, request(text, {"x": x}, nodes="none", **fields)).run(Meter())
    assert [warning["node"] for warning in answer["warnings"]] == ["l"]
