"""What every op must show ("Every op must show" in the op catalogue's conventions), as checks of one op.

`examine` runs all of an op's examples through all checks and returns what is wrong, with a count of the comparisons that
each check made, so that a check which compares nothing cannot pass. It knows no op by name: what is expected comes from
independent references (`tests.engine.references`), from differences, and from relations that hold for every function
(a transpose, symmetry of second derivatives, a loop instead of a map).
"""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import mpmath
import numpy as np

from engine.aval import Array, Aval, DType, aval_of
from engine.builder import EagerBuilder, Var, Weak, call
from engine.cost import Limits
from engine.errors import EngineError
from engine.graph import INPUT as GRAPH_INPUT
from engine.graph import Graph, Node, single, typecheck
from engine.op import Example, Op, Operand, check_attrs, registry
from engine.program import INPUT, ITEM, Literal, Program, Step
from engine.spec import read_graph
from engine.specialize import specialize
from engine.transforms.pull import depends_on, pull, vjp_graph
from engine.transforms.push import jvp_graph, push
from engine.transforms.simplify import simplify
from engine.transforms.vmap import map_graph, vmap

EPS = float(np.finfo(np.float64).eps)
SMALL_LIMITS = Limits(elements=20_000)


class Reference(NamedTuple):
    """What an op is compared with.

    `value` takes the operands as arrays (None where absent) and the attributes by name. `exact` is the same for an
    elementwise op on mpmath numbers, for derivatives to many digits. `examples` are added to the op's own.
    """

    value: Callable[..., Any]
    exact: Callable[..., Any] | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Fixed:
    """An operand of an example that is a literal of the program, and no input (x**0 is smooth in x at 0, not in both)."""

    value: Any


class Trouble(NamedTuple):
    """Something an op does not show: by which check, and what happened."""

    check: str
    detail: str


@dataclass
class Report:
    """Outcome of all checks of one op; `counts` are comparisons made, by check."""

    op: Op
    troubles: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def trouble(self, check: str, detail: str) -> None:
        """Note something wrong."""
        self.troubles.append(Trouble(check, detail))

    def equal(
        self,
        check: str,
        got: Any,
        expected: Any,
        what: str,
        *,
        rtol: float,
        atol: Any = 0.0,
        finite: bool = False,
    ) -> None:
        """Compare two arrays entry by entry: equal infinities and NaNs are equal. `finite`: finite entries only."""
        a, e = np.asarray(got), np.asarray(expected)
        if a.shape != e.shape:
            self.trouble(check, f"{what}: shape {a.shape}, expected {e.shape}")
            return
        if a.dtype.kind == "f" or e.dtype.kind == "f":
            a, e = a.astype(np.float64), e.astype(np.float64)
        if a.dtype.kind != "f":
            wrong = a != e
            compared = a.size
        else:
            both = np.isfinite(a) & np.isfinite(e)
            with np.errstate(all="ignore"):
                # Written so that NaN is wrong.
                near = np.abs(a - e) <= rtol * np.abs(e) + atol
            same = (a == e) | (np.isnan(a) & np.isnan(e))
            wrong = ~(near & both | same)
            compared = int(both.sum())
            if finite:
                wrong &= both
        self.counts[check] += compared
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            self.trouble(
                check, f"{what}: at {list(at)} {a[at]!r}, expected {e[at]!r} ({int(wrong.sum())} of {a.size})"
            )


# ---------------------------------------------------------------------------------------------------------- examples


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


# --------------------------------------------------------------------------------------------------------- computing


def flat(values: Sequence[Any]) -> Array:
    """All floating entries of some results, one after another."""
    parts = [np.asarray(v).reshape(-1) for v in values if np.asarray(v).dtype.kind == "f"]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def listed(result: Any) -> list[Any]:
    """Results of a reference as a list."""
    return list(result) if isinstance(result, tuple | list) else [result]


def compute(graph: Graph, arrays: Sequence[Any], dtype: DType = "float64") -> list[Any]:
    """The graph's results by the eager builder."""
    with np.errstate(all="ignore"):
        return EagerBuilder(dtype).inline(graph, [np.asarray(a)[()] for a in arrays])


class WrongAval(Exception):
    """A node's value is not of the aval it was inferred to have."""


def carefully(graph: Graph, arrays: Sequence[Any], dtype: DType) -> list[Any]:
    """All nodes' values, each checked against its aval; operands are write-protected.

    Raises `WrongAval`; and ValueError if an op writes into its operands.
    """
    eager = EagerBuilder(dtype)
    values: list[Any] = [None] * len(graph.nodes)
    for i, a in zip(graph.inputs, arrays, strict=True):
        values[i] = protected(np.array(a)[()])
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            if node.op is not GRAPH_INPUT:
                values[i] = eager.emit(node.op, [values[j] for j in node.inputs], node.params)
            several = values[i] if isinstance(values[i], tuple) else (values[i],)
            avals = (
                node.aval
                if isinstance(node.aval, tuple) and not isinstance(node.aval, Aval)
                else (node.aval,)
            )
            if len(several) != len(avals):
                raise WrongAval(f"{node.op.name} yields {len(several)} results, inferred {len(avals)}")
            for value, aval in zip(several, avals, strict=True):
                if not isinstance(value, np.ndarray | np.generic):
                    raise WrongAval(f"{node.op.name} yields a {type(value).__name__}")
                actual = (value.shape, str(value.dtype))
                if actual != (aval.shape, aval.dtype):
                    raise WrongAval(
                        f"{node.op.name} yields {value.dtype}{list(value.shape)}, inferred {aval}"
                    )
                protected(value)
    return values


def protected(value: Any) -> Any:
    """The array, read-only."""
    if isinstance(value, np.ndarray):
        value.setflags(write=False)
    return value


# --------------------------------------------------------------------------------------------------------- differences


class Slope(NamedTuple):
    """A derivative by differences: for each entry an estimate, how far it can be trusted, and how large the function was."""

    value: Array
    error: Array
    size: Array

    @property
    def trusted(self) -> Array:
        """Where the differences settled: to five digits, or to what rounding of the function leaves."""
        return np.isfinite(self.value) & (self.error <= 1e-5 * np.abs(self.value) + 1e-8 * self.size)


