"""matmul, einsum and the other products: against NumPy and its documented examples, and what they refuse."""

from __future__ import annotations

import random
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from engine.aval import FLOAT64, Aval, Shape
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.cost import Limits
from engine.errors import Arity, EngineError, InvalidAttribute, LimitExceeded, ShapeMismatch
from engine.graph import Graph, typecheck
from engine.ops.products.matmul import contract
from engine.transforms.vmap import vmap
from tests.engine.calls import answer, gradient, value
from tests.engine.helpers import ask, near

RNG = np.random.default_rng(32)
E = np.eye(2)


def graph_of(op: str, arrays: list[Any], **attrs: Any) -> Graph:
    b = GraphBuilder()
    operands = [Var(b, b.input(Aval(a.shape, str(a.dtype)))) for a in arrays]  # type: ignore[arg-type]
    graph = b.build([call(b, op, *operands, **attrs).ref])
    typecheck(graph)
    return graph


def run(op: str, *arrays: Any, **attrs: Any) -> Any:
    """The op by a graph, of exactly the inferred shape and dtype."""
    given = [np.asarray(a) for a in arrays]
    graph = graph_of(op, given, **attrs)
    (y,) = EagerBuilder().inline(graph, [a[()] for a in given])
    assert (np.shape(y), str(np.asarray(y).dtype)) == graph.out_avals[0]
    return y


def alike(got: Any, expected: Any) -> None:
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    near(got, expected)


def kinds(*shapes: Shape) -> list[list[Any]]:
    """Operands of these shapes: floats, integers, booleans."""
    floats = [RNG.normal(size=s) for s in shapes]
    return [floats, [np.asarray(9 * a).astype(np.int64) for a in floats], [np.asarray(a > 0) for a in floats]]


# ------------------------------------------------------------------------------------------------------------- matmul

