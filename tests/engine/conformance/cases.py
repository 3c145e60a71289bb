"""Calls of an op to check: its examples, and random points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType, aval_of
from engine.cost import Limits
from engine.graph import Graph
from engine.op import Op, Operand, check_attrs
from engine.program import INPUT, ITEM, Literal, Program, Step
from engine.specialize import specialize
from tests.engine.conformance.report import Fixed, Reference

SMALL_LIMITS = Limits(elements=20_000)
"""Nothing that is checked here is large."""


def array_of(value: Any, role: Operand | None) -> Array:
    """An example's operand as an array of one of the engine's dtypes: floats, unless the operand is of another kind."""
    array = np.asarray(value)
    if array.dtype.kind == "b":
        return array
    integral = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool((array == np.floor(array)).all())
    )
    explicit = isinstance(value, np.ndarray | np.generic)
    if role is not None and role.integer and not (role.floats and array.dtype.kind == "f" and array.size):
        return array.astype(np.int64) if integral else array.astype(np.float64)
    if explicit and array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array.astype(np.float64)


def role_of(op: Op, k: int) -> Operand | None:
    """The parameter that operand `k` belongs to."""
    declared = op.operands
    if k < len(declared):
        return declared[k]
    return declared[-1] if declared and declared[-1].variadic else None


@dataclass(frozen=True)
class Case:
    """One call of an op: operands as arrays, which of them are literals of the program, canonical attributes."""

    op: Op
    operands: tuple[Array | None, ...]
    attrs: Mapping[str, Any]
    literal: frozenset[int] = frozenset()
    smooth: bool = True
    label: str = ""

    @property
    def variable(self) -> list[int]:
        """Operands that are inputs of the program."""
        return [k for k, v in enumerate(self.operands) if v is not None and k not in self.literal]

    @property
    def arrays(self) -> list[Array]:
        """Values of the inputs."""
        return [self.operands[k] for k in self.variable]  # type: ignore[misc]  # variable ones are there

    def with_arrays(self, arrays: Sequence[Array]) -> tuple[Array | None, ...]:
        """All operands, the inputs replaced."""
        given = dict(zip(self.variable, arrays, strict=True))
        return tuple(given.get(k, v) for k, v in enumerate(self.operands))

    def program(self, items: int = 0) -> Program:
        """The program of this call alone; with `items`, its outputs are that many results."""
        steps: list[Step] = []
        operands: list[Any] = []
        for k, v in enumerate(self.operands):
            if v is None:
                operands.append(None)
            elif k in self.literal:
                operands.append(Literal(v, weak=v.dtype.kind == "f"))
            else:
                operands.append(len(steps))
                steps.append(Step(f"x{k}", INPUT))
        at = len(steps)
        steps.append(Step("y", self.op, tuple(operands), self.attrs))
        if not items:
            return Program(tuple(steps), ())
        if items == 1:
            return Program(tuple(steps), (at,))
        steps.extend(Step(f"y{m}", ITEM, (at,), {"index": m}) for m in range(items))
        return Program(tuple(steps), tuple(range(at + 1, at + 1 + items)))

    def graph(self, dtype: DType = "float64") -> Graph:
        """The typed graph: inputs are the variable operands, outputs all results."""
        avals = {f"x{k}": in_dtype(aval_of(self.operands[k]), dtype) for k in self.variable}  # type: ignore[arg-type]
        typed = specialize(self.program(), avals, dtype=dtype, limits=SMALL_LIMITS)  # type: ignore[arg-type]
        nodes = typed.nodes[-1]
        return typed.graph.with_outputs(nodes if isinstance(nodes, tuple) else (nodes,))


def in_dtype(aval: Aval, dtype: DType) -> Aval:
    """The aval with its floats in the program's dtype."""
    return Aval(aval.shape, dtype) if aval.floating else aval


def cases(op: Op, reference: Reference | None) -> Iterator[Case]:
    """All examples; those with scalars or integers beside other operands also with these as literals."""
    for n, example in enumerate((*op.examples, *(reference.examples if reference else ()))):
        always = frozenset(k for k, v in enumerate(example.operands) if isinstance(v, Fixed))
        given = [v.value if isinstance(v, Fixed) else v for v in example.operands]
        operands = tuple(None if v is None else array_of(v, role_of(op, k)) for k, v in enumerate(given))
        attrs = check_attrs(op, example.attrs)
        label = f"example {n}" + (f" ({example.note})" if example.note else "")
        case = Case(op, operands, attrs, always, example.smooth, label)
        yield case
        fixed = frozenset(
            k for k, v in enumerate(operands) if v is not None and (v.ndim == 0 or v.dtype.kind != "f")
        )
        if fixed and not always and len(fixed) < len(case.variable):
            yield Case(op, operands, attrs, fixed, example.smooth, f"{label}, literals {sorted(fixed)}")


def domain_cases(op: Op, reference: Reference | None, rng: np.random.Generator) -> Iterator[Case]:
    """Random points of an elementwise op's domain, and shapes that must be stretched to fit."""
    domain = getattr(op, "domain", None)
    operands = op.operands
    if not op.elementwise or domain is None or not operands:
        return
    intervals = [domain[min(k, len(domain) - 1)] for k in range(len(operands))]

    def draw(k: int, shape: tuple[int, ...]) -> Array:
        points = rng.uniform(*intervals[k], shape)
        return np.asarray(points > sum(intervals[k]) / 2 if operands[k].boolean else points)

    attrs = check_attrs(op, op.examples[0].attrs) if op.examples else {}
    yield Case(op, tuple(draw(k, (12,)) for k in range(len(operands))), attrs, label="random points")
    if len(operands) > 1:
        shapes: tuple[tuple[int, ...], ...] = ((2, 1, 3), (4, 1), (3,))
        turned = tuple(draw(k, shapes[k % 3]) for k in range(len(operands)))
        yield Case(op, turned, attrs, label="broadcasting")
        scalars = tuple(draw(k, () if k % 2 else (2, 1)) for k in range(len(operands)))
        yield Case(op, scalars, attrs, label="broadcasting a scalar")
        back = tuple(draw(k, (2, 1) if k % 2 else ()) for k in range(len(operands)))
        yield Case(op, back, attrs, label="broadcasting the other way")