def ridders(f: Callable[[float], Array], start: float = 2.0**-5, levels: int = 11) -> Slope:
    """df/dt at t = 0 by central differences of ever smaller step, extrapolated; for each entry the best of the table.

    C. J. F. Ridders, Adv. Eng. Software 4(2), 1982, doi:10.1016/S0141-1195(82)80057-0.
    """
    steps = [start * 2.0**-i for i in range(levels)]
    with np.errstate(all="ignore"):
        values = [(f(h), f(-h)) for h in steps]
        rows = [[(above - below) / (2 * h)] for h, (above, below) in zip(steps, values, strict=True)]
        sizes = np.abs(np.array(values)).max(axis=(0, 1))
        best = np.full(rows[0][0].shape, np.nan)
        error = np.full(rows[0][0].shape, np.inf)
        for i in range(1, levels):
            for j in range(1, min(i, 5) + 1):
                finer, coarser = rows[i][j - 1], rows[i - 1][j - 1]
                rows[i].append(finer + (finer - coarser) / (4.0**j - 1))
                change = np.maximum(np.abs(rows[i][j] - finer), np.abs(rows[i][j] - coarser))
                better = change <= error  # of equal ones the finer
                best = np.where(better, rows[i][j], best)
                error = np.where(better, change, error)
    return Slope(best, error, np.where(np.isfinite(sizes), sizes, 0.0))


def complex_step(f: Callable[[complex], Array | None], slope: Slope) -> Array | None:
    """df/dt at t = 0 from Im f(ih) / h, without cancellation; None if f cannot take it.

    Not every function that takes complex numbers is analytic (abs is not): the answer counts only if it agrees with the
    differences to the digits that those have.
    """
    h = 1e-30
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = f(complex(0, h))
    except (TypeError, ValueError, NotImplementedError, np.linalg.LinAlgError, ArithmeticError, IndexError):
        return None
    if value is None or value.shape != slope.value.shape:
        return None
    steep: Array = value.imag / h
    trusted = slope.trusted
    with np.errstate(all="ignore"):
        near = np.abs(steep - slope.value) <= 1e-4 * np.abs(slope.value) + 1e-6 * slope.size
    return steep if trusted.any() and near[trusted].all() else None


def direction(x: Array, rng: np.random.Generator, most: float = math.inf) -> Array:
    """A random tangent: small beside x, so that steps along it change no sign, and small enough for exponentials of x.

    Beyond 10⁶ it grows with x, or steps would be lost in rounding, up to `most`.
    """
    size = np.where(np.isfinite(x) & (x != 0), np.abs(x), 1.0)
    size = np.where(size < 1e6, np.minimum(size, 1.0), np.minimum(size, most))
    return np.asarray(size * rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape))