PAIRS = [
    ((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (1, 5, 3, 4)), ((1, 1, 2, 3), (3, 1)), ((2, 0), (0, 3)), ((0, 3), (3, 2)), ((2, 3), (3, 0)),
    ((0, 2, 3), (3, 4)), ((0,), (0,)), ((1, 2, 3), (0, 3, 4)),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_matmul_is_numpys(pair: tuple[Shape, Shape]) -> None:
    for x, y in kinds(*pair):
        alike(run("matmul", x, y), np.matmul(x, y))
        alike(run("dot", x, y), np.dot(x, y))


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("mapped", [(True, False), (False, True), (True, True)], ids=str)
def test_mapped_matmul_is_a_loop(pair: tuple[Shape, Shape], mapped: tuple[bool, bool]) -> None:
    arrays = kinds(*pair)[0]
    graph, _ = vmap(graph_of("matmul", arrays), 3, mapped, "float64")
    typecheck(graph)
    given = [np.stack([a, 2 * a, a - 1]) if m else a for a, m in zip(arrays, mapped, strict=True)]
    (got,) = EagerBuilder().inline(graph, given)
    for k in range(3):
        x, y = (a[k] if m else a for a, m in zip(given, mapped, strict=True))
        near(got[k], np.matmul(x, y))


def test_a_stack_by_one_matrix_is_one_product() -> None:
    arrays = [RNG.normal(size=(7, 2, 3)), RNG.normal(size=(3, 4))]
    graph = graph_of("matmul", arrays)
    (product,) = [n for n in graph.nodes if n.op.name == "matmul"]
    assert product.aval == Aval((14, 4), "float64")
    assert product.op.flops([graph.nodes[i].aval for i in product.inputs], product.aval) == 2 * 14 * 4 * 3  # type: ignore[misc]


def test_infinities_and_nan_follow_ieee() -> None:
    x, y = np.array([[0.0, 1.0], [nan, 0.0]]), np.array([[inf, 2.0], [3.0, 4.0]])
    with np.errstate(all="ignore"):
        near(run("matmul", x, y), np.matmul(x, y))
        near(run("einsum", x, y, subscripts="ij,jk->ik"), np.matmul(x, y))
    asked = ask("grad", "sum(a @ b)", {"a": [0.0, 1.0], "b": ["Infinity", 2.0]})
    near(asked["gradients"]["a"], [inf, 2.0])
    near(asked["gradients"]["b"], [0.0, 1.0])


@pytest.mark.parametrize(
    ("op", "pair", "words"),
    [
        ("matmul", ((2, 3), (4, 5)), "shapes [2, 3] and [4, 5] do not go together"),
        ("matmul", ((2, 3), (4, 5)), "of the first has size 3, the last but one axis of the second has size 4"),
        ("matmul", ((3,), (4,)), "the last axis of the second has size 4"),
        ("matmul", ((), (2, 2)), "the first operand is a scalar (shapes [] and [2, 2]). Use *"),
        ("matmul", ((2, 2), ()), "the second operand is a scalar"),
        ("matmul", ((2, 1, 2), (3, 2, 1)), "the axes before the last two must be equal, or 1"),
        ("dot", ((2, 3), (2, 3)), "size 3, the last but one axis of the second has size 2"),
        ("inner", ((2, 3), (2,)), "the last axes have sizes 3 and 2"),
        ("vdot", ((2, 3), (5,)), "have 6 and 5 elements"),
        ("vecdot", ((2, 3), (2,)), "3 and 2 components"),
        ("cross", ((2,), (2,)), "must have 3 components"),
        ("trace", ((2,),), "needs a matrix"),
        ("tensordot", ((2, 3), (2, 3)), "axis 0 of the second"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(op: str, pair: tuple[Shape, ...], words: str) -> None:
    attrs = {"tensordot": {"axes": ((1,), (0,))}}.get(op, {})
    with pytest.raises(ShapeMismatch) as caught:
        run(op, *(np.ones(s) for s in pair), **attrs)
    assert words in caught.value.detail


# ------------------------------------------------------------------------------------------------------------- einsum


def test_einsum_of_numpys_reference() -> None:
    a, b, c = np.arange(25.0).reshape(5, 5), np.arange(5.0), np.arange(6.0).reshape(2, 3)
    assert run("einsum", a, subscripts="ii") == 60
    near(run("einsum", a, subscripts="ii->i"), [0, 6, 12, 18, 24])
    near(run("einsum", a, subscripts="ij->i"), [10, 35, 60, 85, 110])
    near(run("einsum", a, subscripts="...j->..."), np.sum(a, axis=1))
    near(run("einsum", c, subscripts="ji"), [[0, 3], [1, 4], [2, 5]])
    near(run("einsum", c, subscripts="ij->ji"), c.T)
    near(run("einsum", b, b, subscripts="i,i"), 30.0)
    near(run("einsum", a, b, subscripts="ij,j"), [30, 80, 130, 180, 230])
    near(run("einsum", a, b, subscripts="...j,j"), [30, 80, 130, 180, 230])
    near(run("einsum", 3.0, c, subscripts="..., ..."), 3 * c)
    near(run("einsum", 3.0, c, subscripts=",ij"), 3 * c)
    near(run("einsum", np.arange(2.0) + 1, b, subscripts="i,j"), np.outer([1, 2], b))
    d, e = np.arange(60.0).reshape(3, 4, 5), np.arange(24.0).reshape(4, 3, 2)
    near(run("einsum", d, e, subscripts="ijk,jil->kl")[0], [4400, 4730])
    f, g = np.arange(6.0).reshape((3, 2)), np.arange(12.0).reshape((4, 3))
    near(run("einsum", f, g, subscripts="ki,jk->ij"), [[10, 28, 46, 64], [13, 40, 67, 94]])
    near(run("einsum", f, g, subscripts="ki,...k->i..."), [[10, 28, 46, 64], [13, 40, 67, 94]])
    near(run("einsum", f, g, subscripts="k...,jk"), [[10, 28, 46, 64], [13, 40, 67, 94]])
    h = np.arange(64.0).reshape(2, 4, 8)
    near(
        run("einsum", h, h, h, h, h, subscripts="ijk,ilm,njm,nlk,abc->"),
        np.einsum("ijk,ilm,njm,nlk,abc->", h, h, h, h, h, optimize=True),
    )


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 2)]), ("iii->", [(2, 2, 2)]),
        ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]), ("ij,ij->ji", [(2, 3), (2, 3)]), ("bA", [(2, 3)]),
        ("ij,kj->ki", [(2, 3), (4, 3)]), ("iji->j", [(3, 2, 3)]), ("i,j,k->kij", [(2,), (3,), (4,)]),
        ("i,ij,j", [(3,), (3, 4), (4,)]), ("", [()]), (",->", [(), ()]), ("...ij,...jk", [(5, 2, 3), (1, 3, 2)]),
        ("i...->...", [(2, 3, 4)]), ("...,...", [(2, 3), (4, 1, 3)]), ("ij,ij->ij", [(1, 3), (2, 3)]),
        ("i j , j -> i", [(2, 3), (3,)]), ("ij,jk,kl,lm", [(2, 0), (0, 3), (3, 4), (4, 2)]),
        ("i->...i", [(3,)]), ("ij,k->", [(2, 3), (4,)]),
    ],
)  # fmt: skip
def test_einsum_is_numpys(subscripts: str, shapes: list[Shape]) -> None:
    for arrays in kinds(*shapes):
        alike(run("einsum", *arrays, subscripts=subscripts), np.einsum(subscripts, *arrays))


