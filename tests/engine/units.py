"""Units for the tests of code writers: a program with its value and derivatives; and Python code, run."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.aval import Aval, DType
from engine.builder import EagerBuilder, GraphBuilder, Var, call
from engine.graph import Graph, single
from engine.program import Program
from engine.render.code import Derivative, Unit
from engine.specialize import Typed, input_arrays, specialize
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.simplify import simplify
from tests.engine.helpers import given, program_of

_COUNT = itertools.count()


def reverse(graph: Graph, of: int, wrt: Sequence[int], dtype: DType) -> Graph:
    """The value of a node and its derivatives by inputs; of an array the derivatives of the sum of its entries."""
    back = vjp_graph(graph.with_outputs([of]), [of], wrt, dtype)
    b = GraphBuilder(dtype)
    inputs = [b.input(a) for a in graph.in_avals]
    outs = b.inline(back, [*inputs, b.ones(single(graph.nodes[of].aval))])
    return simplify(b.build(outs), dtype)


def unit_of(
    source: Any,
    inputs: Mapping[str, Any],
    *,
    of: str | None = None,
    wrt: Sequence[str] | None = None,
    dtype: DType = "float64",
    name: str = "f",
) -> tuple[Unit, dict[str, Any]]:
    """The unit of a program at inputs of these shapes, with first derivatives, and the inputs as arrays."""
    program: Program = program_of(source, inputs)
    arrays, _ = input_arrays(program, {k: given(v) for k, v in inputs.items()}, dtype)
    typed: Typed = specialize(program, {k: _aval(a) for k, a in arrays.items()}, dtype=dtype)
    ids = [program.steps[i].id for i in program.inputs]
    where = {s.id: i for i, s in enumerate(program.steps)}
    of = of or program.steps[program.outputs[0]].id
    node = typed.node(where[of])
    floating = [k for k, a in enumerate(typed.graph.in_avals) if a.floating]
    if wrt is not None:
        floating = [k for k in floating if ids[k] in wrt]
    graph = reverse(typed.graph, node, [typed.graph.inputs[k] for k in floating], dtype)
    derivatives = tuple(Derivative(ids[k], (ids[k],)) for k in floating)
    return Unit(graph, of, tuple(ids), derivatives, dtype, {}, name), dict(arrays)


def _aval(array: Any) -> Aval:
    return Aval(np.shape(array), str(np.asarray(array).dtype))  # type: ignore[arg-type]  # one of the engine's


def again(unit: Unit, *, forward: bool = False) -> Unit:
    """The unit of the derivatives of the sum of all derivatives' entries: second order, where all there is meets."""
    b = GraphBuilder(unit.dtype)
    inputs = [b.input(a) for a in unit.graph.in_avals]
    outs = b.inline(unit.graph, inputs)
    total: Var | None = None
    for o in outs[1:]:
        part = Var(b, o)
        part = call(b, "sum", part) if part.rank else part
        total = part if total is None else total + part
    if total is None:
        return unit
    graph = b.build([total.ref])
    floating = [k for k, a in enumerate(graph.in_avals) if a.floating]
    wrt = [graph.inputs[k] for k in floating]
    if forward:
        pushed = jvp_graph(graph, wrt, unit.dtype)
        inner = GraphBuilder(unit.dtype)
        refs = [inner.input(a) for a in graph.in_avals]
        ones = [inner.ones(graph.in_avals[k]) for k in floating]
        outs = inner.inline(pushed, [*refs, *ones])
        derived = simplify(inner.build(outs), unit.dtype)
        ids = tuple(unit.inputs[k] for k in floating)
        return Unit(derived, unit.of, unit.inputs, (Derivative(",".join(ids), ids * 2),), unit.dtype)
    derived = reverse(graph, graph.outputs[0], wrt, unit.dtype)
    found = tuple(Derivative(unit.inputs[k], (unit.inputs[k],) * 2) for k in floating)
    return Unit(derived, unit.of, unit.inputs, found, unit.dtype)


def computed(unit: Unit, arrays: Mapping[str, Any]) -> list[Any]:
    """What the engine computes of the unit's graph."""
    with np.errstate(all="ignore"):
        b = EagerBuilder(unit.dtype)
        return b.inline(unit.graph, [np.asarray(arrays[i])[()] for i in unit.inputs])


def loaded(text: str, folder: Path) -> Any:
    """The module that generated code is. (Only tests run it.)"""
    name = f"generated_{next(_COUNT)}"
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(unit: Unit, text: str, folder: Path) -> Callable[..., Any]:
    """The function of a unit's code."""
    found: Callable[..., Any] = getattr(loaded(text, folder), unit.names.function)
    return found