def moved(arrays: Sequence[Array], tangents: Sequence[Array | None], t: float | complex) -> list[Array]:
    """x + t·ẋ."""
    return [
        a
        if d is None
        else np.asarray(a + t * d if np.isfinite(a).all() else np.where(np.isfinite(a), a + t * d, a))
        for a, d in zip(arrays, tangents, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------------- checks


class Checker:
    """All checks of one case; `report` collects what they find."""

    def __init__(
        self, report: Report, case: Case, reference: Reference | None, rng: np.random.Generator
    ) -> None:
        self.report = report
        self.case = case
        self.reference = reference
        self.rng = rng
        self.graph = case.graph()
        self.arrays = [np.asarray(a) for a in case.arrays]
        self.floats = [k for k, a in enumerate(self.arrays) if a.dtype.kind == "f"]
        self.values = listed(compute(self.graph, self.arrays))
        self.outs = [o for o, a in zip(self.graph.outputs, self.graph.out_avals, strict=True) if a.floating]
        self.float_values = [v for v in self.values if np.asarray(v).dtype.kind == "f"]
        self.differentiable = bool(self.floats and self.outs)
        self.n = len(self.graph.outputs)

    def named(self, what: str) -> str:
        """What was looked at, with the case."""
        return f"{self.case.label}: {what}"

    # -- values

    def check_avals(self) -> None:
        """Every node's value has the aval it was inferred to have, and no op writes into its operands."""
        try:
            typecheck(self.graph)
            all_values = carefully(self.graph, self.arrays, "float64")
        except (WrongAval, AssertionError, ValueError) as wrong:
            self.report.trouble("aval", self.named(str(wrong)))
            return
        for o, v in zip(self.graph.outputs, self.values, strict=True):
            self.report.equal("aval", v, all_values[o], self.named("computed again"), rtol=0)

    def check_value(self) -> None:
        """The result is that of the reference."""
        if self.reference is None:
            return
        expected = listed(self.call_reference(self.case.operands))
        if len(expected) != len(self.values):
            self.report.trouble("value", self.named(f"{len(self.values)} results, expected {len(expected)}"))
            return
        for m, (v, e) in enumerate(zip(self.values, expected, strict=True)):
            kind = np.asarray(v).dtype.kind
            if kind != np.asarray(e).dtype.kind and not (kind == "f" and np.asarray(e).dtype.kind in "iub"):
                self.report.trouble(
                    "value",
                    self.named(f"result {m} is {np.asarray(v).dtype}, expected {np.asarray(e).dtype}"),
                )
                continue
            finite = np.abs(np.asarray(e, np.float64))[np.isfinite(np.asarray(e, np.float64))]
            atol = 0.0 if self.case.op.elementwise else 1e-13 * float(finite.max(initial=0.0))
            self.report.equal("value", v, e, self.named(f"result {m}"), rtol=1e-12, atol=atol)

    def call_reference(self, operands: Sequence[Any]) -> Any:
        """The reference's value."""
        assert self.reference is not None
        defaults = {a.name: a.default for a in self.case.op.attrs}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.reference.value(*operands, **{**defaults, **self.case.attrs})

    def check_eager(self) -> None:
        """The op written eagerly, and the simplified graph, give what the graph gives."""
        same = simplify(self.graph, "float64")
        typecheck(same)
        for m, (v, e) in enumerate(zip(compute(same, self.arrays), self.values, strict=True)):
            self.report.equal("eager", v, e, self.named(f"result {m} simplified"), rtol=0)
        if any(isinstance(v, Program) for v in self.case.attrs.values()):
            return  # a body is typed by `specialize`, which writes graphs
        b = EagerBuilder()
        operands = [
            None if v is None
            else Weak(v, bool(np.isfinite(v).all() and (v == np.floor(v)).all())) if k in self.case.literal and v.dtype.kind == "f"
            else b.var(v)
            for k, v in enumerate(self.case.operands)
        ]  # fmt: skip
        for k in self.case.variable:
            operands[k] = Var(b, np.asarray(self.case.operands[k])[()])
        with np.errstate(all="ignore"):
            result = call(b, self.case.op, *operands, **self.case.attrs)
        eager = [v.ref for v in (result if isinstance(result, tuple) else (result,))]
        for m, (v, e) in enumerate(zip(eager, self.values, strict=True)):
            self.report.equal("eager", v, e, self.named(f"result {m} written eagerly"), rtol=0)

    def check_json(self) -> None:
        """The program, written as JSON and read again, is the same program and the same graph."""
        program = self.case.program(self.n)
        document = json.loads(json.dumps(program.to_json(), allow_nan=False))
        if registry._names.get(self.case.op.name) is None:
            self.report.trouble("json", f"{self.case.op.name} cannot be named in a graph")
            return
        again = read_graph(document)
        if again.digest != program.digest:
            self.report.trouble("json", self.named(f"read again it is {json.dumps(again.to_json())[:300]}"))
        self.report.counts["json"] += 1
        if registry.core(self.case.op.name) is not self.case.op:
            return
        avals = {f"x{k}": aval_of(self.case.operands[k]) for k in self.case.variable}  # type: ignore[arg-type]
        graph = specialize(again, avals, limits=SMALL_LIMITS).graph  # type: ignore[arg-type]
        for v, e in zip(compute(graph, self.arrays), self.values, strict=True):
            self.report.equal("json", v, e, self.named("read again and computed"), rtol=0)

    def check_float32(self) -> None:
        """In float32 everything is float32, and agrees as far as float32 and the op's conditioning go."""
        if not any(np.asarray(a).dtype.kind == "f" for a in [*self.arrays, *self.values]):
            return
        with np.errstate(all="ignore"):
            low = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in self.arrays]
        for a, x in zip(low, self.arrays, strict=True):
            if x.dtype.kind == "f" and not np.array_equal(
                (a == 0) | ~np.isfinite(a), (x == 0) | ~np.isfinite(x)
            ):
                return  # the example is out of float32's range
        high = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in low]
        graphs = [(self.graph, self.case.graph("float32"), "value")]
        if self.differentiable and self.case.smooth:
            wrt = [self.graph.inputs[k] for k in self.floats]
            graphs = []
            for dtype in ("float64", "float32"):
                g = self.case.graph(dtype)  # type: ignore[arg-type]
                outs = [o for o, a in zip(g.outputs, g.out_avals, strict=True) if a.floating]
                wrt = [g.inputs[k] for k in self.floats]
                graphs.append(vjp_graph(g, outs, wrt, dtype))  # type: ignore[arg-type]
            graphs = [(graphs[0], graphs[1], "value and gradient")]
        for wide, narrow, what in graphs:
            typecheck(narrow)
            extra = [
                self.rng.uniform(0.5, 1.5, a.shape).astype(np.float32) for a in narrow.in_avals[len(low) :]
            ]
            try:
                values = carefully(narrow, [*low, *extra], "float32")
            except (WrongAval, ValueError) as wrong:
                self.report.trouble("float32", self.named(f"{what}: {wrong}"))
                continue
            seeds = [e.astype(np.float64) for e in extra]
            expected = compute(wide, [*high, *seeds])
            shaken = [
                compute(
                    wide,
                    [
                        *moved(
                            high,
                            [None if a.dtype.kind != "f" else direction(a, self.rng) for a in high],
                            2e-7,
                        ),
                        *seeds,
                    ],
                )
                for _ in range(2)
            ]
            for m, o in enumerate(narrow.outputs):
                e = np.asarray(expected[m])
                if e.dtype.kind == "f" and values[o].dtype != np.float32:
                    self.report.trouble("float32", self.named(f"{what} {m} is {values[o].dtype}"))
                if e.dtype.kind != "f":
                    continue
                with np.errstate(all="ignore"):
                    e = np.where(np.abs(e) > 3e38, np.sign(e) * np.inf, e)
                    spread = sum(np.abs(np.asarray(s[m]) - e) for s in shaken)
                    spread = np.where(np.isfinite(spread), spread, 0.0)
                finite = np.abs(e[np.isfinite(e)])
                atol = (
                    8 * spread
                    + 1e-6 * float(finite.max(initial=0.0)) * (not self.case.op.elementwise)
                    + 1e-37
                )
                self.report.equal(
                    "float32",
                    values[o],
                    e,
                    self.named(f"{what} {m}"),
                    rtol=1e-5,
                    atol=atol,
                    finite=what != "value",
                )

    def check_integers(self) -> None:
        """Integers and booleans in place of floats give the same numbers, or an error that says so."""
        op = self.case.op
        if not self.floats or self.case.literal:
            return
        with np.errstate(all="ignore"):
            usable = [k for k in self.floats if bool((np.abs(self.arrays[k]) < 1e6).all())]
        for chosen in [*[[k] for k in usable], usable]:
            for dtype in (
                (np.int64, np.bool_) if op.promotes else (np.int64,)
            ):  # in a body, True + True is True
                changed = list(self.arrays)
                for k in chosen:
                    rounded = np.rint(self.arrays[k])
                    changed[k] = (rounded if dtype == np.int64 else rounded != 0).astype(dtype)
                as_floats = [a if k not in chosen else a.astype(np.float64) for k, a in enumerate(changed)]
                case = Case(op, self.case.with_arrays(changed), self.case.attrs)
                try:
                    expected = compute(
                        Case(op, self.case.with_arrays(as_floats), self.case.attrs).graph(), as_floats
                    )
                except EngineError:
                    continue
                try:
                    graph = case.graph()
                    got = [carefully(graph, changed, "float64")[o] for o in graph.outputs]
                except EngineError as refused:
                    if (op.floating or op.passes_integers) and dtype == np.int64:
                        self.report.trouble(
                            "integers", self.named(f"operands {chosen} as {dtype.__name__}: {refused}")
                        )
                    continue
                except WrongAval as wrong:
                    self.report.trouble(
                        "integers", self.named(f"operands {chosen} as {dtype.__name__}: {wrong}")
                    )
                    continue
                for v, e in zip(got, expected, strict=True):
                    if np.asarray(v).dtype.kind == "b" and np.asarray(e).dtype.kind == "f":
                        e = np.asarray(e) != 0
                    elif np.asarray(v).dtype.kind == "i":
                        with np.errstate(all="ignore"):
                            keep = np.isfinite(np.asarray(e, np.float64))
                            v, e = (
                                np.where(keep, v, 0),
                                np.where(keep, np.trunc(np.asarray(e, np.float64)), 0),
                            )
                    self.report.equal(
                        "integers",
                        v,
                        e,
                        self.named(f"operands {chosen} as {dtype.__name__}"),
                        rtol=1e-12,
                        atol=1e-300,
                    )

    # -- first derivatives

    def seeds(
        self, positions: Sequence[int], scaled: bool = True, most: float = math.inf
    ) -> list[Array | None]:
        """Random tangents for some inputs, fitting their size or not."""
        return [
            None if k not in positions
            else direction(a, self.rng, most) if scaled else np.asarray(self.rng.uniform(0.5, 1.5, a.shape))
            for k, a in enumerate(self.arrays)
        ]  # fmt: skip

    def cotangents(self) -> list[Array]:
        """Random cotangents of the floating results."""
        return [
            np.asarray(self.rng.uniform(0.5, 1.5, np.shape(v)) * self.rng.choice([-1.0, 1.0], np.shape(v)))
            for v in self.float_values
        ]

    def forward(self, positions: Sequence[int]) -> Graph:
        """Forward mode with tangents for the inputs at `positions`."""
        g = jvp_graph(self.graph, [self.graph.inputs[k] for k in positions], "float64")
        typecheck(g)
        return g

    def reverse(self, positions: Sequence[int]) -> Graph:
        """Reverse mode from all floating results to the inputs at `positions`."""
        g = vjp_graph(self.graph, self.outs, [self.graph.inputs[k] for k in positions], "float64")
        typecheck(g)
        return g

    def tangents_of(self, graph: Graph, seeds: Sequence[Array]) -> list[Array]:
        """Tangents of the floating results."""
        got = compute(graph, [*self.arrays, *seeds])
        return [t for v, t in zip(self.values, got[self.n :], strict=True) if np.asarray(v).dtype.kind == "f"]

    def subsets(self) -> list[list[int]]:
        """Each floating input alone, and all of them."""
        alone = [[k] for k in self.floats]
        return alone if len(alone) == 1 else [*alone, list(self.floats)]

    def check_jvp(self) -> None:
        """Forward mode against differences of the reference, for each operand alone and for all."""
        if not self.case.smooth or self.reference is None:
            return

        def along(tangents: Sequence[Array | None], t: float | complex) -> Array:
            result = listed(self.call_reference(self.case.with_arrays(moved(self.arrays, tangents, t))))
            kept = [
                np.asarray(r)
                for r, v in zip(result, self.values, strict=True)
                if np.asarray(v).dtype.kind == "f"
            ]
            return np.concatenate([r.reshape(-1) for r in kept])

        for chosen in self.subsets():
            graph = self.forward(chosen)
            tangents = self.seeds(chosen)
            got = flat(self.tangents_of(graph, [t for t in tangents if t is not None]))
            slope = ridders(lambda t, d=tangents: along(d, t))  # type: ignore[misc]
            size = slope.size if self.case.op.elementwise else np.full(got.shape, slope.size.max(initial=0.0))
            slope = slope._replace(size=size)
            exact = complex_step(lambda t, d=tangents: along(d, t), slope)  # type: ignore[misc]
            what, at = self.named(f"operands {chosen}"), slope.trusted
            if exact is not None:
                tight = 1e-13 if self.case.op.elementwise else 1e-12
                self.report.equal(
                    "jvp", got, exact, f"{what}, complex step", rtol=1e-9, atol=tight * size, finite=True
                )
            elif (
                not at.all() and np.isfinite(flat(self.float_values)).all() and np.isfinite(slope.value).all()
            ):
                self.report.trouble("jvp", f"{what}: differences do not settle; the example is not smooth")
            self.report.equal(
                "jvp", got[at], slope.value[at], f"{what}, differences", rtol=1e-6, atol=1e-9 * size[at]
            )  # fmt: skip
            self.report.counts["jvp not zero"] += int((np.abs(slope.value[at]) > 1e-6 * size[at]).sum())
            for k in chosen:
                self.report.counts[f"operand {self.case.variable[k]}"] += int(at.sum())

    def check_adjoint(self) -> None:
        """⟨ȳ, J ẋ⟩ = ⟨Jᵀȳ, ẋ⟩ for random vectors, and the same matrix from both modes where it is small."""
        for chosen in self.subsets():
            forward, reverse = self.forward(chosen), self.reverse(chosen)
            for scaled in (True, False):
                tangents = [t for t in self.seeds(chosen, scaled) if t is not None]
                cts = self.cotangents()
                out = self.tangents_of(forward, tangents)
                back = compute(reverse, [*self.arrays, *cts])[self.n :]
                for b, t in zip(back, tangents, strict=True):
                    if np.shape(b) != np.shape(t):
                        self.report.trouble(
                            "adjoint",
                            self.named(f"a cotangent has shape {np.shape(b)}, its operand {np.shape(t)}"),
                        )
                        return
                with np.errstate(all="ignore"):
                    left, right = flat(out) * flat(cts), flat(back) * flat(tangents)
                    size = float(np.abs(left).sum() + np.abs(right).sum())
                if math.isfinite(size):
                    self.report.equal(
                        "adjoint",
                        left.sum(),
                        right.sum(),
                        self.named(f"operands {chosen}"),
                        rtol=0,
                        atol=1e-11 * size,
                    )
            self._check_matrix(chosen, forward, reverse)

    def _check_matrix(self, chosen: Sequence[int], forward: Graph, reverse: Graph) -> None:
        rows = sum(np.size(v) for v in self.float_values)
        columns = sum(self.arrays[k].size for k in chosen)
        if not 0 < rows <= 12 or not 0 < columns <= 12:
            return
        by_column = np.stack([
            flat(self.tangents_of(forward, unit)) for unit in units([self.arrays[k] for k in chosen])
        ], axis=1)  # fmt: skip
        by_row = np.stack([
            flat(compute(reverse, [*self.arrays, *unit])[self.n :]) for unit in units(self.float_values)
        ])  # fmt: skip
        finite = by_row[np.isfinite(by_row)]
        atol = 1e-13 * float(np.abs(finite).max(initial=0.0)) * (not self.case.op.elementwise)
        self.report.equal(
            "matrix",
            by_row,
            by_column,
            self.named(f"∂y/∂{chosen} in reverse and in forward mode"),
            rtol=1e-11,
            atol=atol,
            finite=not self.case.smooth,
        )

    def check_strong_zero(self) -> None:
        """A zero tangent goes forward, and a zero cotangent back, as exactly zero, whatever the partials are."""
        forward, reverse = self.forward(self.floats), self.reverse(self.floats)
        nothing = [np.zeros_like(self.arrays[k]) for k in self.floats]
        for t in self.tangents_of(forward, nothing):
            self.report.equal("strong zero", t, np.zeros(np.shape(t)), self.named("forward"), rtol=0)
        for b in compute(reverse, [*self.arrays, *[np.zeros(np.shape(v)) for v in self.float_values]])[
            self.n :
        ]:
            self.report.equal("strong zero", b, np.zeros(np.shape(b)), self.named("back"), rtol=0)

    def check_eager_walks(self) -> None:
        """Both walks over arrays give what their graphs give, simplified or not."""
        forward, reverse = self.forward(self.floats), self.reverse(self.floats)
        tangents = [t for t in self.seeds(self.floats) if t is not None]
        cts = self.cotangents()
        # A partial that is infinite or lost in rounding may come out differently when sums are ordered differently.
        for graph, extra, what in ((forward, tangents, "forward"), (reverse, cts, "reverse")):
            arguments = [*self.arrays, *extra]
            values = compute(graph, arguments)
            same = simplify(graph, "float64")
            typecheck(same)
            for v, e in zip(compute(same, arguments), values, strict=True):
                self.report.equal("eager", v, e, self.named(f"{what} simplified"), rtol=0)
            try:
                carefully(graph, arguments, "float64")
            except (WrongAval, ValueError) as wrong:
                self.report.trouble("aval", self.named(f"{what}: {wrong}"))
        b = EagerBuilder()
        with np.errstate(all="ignore"):
            refs = carefully(self.graph, self.arrays, "float64")
            nodes = self.graph.nodes
            dots: list[Any] = [None] * len(nodes)
            for k, t in zip(self.floats, tangents, strict=True):
                dots[self.graph.inputs[k]] = t[()]
            push(b, nodes, refs, dots)
            adj: list[Any] = [None] * len(nodes)
            for o, ct in zip(self.outs, cts, strict=True):
                adj[o] = ct[()] if adj[o] is None else b.core("add", adj[o], ct[()])
            wrt = [self.graph.inputs[k] for k in self.floats]
            pull(b, nodes, refs, adj, depends_on(nodes, wrt), range(len(nodes) - 1, -1, -1))
        for o, e in zip(self.outs, self.tangents_of(forward, tangents), strict=True):
            v = dots[o] if dots[o] is not None else np.zeros(np.shape(e))
            self.report.equal("eager", v, e, self.named("forward walk over arrays"), rtol=0)
        for i, e in zip(wrt, compute(reverse, [*self.arrays, *cts])[self.n :], strict=True):
            v = adj[i] if adj[i] is not None else np.zeros(np.shape(e))
            self.report.equal("eager", v, e, self.named("backward walk over arrays"), rtol=0)

    # -- second derivatives

    def check_second(self) -> None:
        """All four ways to the second derivative agree, and are the differences of the first ones."""
        m = len(self.arrays)
        reverse, forward = self.reverse(self.floats), self.forward(self.floats)
        nx, no = len(self.floats), len(self.outs)
        # Not so large that second-order terms overflow where first-order ones do not.
        v, u, du = ([t for t in self.seeds(self.floats, most=1e50) if t is not None] for _ in range(3))
        ct, dct = self.cotangents(), self.cotangents()
        ys = [k for k, a in enumerate(self.graph.out_avals) if a.floating]

        # Each first-order graph as a function of everything: x and cotangents, x and tangents.
        r_in = [reverse.inputs[k] for k in self.floats] + list(reverse.inputs[m:])
        r_out = list(reverse.outputs[self.n :])
        f_in = [forward.inputs[k] for k in self.floats] + list(forward.inputs[m:])
        f_out = [forward.outputs[self.n + k] for k in ys]
        graphs = {
            "forward over reverse": jvp_graph(reverse, r_in, "float64"),
            "reverse over reverse": vjp_graph(reverse, r_out, r_in, "float64"),
            "forward over forward": jvp_graph(forward, f_in, "float64"),
            "reverse over forward": vjp_graph(forward, f_out, f_in, "float64"),
        }
        for g in graphs.values():
            typecheck(g)

        def after(g: Graph, base: Graph, arguments: Sequence[Any]) -> list[Array]:
            return compute(g, arguments)[len(base.outputs) :]

        x = self.arrays
        ror = after(graphs["reverse over reverse"], reverse, [*x, *ct, *v])
        rof = after(graphs["reverse over forward"], forward, [*x, *v, *ct])
        for_all = after(graphs["forward over reverse"], reverse, [*x, *ct, *v, *dct])[self.n :]
        for_x = after(
            graphs["forward over reverse"], reverse, [*x, *ct, *v, *[np.zeros_like(c) for c in ct]]
        )[self.n :]
        fof_all = [after(graphs["forward over forward"], forward, [*x, *v, *u, *du])[self.n + k] for k in ys]
        fof_x = [
            after(graphs["forward over forward"], forward, [*x, *v, *u, *[np.zeros_like(t) for t in v]])[
                self.n + k
            ]
            for k in ys
        ]
        first_v = self.tangents_of(forward, v)
        first_ct = compute(reverse, [*x, *ct])[self.n :]

        def scale(*parts: Sequence[Any]) -> float:
            everything = np.abs(np.concatenate([flat(p) for p in parts]))
            return float(everything[np.isfinite(everything)].max(initial=0.0))

        def compare(got: Sequence[Any], expected: Sequence[Any], what: str) -> None:
            for g, e in zip(got, expected, strict=True):
                atol = (
                    1e-12 * scale(got, expected) + tiny
                    if not self.case.op.elementwise
                    else 1e-13 * np.abs(np.asarray(e)) + tiny
                )
                self.report.equal(
                    "second order", g, e, self.named(what), rtol=1e-9, atol=atol, finite=not self.case.smooth
                )

        # Terms of one entry may cancel to nothing: rounding is measured by what the first derivatives weigh.
        tiny = 1e-13 * scale(first_ct, first_v)
        compare(ror[:nx], for_x, "reverse over reverse = forward over reverse")
        compare(rof[:nx], for_x, "reverse over forward = forward over reverse")
        compare(ror[nx:], first_v, "reverse over reverse in the cotangent = forward mode")
        compare(rof[nx:], first_ct, "reverse over forward in the tangent = reverse mode")
        with np.errstate(all="ignore"):
            left, right = flat(for_x) * flat(u), flat(fof_x) * flat(ct)
            size = float(np.abs(left).sum() + np.abs(right).sum())
        if math.isfinite(size):
            self.report.equal(
                "second order", left.sum(), right.sum(), self.named("forward over forward = forward over reverse"),
                rtol=0, atol=1e-10 * size + tiny * 100,
            )  # fmt: skip
        zero = [np.zeros_like(t) for t in v]
        still = after(
            graphs["forward over reverse"],
            reverse,
            [*x, *[np.zeros_like(c) for c in ct], *v, *[np.zeros_like(c) for c in ct]],
        )
        for s in (*still[self.n :], *after(graphs["reverse over forward"], forward, [*x, *zero, *ct])[:nx],
                  *after(graphs["reverse over reverse"], reverse, [*x, *ct, *zero])[:nx]):  # fmt: skip
            self.report.equal("strong zero", s, np.zeros(np.shape(s)), self.named("second order"), rtol=0)
        if self.case.smooth:
            lift = lambda parts: [
                None if k not in self.floats else parts[self.floats.index(k)] for k in range(m)
            ]  # noqa: E731
            lv, lu = lift(v), lift(u)
            self._against_differences(
                for_all,
                lambda t: flat(compute(reverse, [*moved(x, lv, t), *moved(ct, dct, t)])[self.n :]),
                "reverse mode",
            )  # fmt: skip
            self._against_differences(
                fof_all,
                lambda t: flat(
                    [compute(forward, [*moved(x, lu, t), *moved(v, du, t)])[self.n + k] for k in ys]
                ),
                "forward mode",
            )  # fmt: skip
        assert len(ror) == nx + no

    def _against_differences(self, got: Sequence[Any], f: Callable[[float], Array], what: str) -> None:
        values = flat(got)
        slope = ridders(f, levels=9)
        size = slope.size if self.case.op.elementwise else np.full(values.shape, slope.size.max(initial=0.0))
        at = slope._replace(size=size).trusted
        self.report.counts["second not zero"] += int((np.abs(slope.value[at]) > 1e-6 * size[at]).sum())
        self.report.equal(
            "second order", values[at], slope.value[at], self.named(f"differences of {what}"), rtol=1e-5, atol=1e-8 * size[at]
        )  # fmt: skip

    # -- maps

    def check_vmap(self) -> None:
        """A map over each operand alone and over all, along other axes too, is a loop; so for derivatives and for maps of maps."""
        if not self.arrays:
            return
        graphs = [(self.graph, [], "value")]
        if self.differentiable:
            graphs.append((self.reverse(self.floats), self.cotangents(), "reverse mode"))
            graphs.append(
                (
                    self.forward(self.floats),
                    [t for t in self.seeds(self.floats) if t is not None],
                    "forward mode",
                )
            )
        for graph, extra, what in graphs:
            arrays = [*self.arrays, *extra]
            everything = list(range(len(arrays)))
            alone = [[k] for k in everything] if what == "value" and len(arrays) > 1 else []
            for chosen in [*alone, everything]:
                self._check_map(graph, arrays, chosen, what)
        self._check_nested_map()
        if self.differentiable:
            self._check_derivative_of_map()

    def members(self, array: Array, size: int) -> list[Array]:
        """Other values like these: the first are these themselves."""
        result = [array]
        for m in range(1, size):
            if array.dtype.kind == "f":
                result.append(np.asarray(array * self.rng.uniform(0.98, 1.02, array.shape)))
            elif array.dtype.kind == "b":
                result.append(np.asarray(~array if m % 2 else array))
            else:
                result.append(np.roll(array.reshape(-1), m).reshape(array.shape))
        return result

    def _check_map(self, graph: Graph, arrays: Sequence[Array], chosen: Sequence[int], what: str) -> None:
        size = 3
        batches = {k: self.members(np.asarray(arrays[k]), size) for k in chosen}
        for turn in (0, -1):
            axes = [
                None if k not in batches else (0 if turn == 0 else np.ndim(arrays[k]))
                for k in range(len(arrays))
            ]
            if turn and not any(axes):
                continue
            try:
                mapped = map_graph(graph, size, axes, "float64")
                typecheck(mapped)
                stacked = [
                    np.stack(batches[k], axis=a) if a is not None else x
                    for k, (x, a) in enumerate(zip(arrays, axes, strict=True))
                ]
                got = [carefully(mapped, stacked, "float64")[o] for o in mapped.outputs]
            except (WrongAval, AssertionError, ValueError, EngineError, IndexError) as wrong:
                self.report.trouble(
                    "vmap", self.named(f"{what}, operands {list(chosen)}: {type(wrong).__name__} {wrong}")
                )
                return
            try:
                loop = [
                    compute(graph, [batches[k][m] if k in batches else x for k, x in enumerate(arrays)])
                    for m in range(size)
                ]
            except EngineError:
                return
            for r, g in enumerate(got):
                e = np.stack([np.asarray(one[r]) for one in loop])
                finite = np.abs(e[np.isfinite(e)]) if e.dtype.kind == "f" else np.zeros(0)
                atol = 1e-13 * float(finite.max(initial=0.0)) * (not self.case.op.elementwise)
                self.report.equal(
                    "vmap",
                    g,
                    e,
                    self.named(f"{what}, operands {list(chosen)}, axis {turn}"),
                    rtol=1e-11,
                    atol=atol,
                )

    def _check_derivative_of_map(self) -> None:
        """A mapped graph can be differentiated: the gradient of a sum over members is each member's own."""
        size, count = 3, len(self.arrays)
        mapped = map_graph(self.graph, size, [0] * count, "float64")
        outs = [mapped.outputs[k] for k, a in enumerate(self.graph.out_avals) if a.floating]
        reverse = vjp_graph(mapped, outs, [mapped.inputs[k] for k in self.floats], "float64")
        typecheck(reverse)
        batches = [self.members(a, size) for a in self.arrays]
        cts = [self.cotangents() for _ in range(size)]
        stacked = [np.stack(b) for b in batches] + [np.stack([c[k] for c in cts]) for k in range(len(outs))]
        got = compute(reverse, stacked)[self.n :]
        one = self.reverse(self.floats)
        try:
            loop = [compute(one, [*[b[m] for b in batches], *cts[m]])[self.n :] for m in range(size)]
        except EngineError:
            return
        for k, g in enumerate(got):
            e = np.stack([np.asarray(member[k]) for member in loop])
            atol = 1e-13 * float(np.abs(e[np.isfinite(e)]).max(initial=0.0)) * (not self.case.op.elementwise)
            self.report.equal("vmap", g, e, self.named("reverse mode of a map"), rtol=1e-11, atol=atol)

    def _check_nested_map(self) -> None:
        try:
            inner, _ = vmap(self.graph, 2, [True] * len(self.arrays), "float64")
            outer, leads = vmap(inner, 3, [True] * len(self.arrays), "float64")
            typecheck(outer)
        except (AssertionError, ValueError, EngineError, IndexError) as wrong:
            self.report.trouble("vmap", self.named(f"a map of a map: {type(wrong).__name__} {wrong}"))
            return
        got = compute(outer, [np.broadcast_to(a, (3, 2, *np.shape(a))) for a in self.arrays])
        for g, e, led in zip(got, self.values, leads, strict=True):
            e = np.asarray(e)
            finite = np.abs(e[np.isfinite(e)]) if e.dtype.kind == "f" else np.zeros(0)
            atol = 1e-13 * float(finite.max(initial=0.0)) * (not self.case.op.elementwise)
            shape = (3, 2, *e.shape) if led else e.shape
            self.report.equal(
                "vmap", g, np.broadcast_to(e, shape), self.named("a map of a map"), rtol=1e-11, atol=atol
            )

    # -- elementwise

    def check_exact(self) -> None:
        """First and second partial derivatives of an elementwise op against mpmath."""
        if (
            self.reference is None
            or self.reference.exact is None
            or not self.case.smooth
            or self.case.literal
        ):
            return
        if any(v is None for v in self.case.operands) or self.arrays[0].ndim > 1:
            return
        exact, attrs = (
            self.reference.exact,
            {**{a.name: a.default for a in self.case.op.attrs}, **self.case.attrs},
        )
        shape = np.shape(self.values[0])
        points = [np.broadcast_to(a, shape).reshape(-1) for a in self.arrays]
        forward = {k: self.forward([k]) for k in self.floats}
        firsts = {
            k: self.tangents_of(forward[k], [np.ones_like(self.arrays[k])])[0].reshape(-1)
            for k in self.floats
        }
        seconds = {}
        for k, j in ((k, j) for k in self.floats for j in self.floats if k <= j):
            g = jvp_graph(forward[k], [forward[k].inputs[j]], "float64")
            typecheck(g)
            got = compute(g, [*self.arrays, np.ones_like(self.arrays[k]), np.ones_like(self.arrays[j])])
            seconds[k, j] = np.asarray(got[len(forward[k].outputs) + self.n]).reshape(-1)
        for p in range(points[0].size if points else 0):
            at = [mpmath.mpf(float(x[p])) if k in self.floats else bool(x[p]) for k, x in enumerate(points)]
            if not all(mpmath.isfinite(a) for a in at if not isinstance(a, bool)):
                continue
            for (k, j), second in seconds.items():
                slope, bend = exact_partials(exact, at, k, j, attrs)
                if not mpmath.isfinite(slope) or not mpmath.isfinite(bend):
                    continue  # not defined all around this point
                here = f"{[float(a) for a in at]}"
                still = 1e-40 if 0 in at else 1e-307  # a step from 0 has a size of its own
                if k == j:
                    slack = abs(float(bend * at[k])) * 4 * EPS
                    self.report.equal(
                        "exact",
                        firsts[k][p],
                        float(slope),
                        self.named(f"∂/∂{k} at {here}"),
                        rtol=1e-12,
                        atol=slack + still,
                    )
                slack = self._conditioning(exact, at, k, j, attrs, bend) * 8 * EPS
                self.report.equal(
                    "exact",
                    second[p],
                    float(bend),
                    self.named(f"∂²/∂{k}∂{j} at {here}"),
                    rtol=1e-10,
                    atol=slack + still,
                )

    @staticmethod
    def _conditioning(
        exact: Any, at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any], bend: Any
    ) -> float:
        """How much a second derivative changes when the point does, relatively."""
        nudge, change = mpmath.mpf(2) ** -40, 0.0
        for i in {k, j}:
            near = [a * (1 + nudge) if m == i else a for m, a in enumerate(at)]
            there = exact_partials(exact, near, k, j, attrs)[1]
            change += abs(float((there - bend) / nudge)) if mpmath.isfinite(there) else 0.0
        return change

    # -- everything

    def run(self) -> None:
        """All checks."""
        checks: list[Callable[[], None]] = [
            self.check_avals, self.check_value, self.check_eager, self.check_json, self.check_float32, self.check_integers,
            self.check_vmap,
        ]  # fmt: skip
        if self.differentiable:
            checks += [
                self.check_jvp, self.check_adjoint, self.check_strong_zero, self.check_eager_walks, self.check_second,
            ]  # fmt: skip
            if self.case.op.elementwise:
                checks.append(self.check_exact)
        for check in checks:
            try:
                check()
            except Exception as error:  # noqa: BLE001  # a check that cannot be made is a finding
                name = check.__name__.removeprefix("check_").replace("_", " ")
                self.report.trouble(name, self.named(f"{type(error).__name__}: {error}"))