@pytest.mark.parametrize("seed", range(30))
def test_einsum_is_numpys_for_random_subscripts(seed: int) -> None:
    r = random.Random(seed)
    for _ in range(6):
        letters = r.sample("abcXYZ", 4)
        sizes = {n: r.choice([1, 2, 3]) for n in letters}
        terms = ["".join(r.choice(letters) for _ in range(r.randint(0, 3))) for _ in range(r.randint(1, 4))]
        used = sorted(set("".join(terms)))
        subscripts = ",".join(terms) + r.choice(["", "->" + "".join(r.sample(used, r.randint(0, len(used))))])
        arrays = [RNG.normal(size=[sizes[n] for n in term]) for term in terms]
        near(run("einsum", *arrays, subscripts=subscripts), np.einsum(subscripts, *arrays))


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "words"),
    [
        ("ij,jk", [(2, 3), (4, 2)], ShapeMismatch, "'j' has size 3 in operand 0 (shape [2, 3]) and 4 in operand 1"),
        ("ij", [(2, 3, 4)], ShapeMismatch, "Write ... for axes without a letter"),
        ("ijk", [(2, 3)], ShapeMismatch, "names 3 axes, and operand 0 has 2"),
        ("ii", [(2, 3)], ShapeMismatch, "sizes 2 and 3; a diagonal needs equal ones"),
        ("i,j", [(2,)], Arity, "are for 2 operands, but there are 1"),
        ("i->ii", [(2,)], InvalidAttribute, "'i' twice"),
        ("i->j", [(2,)], InvalidAttribute, "'j', which no operand has"),
        ("...i->i", [(2, 3)], InvalidAttribute, "must have '...' too"),
        ("i1", [(2, 3)], InvalidAttribute, "hold '1'"),
        ("i....", [(2, 3)], InvalidAttribute, "hold '.'"),
        ("i->i->i", [(2,)], InvalidAttribute, "one '->'"),
        ("é", [(2,)], InvalidAttribute, "hold 'é'"),
        (",".join(["i"] * 65), [(2,)] * 65, Arity, "at most 64 operands"),
    ],
    ids=lambda v: v if isinstance(v, str) and len(v) < 20 else "",
)  # fmt: skip
def test_what_einsum_refuses(
    subscripts: str, shapes: list[Shape], error: type[EngineError], words: str
) -> None:
    with pytest.raises(error) as caught:
        run("einsum", *(np.ones(s) for s in shapes), subscripts=subscripts)
    assert words in caught.value.detail