def units(arrays: Sequence[Any]) -> Iterator[list[Array]]:
    """All unit vectors in the space of these arrays together."""
    for k, a in enumerate(arrays):
        for i in range(np.size(a)):
            unit = [np.zeros(np.shape(other)) for other in arrays]
            unit[k].reshape(-1)[i] = 1.0
            yield unit


STEP = 30
"""Digits that the steps of exact differences are smaller than their point; they are computed with three times as many."""


def _bends(
    f: Callable[..., Any], at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any]
) -> tuple[Any, Any, Any]:
    """f, ∂f/∂k and ∂²f/∂k∂j at a point by central differences with minute steps, in mpmath's present precision."""

    def moved(s: int, t: int) -> Any:
        point = list(at)
        point[k] = point[k] + s * steps[k]
        point[j] = point[j] + t * steps[j]
        return f(*point, **attrs)

    steps = {i: (abs(at[i]) or mpmath.mpf(1)) * mpmath.mpf(10) ** -STEP for i in (k, j)}
    here, above, below = moved(0, 0), moved(1, 0), moved(-1, 0)
    first = (above - below) / (2 * steps[k])
    if k == j:
        return here, first, (above - 2 * here + below) / steps[k] ** 2
    mixed = moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)
    return here, first, mixed / (4 * steps[k] * steps[j])


def exact_partials(
    f: Callable[..., Any], at: Sequence[Any], k: int, j: int, attrs: Mapping[str, Any]
) -> tuple[Any, Any]:
    """∂f/∂k and ∂²f/∂k∂j at a point, with more digits where f is much larger than what its derivatives change it by."""
    first = second = mpmath.nan
    for digits in (4 * STEP, 25 * STEP):
        with mpmath.workdps(digits):
            here, first, second = _bends(f, at, k, j, attrs)
            size, change = abs(mpmath.mpf(here)), abs(at[k]) or 1
            if (
                min(abs(first) * change, abs(second) * change * (abs(at[j]) or 1))
                > size * mpmath.mpf(10) ** -10
            ):
                break
    return first, second


# --------------------------------------------------------------------------------------------------------- whole ops


def check_page(report: Report) -> None:
    """What the op's page is made of is there."""
    op = report.op
    names = [o.name for o in op.operands]
    if not op.summary.endswith((".", "…")) or len(op.summary) > 300:
        report.trouble("page", f"the docstring does not begin with a sentence: {op.summary!r}")
    try:
        op.latex.format(**dict.fromkeys([*names, *[a.name for a in op.attrs]], "x"))
    except (KeyError, IndexError, ValueError) as wrong:
        report.trouble("page", f"latex {op.latex!r}: {type(wrong).__name__} {wrong}")
    unknown = set(op.derivative) - set(names)
    if unknown:
        report.trouble("page", f"derivative for {sorted(unknown)}, which are no operands")
    report.counts["page"] += 1