def test_einsum_is_bounded_before_anything_is_allocated() -> None:
    inputs = {n: np.zeros(1000) for n in "abc"}
    with pytest.raises(LimitExceeded, match="1,000,000,000 elements"):
        ask("evaluate", "einsum('i,j,k->ijk', a, b, c)", inputs, limits=Limits())
    near(ask("evaluate", "einsum('i,j,k->', a, b, c)", inputs)["outputs"]["t1"], 0.0)


def test_einsum_contracts_in_a_good_order() -> None:
    # From the left a chain of matrices and a vector is a product of matrices each time; from the right never.
    arrays = [np.ones((50, 50)), np.ones((50, 50)), np.ones((50, 50)), np.ones(50)]
    graph = graph_of("einsum", arrays, subscripts="ij,jk,kl,l->i")
    sizes = [n.aval.size for n in graph.nodes if n.op.name == "matmul"]  # type: ignore[union-attr]
    assert sizes == [50, 50, 50]


def test_sixty_four_operands_are_ordered_quickly() -> None:
    arrays = [np.full((2, 2), 0.5)] * 64
    subscripts = ",".join("abcdefgh"[k % 8] + "abcdefgh"[(k + 1) % 8] for k in range(64))
    near(run("einsum", *arrays, subscripts=subscripts + "->"), 2.0**8 * 0.5**64)


def test_gradients_of_einsum_are_einsums() -> None:
    x, y, z = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(4,))
    seed = RNG.normal(size=2)
    asked = answer("grad", "einsum", [x, y, z], {"subscripts": "ij,jk,k->i"}, seed=seed)["gradients"]
    near(asked["x0"], np.einsum("i,jk,k->ij", seed, y, z))
    near(asked["x1"], np.einsum("i,ij,k->jk", seed, x, z))
    near(asked["x2"], np.einsum("i,ij,jk->k", seed, x, y))
    square = RNG.normal(size=(3, 3))
    near(
        gradient("einsum", square, seed=np.array([1.0, 2.0, 3.0]), subscripts="ii->i"),
        np.diag([1.0, 2.0, 3.0]),
    )


# ------------------------------------------------------------------------------------------------------ other products


def test_products_of_numpys_reference() -> None:
    near(run("dot", [[1.0, 0], [0, 1]], [[4.0, 1], [2, 2]]), [[4, 1], [2, 2]])
    a, b = (
        np.arange(3 * 4 * 5 * 6.0).reshape((3, 4, 5, 6)),
        np.arange(3 * 4 * 5 * 6.0)[::-1].reshape((5, 4, 6, 3)),
    )
    assert run("dot", a, b)[2, 3, 2, 1, 2, 2] == 499128
    assert run("vdot", [[1.0, 4], [5, 6]], [[4.0, 1], [2, 2]]) == 30
    near(run("inner", np.arange(24.0).reshape((2, 3, 4)), np.arange(4.0)), [[14, 38, 62], [86, 110, 134]])
    near(run("inner", np.eye(2), 7.0), 7 * np.eye(2))
    near(run("outer", np.ones((5,)), np.linspace(-2, 2, 5)), np.outer(np.ones(5), np.linspace(-2, 2, 5)))
    c, d = np.arange(60.0).reshape(3, 4, 5), np.arange(24.0).reshape(4, 3, 2)
    expected = [[4400, 4730], [4532, 4874], [4664, 5018], [4796, 5162], [4928, 5306]]
    near(run("tensordot", c, d, axes=((1, 0), (0, 1))), expected)
    near(run("kron", [1.0, 10, 100], [5.0, 6, 7]), [5, 6, 7, 50, 60, 70, 500, 600, 700])
    near(run("kron", np.eye(2), np.ones((2, 2))), np.kron(np.eye(2), np.ones((2, 2))))
    e, f = np.arange(100.0).reshape((2, 5, 2, 5)), np.arange(24.0).reshape((2, 3, 4))
    near(run("kron", e, f), np.kron(e, f))
    near(run("cross", [1.0, 2, 3], [4.0, 5, 6]), [-3, 6, -3])
    x, y = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[4.0, 5, 6], [1, 2, 3]])
    near(run("cross", x, y), [[-3, 6, -3], [3, -6, 3]])
    near(run("cross", x, y, axisc=0), [[-3, 3], [6, -6], [-3, 3]])
    p, q = np.arange(1.0, 10).reshape(3, 3), np.arange(9.0, 0, -1).reshape(3, 3)
    near(run("cross", p, q, axisa=0, axisb=0), np.cross(p, q, axisa=0, axisb=0))
    assert run("trace", np.eye(3)) == 3
    near(run("trace", np.arange(8.0).reshape((2, 2, 2))), [6, 8])
    assert run("trace", np.arange(24.0).reshape((2, 2, 2, 3))).shape == (2, 3)
    near(run("vecdot", [[0.0, 5, 0], [0, 0, 10], [0, 6, 8]], [0.0, 0.6, 0.8]), [3, 8, 10])