def check_kink(report: Report, case: Case, checker: Checker) -> None:
    """Masks of kinks have the result's shape, are false wherever the example is said to be smooth, and are explained."""
    values = carefully(checker.graph, checker.arrays, "float64")
    for node, y in zip(checker.graph.nodes, values, strict=True):
        if type(node.op).kink is Op.kink or isinstance(y, tuple):
            continue
        with np.errstate(all="ignore"):
            mask = node.op.kink([values[j] for j in node.inputs], y, **dict(node.params))
        if mask is None:
            continue
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != np.shape(y):
            report.trouble(
                "kink",
                f"{case.label}: {node.op.name} has a mask of {mask.dtype}{list(mask.shape)}, not bool{list(np.shape(y))}",
            )
        elif case.smooth and mask.any() and any(a.size for a in checker.arrays):
            report.trouble("kink", f"{case.label}: said to be smooth, but {node.op.name} is at a kink")
        elif mask.any() and not node.op.convention:
            report.trouble("kink", f"{case.label}: {node.op.name} uses a convention that is not stated")
        report.counts["kink"] += 1


SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (1,),
    (3,),
    (0,),
    (2, 3),
    (3, 3),
    (3, 0),
    (2, 1, 3),
    (1, 3, 3),
    (2, 3, 4, 4),
)