@pytest.mark.parametrize(
    "axes", [0, 1, 2, ((0,), (1,)), (1, 0), (-1, -2), ((0, 1), (1, 0)), ((), ())], ids=str
)
def test_tensordot(axes: Any) -> None:
    for x, y in kinds((3, 3), (3, 3)):
        alike(run("tensordot", x, y, axes=axes), np.tensordot(x, y, axes))


@pytest.mark.parametrize("axes", [-1, 3, ((0,), (0, 1)), ((0, 0), (0, 1)), (0, 1, 2), ((5,), (0,))], ids=str)
def test_tensordot_refuses(axes: Any) -> None:
    with pytest.raises(EngineError, match="tensordot"):
        run("tensordot", E, E, axes=axes)


@pytest.mark.parametrize(
    "pair", [((), ()), ((), (2, 3)), ((3,), (2, 3)), ((2, 3), (4, 3)), ((0,), (2, 0))], ids=str
)
def test_inner_outer_kron(pair: tuple[Shape, Shape]) -> None:
    for x, y in kinds(*pair):
        alike(run("inner", x, y), np.inner(x, y))
        alike(run("outer", x, y), np.outer(x, y))
        alike(run("kron", x, y), np.kron(x, y))


@pytest.mark.parametrize("offset", [-7, -1, 0, 1, 3, 10**30])
@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (-1, 0), (2, 1)], ids=str)
def test_trace(offset: int, axes: tuple[int, int]) -> None:
    x = RNG.normal(size=(2, 3, 4))
    expected = np.trace(x, min(offset, 99), *axes)
    near(run("trace", x, offset=offset, axis1=axes[0], axis2=axes[1]), expected)


def test_numpys_linalg_spells_some_differently() -> None:
    x = np.arange(24.0).reshape((2, 3, 4))
    near(ask("evaluate", "np.linalg.trace(x)", {"x": x})["outputs"]["t1"], np.linalg.trace(x))
    near(
        ask("evaluate", "np.linalg.trace(x, offset=1)", {"x": x})["outputs"]["t1"],
        np.linalg.trace(x, offset=1),
    )
    near(ask("evaluate", "np.trace(x)", {"x": x})["outputs"]["t1"], np.trace(x))
    y, z = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
    near(
        ask("evaluate", "np.linalg.cross(x, y, axis=0)", {"x": y, "y": z})["outputs"]["t1"],
        np.cross(y, z, axis=0),
    )


def test_a_product_in_program_text() -> None:
    x, A = RNG.normal(size=3), RNG.normal(size=(3, 3))
    asked = ask("grad", "x @ A @ x", {"x": x, "A": A})
    near(asked["value"], x @ A @ x)
    near(asked["gradients"]["x"], (A + A.T) @ x)
    near(asked["gradients"]["A"], np.outer(x, x))
    near(ask("evaluate", "einsum('ij,j->i', A, x)", {"x": x, "A": A})["outputs"]["t1"], A @ x)
    near(value("mm", A, A), A @ A)
    near(value("MatMul", A, x), A @ x)


def test_contract_of_scalars_is_a_product() -> None:
    b = GraphBuilder()
    x = Var(b, b.input(FLOAT64))
    assert contract(x, [], x, [], []).shape == ()