def check_misuse(report: Report, reference: Reference | None, rng: np.random.Generator, trials: int) -> None:
    """Operands of any shapes and dtypes: an engine error, or a result as inferred, with derivatives that can be computed."""
    op = report.op
    examples = (*op.examples, *(reference.examples if reference else ()))
    for _ in range(trials if examples else 0):
        example = examples[rng.integers(len(examples))]
        same = SHAPES[rng.integers(len(SHAPES))] if rng.random() < 0.5 else None
        operands: list[Array | None] = []
        for k, given in enumerate(example.operands):
            role = role_of(op, k)
            if given is None or (role is not None and role.optional and rng.random() < 0.2):
                operands.append(None)
                continue
            if rng.random() < 0.3 and not isinstance(given, Fixed):
                operands.append(array_of(given, role))
                continue
            shape = same if same is not None else SHAPES[rng.integers(len(SHAPES))]
            integer = role is not None and role.integer
            kind = rng.choice(["f", "i", "b"], p=[0.1, 0.8, 0.1] if integer else [0.8, 0.1, 0.1])
            values = rng.normal(size=shape) if kind == "f" else rng.integers(-2, 4, shape)
            operands.append(np.asarray(values > 0 if kind == "b" else values))
        shown = [None if v is None else f"{v.dtype}{list(v.shape)}" for v in operands]
        what = f"{shown} {dict(example.attrs)}"
        try:
            case = Case(op, tuple(operands), check_attrs(op, example.attrs), label="misuse")
            _misuse(case, rng)
        except EngineError as error:
            if len(error.detail) < 10 or "Error" in error.detail:
                report.trouble("misuse", f"{what}: an error that says little: {error.detail!r}")
        except Exception as error:  # noqa: BLE001  # exactly what must not happen
            report.trouble("misuse", f"{what}: {type(error).__name__}: {error}")
        report.counts["misuse"] += 1


def _misuse(case: Case, rng: np.random.Generator) -> None:
    graph = case.graph()
    carefully(graph, case.arrays, "float64")
    floats = [k for k, a in enumerate(case.arrays) if a.dtype.kind == "f"]
    outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
    if floats and outs:
        reverse = vjp_graph(graph, outs, [graph.inputs[k] for k in floats], "float64")
        typecheck(reverse)
        cts = [rng.normal(size=single(graph.nodes[o].aval).shape) for o in outs]
        carefully(reverse, [*case.arrays, *cts], "float64")
        forward = jvp_graph(graph, [graph.inputs[k] for k in floats], "float64")
        typecheck(forward)
        carefully(
            forward, [*case.arrays, *[rng.normal(size=case.arrays[k].shape) for k in floats]], "float64"
        )
    if case.arrays:
        mapped = map_graph(graph, 2, [0] * len(case.arrays), "float64")
        typecheck(mapped)
        carefully(mapped, [np.stack([a, a]) for a in case.arrays], "float64")


def structural(op: Op) -> bool:
    """Whether the op says of itself that it is part of how programs are written (input, constant, item): no `lower`."""
    return type(op).lower is Op.lower


def examine(op: Op, reference: Reference | None, *, trials: int = 10) -> Report:
    """All checks of one op."""
    report = Report(op)
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    check_page(report)
    if reference is None:
        report.trouble("reference", "there is nothing to compare it with in tests/engine/references.py")
    if not op.examples and not (reference and reference.examples):
        report.trouble("example", "it has no example")
    if op.elementwise and getattr(op, "domain", None) is None:
        report.trouble("example", "an elementwise op states the domain in which it is smooth")
    differentiable = smooth = False
    seen: set[int] = set()
    for case in [*cases(op, reference), *domain_cases(op, reference, rng)]:
        try:
            checker = Checker(report, case, reference, rng)
        except Exception as error:  # noqa: BLE001  # an example that cannot be written is a finding
            report.trouble("example", f"{case.label}: {type(error).__name__}: {error}")
            continue
        checker.run()
        try:
            check_kink(report, case, checker)
        except Exception as error:  # noqa: BLE001
            report.trouble("kink", f"{case.label}: {type(error).__name__}: {error}")
        if checker.differentiable:
            differentiable = True
            full = [k for k in checker.floats if checker.arrays[k].size]
            smooth = smooth or (case.smooth and bool(full))
            seen.update(case.variable[k] for k in full)
    check_misuse(report, reference, rng, trials)
    _check_counts(report, reference, differentiable, smooth, seen)
    return report


def _check_counts(
    report: Report, reference: Reference | None, differentiable: bool, smooth: bool, seen: set[int]
) -> None:
    """Nothing may pass because nothing was compared."""
    op, counts = report.op, report.counts
    wanted = ["page", "json"]
    if op.examples or (reference and reference.examples):
        wanted += ["value", "aval", "eager", "misuse"]
    if op.operands:
        wanted.append("vmap")
    if differentiable:
        wanted += ["float32", "adjoint", "strong zero", "second order", "jvp"]
        if not smooth:
            report.trouble(
                "example",
                "no example is smooth and has elements, so no derivative was compared with differences",
            )
        wanted += [f"operand {k}" for k in sorted(seen)]
        if op.elementwise:
            wanted.append("exact")
            if reference is not None and reference.exact is None:
                report.trouble(
                    "reference", "an elementwise op needs an mpmath function to compare its derivatives with"
                )
    if any(o.optional for o in op.operands):
        for k, o in enumerate(op.operands):
            if not any(len(e.operands) > k and e.operands[k] is not None for e in op.examples):
                report.trouble("example", f"no example gives the optional operand {o.name}")
    for check in wanted:
        if not counts[check]:
            report.trouble("vacuous", f"no comparison was made for: {check}")


def ops_met(op: Op, reference: Reference | None) -> set[Op]:
    """All ops, internal ones included, that occur in an op's examples and their first derivatives, mapped or not."""
    met: set[Op] = set()

    def note(nodes: Sequence[Node]) -> None:
        for node in nodes:
            met.add(node.op)
            for _, value in node.params:
                if isinstance(value, Graph):
                    note(value.nodes)

    for case in cases(op, reference):
        graph = case.graph()
        note(graph.nodes)
        floats = [k for k, a in enumerate(case.arrays) if a.dtype.kind == "f"]
        outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
        if floats and outs:
            wrt = [graph.inputs[k] for k in floats]
            reverse = vjp_graph(graph, outs, wrt, "float64")
            note(reverse.nodes)
            note(jvp_graph(graph, wrt, "float64").nodes)
            note(
                vjp_graph(
                    reverse,
                    reverse.outputs[len(graph.outputs) :],
                    reverse.inputs[len(case.arrays) :],
                    "float64",
                ).nodes
            )
        if case.arrays:
            for size in range(1, min(len(case.arrays), 3) + 1):
                for chosen in combinations(range(len(case.arrays)), size):
                    note(vmap(graph, 2, [k in chosen for k in range(len(case.arrays))], "float64")[0].nodes)
    return met
