"""Programs to typed graphs: what `specialize` does once the shapes and dtypes of the inputs are known.

Every step of the program becomes at least one node of its own, so that steps which compute the same thing, or nothing
new (`y = x`), keep their own values and gradients. All type errors show here, with the step's id and place, before
anything is computed or allocated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from engine.attrs import INDEX, IndexArray, Slice
from engine.aval import Array, Aval, Avals, DType, aval_of
from engine.builder import GraphBuilder, Var, Weak, call
from engine.cost import Limits
from engine.errors import (
    Arity,
    DtypeMismatch,
    EngineError,
    InvalidAttribute,
    LimitExceeded,
    MissingInput,
    MistakeCollector,
    ShapeMismatch,
    UnknownInput,
    Where,
    nearest,
    quoted,
)
from engine.graph import CONSTANT as GRAPH_CONSTANT
from engine.graph import Graph, Node, single
from engine.op import InputRef, Op, Operand, check_attr
from engine.ops.control.loops import Never
from engine.ops.pointwise.elementwise import Elementwise
from engine.program import CONSTANT, INPUT, ITEM, MAX_NESTING, GraphSource, Literal, Program, Step
from engine.spec.node import references_in
from engine.values import Given

IDENTITY = "identity"


@dataclass(frozen=True)
class Typed:
    """A program with types.

    `graph` has the program's outputs as outputs and its inputs, in order, as inputs. `nodes[i]` is the node of step i
    (a tuple for a step of several results); the nodes of step i are those from `starts[i]` up to `starts[i + 1]`.
    """

    program: Program
    graph: Graph
    nodes: tuple[int | tuple[int, ...], ...]
    starts: tuple[int, ...]
    dtype: DType
    bodies: Bodies = field(default_factory=dict, compare=False, repr=False)
    """The bodies inside, typed."""

    def node(self, i: int) -> int:
        """The node of step `i`, which has one result."""
        n = self.nodes[i]
        assert isinstance(n, int)
        return n

    def aval(self, i: int) -> Aval:
        """Shape and dtype of step `i`."""
        return single(self.avals[i])

    @cached_property
    def avals(self) -> list[Avals]:
        """Avals of all steps."""
        nodes = self.graph.nodes
        return [
            nodes[n].aval if isinstance(n, int) else tuple(single(nodes[k].aval) for k in n)
            for n in self.nodes
        ]

    @cached_property
    def reported(self) -> list[int]:
        """Steps that have a value of their own: all but those of several results."""
        return [i for i, n in enumerate(self.nodes) if isinstance(n, int)]

    @cached_property
    def differentiates(self) -> bool:
        """Whether derivatives are used inside the program: they hold products with strong zeros."""
        return any(params and "strong" in dict(params) for _, _, params, _ in self.graph.nodes)

    def owner(self, node: int) -> int:
        """The step that a node belongs to."""
        return bisect_right(self.starts, node) - 1


def input_arrays(
    program: Program, inputs: Mapping[str, Given], dtype: DType, most: int = 20
) -> tuple[dict[str, Array], set[str]]:
    """Arrays for all inputs of the program, by id, in the dtype each has in it; and which of them are static integers.

    Raises `UnknownInput`, `MissingInput`, `InvalidArray` (all of them together).
    """
    steps = program.steps
    integer = integer_inputs(program)
    if not integer and len(inputs) == len(program.input_ids):  # the common case, fast
        plain: dict[str, Array] = {}
        for name in program.input_ids:
            given = inputs.get(name)
            if given is None:
                break
            value = given.value
            plain[name] = value if value.dtype == dtype else typed_array(given, dtype)
        else:
            return plain, {n for n, a in plain.items() if a.dtype == np.int64}
    known = program.input_ids
    mistakes = MistakeCollector(most)
    names = set(known)
    for name in inputs:
        if name not in names:
            near = nearest(name, known) if len(mistakes.errors) < most else ()
            hint = f" Did you mean {near[0]}?" if near else f" Its inputs are {_listed(known)}."
            mistakes.add(
                UnknownInput(
                    f"The program has no input {quoted(name)}.{hint}",
                    node=name,
                    where=Where(pointer=f"/inputs/{pointer_part(name)}"),
                    suggestions=near,
                )
            )
    arrays: dict[str, Array] = {}
    for i in program.inputs:
        step = steps[i]
        given = inputs.get(step.id)
        if given is None:
            default = step.attrs.get("value")
            if default is None:
                mistakes.add(
                    MissingInput(
                        f"The input {quoted(step.id)} has no value.",
                        node=step.id,
                        where=Where(pointer=f"/inputs/{pointer_part(step.id)}"),
                    )
                )
                continue
            given = Given(default.value, default.weak, default.weak and default.integral)
        arrays[step.id] = typed_array(given, dtype, integer=i in integer)
    mistakes.raise_if_any()
    static = {name for name, a in arrays.items() if a.dtype == np.int64}
    return arrays, static


def typed_array(given: Given, dtype: DType, *, integer: bool = False) -> Array:
    """A given value in one of the engine's dtypes: floats in the program's own."""
    value = given.value
    if value.dtype.kind == "b":
        return value
    if value.dtype.kind in "iu" and not given.weak:
        return value.astype(np.int64, copy=False)
    if integer and given.integers:
        return value.astype(np.int64, copy=False)
    return value.astype(dtype, copy=False)


def pointer_part(name: str) -> str:
    """One part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(quoted(n) for n in names[:most])
    return (shown + (f" and {len(names) - most} more" if len(names) > most else "")) or "none"


def integer_inputs(program: Program) -> frozenset[int]:
    """Inputs that reach an integer position through indexing, shape ops or + − * // % (`api.md`, section 1)."""
    found: frozenset[int] | None = vars(program).get("_integer_inputs")
    if found is None:
        found = vars(program)["_integer_inputs"] = frozenset(_integer_inputs(program))
    return found


def _integer_inputs(program: Program) -> set[int]:
    ops = {s.op for s in program.steps}
    if not any(p.integer for op in ops for p in op.operands) and not any(
        s.attrs for s in program.steps if s.op is not INPUT
    ):
        return set()
    wanted: set[int] = set()
    for i in range(len(program.steps) - 1, -1, -1):
        step = program.steps[i]
        inside = _integer_operands(step) if step.attrs else ()
        for k, a in enumerate(step.operands):
            if not isinstance(a, int) or a in wanted:
                continue
            role = role_of(step.op, k)
            reference = role is None or role.integer or k in inside
            through = i in wanted and (step.op.passes_integers or step.op is ITEM)
            if reference or (through and not (role is not None and role.boolean)):
                wanted.add(a)
    return {i for i in wanted if program.steps[i].op is INPUT}


def _integer_operands(step: Step) -> set[int]:
    """Operands of a step whose attributes refer to them, or whose bodies have an integer position for them.

    The inputs of a body are the step's last operands (a loop's counter is in front of them, and the condition of a choice
    is in front of what its branches take), or its first ones (tangents and cotangents come behind them).
    """
    found = {k for value in step.attrs.values() for k in references_in(value)}
    passed = [k for k in range(len(step.operands)) if k not in found]
    for value in step.attrs.values():
        if isinstance(value, Program):
            inner = integer_inputs(value)
            ends = (value.inputs, passed) if step.op.leading else (value.inputs[::-1], passed[::-1])
            found |= {k for i, k in zip(*ends, strict=False) if i in inner}
    return found


def role_of(op: Op, k: int) -> Operand | None:
    """The operand parameter that position `k` of a step belongs to; None behind them (values that attributes refer to)."""
    declared = op.operands
    if k < len(declared):
        return declared[k]
    return declared[-1] if declared and declared[-1].variadic else None


class _Body:
    """A subgraph of a step, to be typed when the op knows its inputs' avals."""

    def __init__(self, program: Program, owner: Specializer, fixed: Mapping[int, Array]) -> None:
        self.program = program
        self._owner = owner
        self._fixed = fixed

    def graph(self, avals: Sequence[Aval]) -> Graph:
        """The body's typed graph. Raises errors that name nodes inside the body."""
        ids = [self.program.steps[i].id for i in self.program.inputs]
        if len(ids) != len(avals):
            raise _miscalled(self.program, ids, len(avals))
        owner = self._owner
        fixed = {ids[k]: v for k, v in self._fixed.items() if aval_of(v) == avals[k]}
        key = (id(self.program), tuple(avals), tuple((name, v.tobytes()) for name, v in fixed.items()))
        if key not in owner.bodies:
            inner = Specializer(
                self.program, owner.dtype, owner.limits, owner.depth + 1, owner.bodies, owner.b.step
            )
            owner.bodies[key] = inner.run(dict(zip(ids, avals, strict=True)), fixed).graph
        return owner.bodies[key]


def _miscalled(body: Program, ids: Sequence[str], count: int) -> Arity:
    """The error for a subgraph that gets another number of values than it has inputs."""
    source = body.source
    name, where = "The body", None
    if isinstance(source, GraphSource):
        name, where = (
            f"The subgraph '{source.root.rpartition('/')[2]}'",
            Where(pointer=f"{source.root}/inputs"),
        )
    inputs = f"{len(ids)} input{'s' * (len(ids) != 1)} ({_listed(ids)})"
    return Arity(f"{name} takes {inputs}; it is called with {count}.", where=where)


def _go_together(p: tuple[str, Aval], q: tuple[str, Aval]) -> bool:
    """Whether two shapes can be broadcast together."""
    return all(
        m == n or 1 in (m, n) for m, n in zip(reversed(p[1].shape), reversed(q[1].shape), strict=False)
    )


UNCHANGED = frozenset(
    {
        "cond", "scan", "fori_loop", "while_loop", "map", "checkpoint", "grad", "value_and_grad", "jacobian", "hessian",
        "root", "fixed_point", "linear_solve", "vmap",
    }
)  # fmt: skip
"""Ops whose bodies get the op's last operands as they are, behind what changes from step to step (`carry`, `scanned`)."""


Bodies: TypeAlias = dict[tuple[int, tuple[Aval, ...], tuple[tuple[str, bytes], ...]], Graph]
"""Bodies that were typed before, by their program (its `id`, since it lives as long), the avals of their inputs, and known
values of these.

A loop may try its body with several kinds of carries; without this, loops in loops would be tried 2ⁿ times.
"""


class Specializer:
    """One pass over a program's steps. `static` holds the values of integers that may decide shapes."""

    def __init__(
        self,
        program: Program,
        dtype: DType,
        limits: Limits,
        depth: int = 0,
        bodies: Bodies | None = None,
        step: Callable[[], None] | None = None,
    ) -> None:
        self.program = program
        self.dtype = dtype
        self.limits = limits
        self.depth = depth
        self.bodies: Bodies = {} if bodies is None else bodies
        # A step lowers to a handful of nodes at most; a program that lowers to far more is refused before memory is.
        most = 4 * limits.nodes + 1000
        self.b = GraphBuilder(dtype, max_elements=limits.elements, max_nodes=most, step=step)
        self.results: list[Any] = []
        self.static: dict[int, Array] = {}
        self.literals: dict[float, int] = {}
        self._read: set[int] | None = None

    def run(self, avals: Mapping[str, Aval], statics: Mapping[str, Array]) -> Typed:
        """Type the whole program for inputs of these avals. Raises the first `EngineError`, with its node and place."""
        b = self.b
        program = self.program
        starts: list[int] = []
        for i, step in enumerate(program.steps):
            starts.append(len(b.nodes))
            b.label = step.id
            plain = self._plain(step)
            if plain is not None:
                self.results.append(plain)
                continue
            try:
                result = self._step(i, step, avals, statics)
            except EngineError as error:
                if error.node is None and isinstance(error, ShapeMismatch | DtypeMismatch):
                    error.detail = (
                        f"{error.detail}{self._disagreeing(step, isinstance(error, DtypeMismatch))}"
                    )
                raise error.at(step.id, program.where(i)) from None
            except RecursionError:  # a subgraph inside a subgraph inside …
                raise Arity("Subgraphs are nested too deeply.").at(step.id, program.where(i)) from None
            self.results.append(result)
        nodes = tuple(tuple(v.ref for v in r) if isinstance(r, tuple) else r.ref for r in self.results)
        outputs = []
        for i in program.outputs:
            n = nodes[i]
            if not isinstance(n, int):
                raise DtypeMismatch(
                    f"{quoted(program.steps[i].id)} has several results; read the one that is wanted by its index."
                ).at(program.steps[i].id, program.where(i))
            outputs.append(n)
        return Typed(program, b.build(outputs), nodes, tuple(starts), self.dtype, self.bodies)

    def _plain(self, step: Step) -> Var | None:
        """The common case, fast: an elementwise op on floats of one shape, and scalar literals. Else None."""
        op = step.op
        if not isinstance(op, Elementwise) or not op.plain or step.attrs:
            return None
        nodes = self.b.nodes
        results = self.results
        common: Aval | None = None
        refs = []
        for a in step.operands:
            if type(a) is int:
                v = results[a]
                if type(v) is tuple:
                    return None
                ref = v.ref
                found = nodes[ref].aval
                if common is None:
                    common = found
                elif found != common:
                    return None
                refs.append(ref)
            elif type(a) is Literal and a.weak and a.value.ndim == 0:
                number = float(a.value)
                ref = self.literals.get(number)
                if ref is None or number == 0:  # 0.0 and -0.0 are equal keys, but not equal constants
                    ref = self.literals[number] = self.b.literal(number)
                refs.append(ref)
            else:
                return None
        if (
            common is None
            or len(refs) != len(op.rules)
            or not common.floating
            or len(nodes) >= self.b.max_nodes
        ):
            return None
        nodes.append(Node(op, tuple(refs), (), Aval(common.shape, "bool") if op.boolean else common))
        return Var(self.b, len(nodes) - 1)

    def _step(self, i: int, step: Step, avals: Mapping[str, Aval], statics: Mapping[str, Array]) -> Any:
        b = self.b
        op = step.op
        if op is INPUT:
            v = Var(b, b.input(avals[step.id]))
            if step.id in statics:
                self.static[i] = statics[step.id]
            return v
        if op is CONSTANT:
            return self._own(self._constant(step.attrs["value"]), len(b.nodes))
        if op is ITEM:
            return self._item(i, step)
        if step.attrs:
            operands, attrs = self._resolved(step)
            chosen = step.operands[0] if op.name == "cond" else None
            if isinstance(chosen, int) and chosen in self.static and self.static[chosen].ndim == 0:
                operands[0] = b.var(self.static[chosen].astype(bool), "bool")
        else:
            operands, attrs = [self._operand(step, k, a) for k, a in enumerate(step.operands)], {}
        start = len(b.nodes)
        if op.composite and self.depth > MAX_NESTING:
            detail = f"Subgraphs are nested more than {MAX_NESTING} deep."
            raise LimitExceeded("nesting", MAX_NESTING, self.depth, detail)
        result: Any = call(b, op, *operands, **attrs)
        if isinstance(result, tuple) and len(result) > 1:
            return tuple(self._own(v, start) for v in result)
        if isinstance(result, tuple):  # a loop of one carry: its id means that result
            (result,) = result
        if isinstance(result, Never) and self._used(i):
            raise self._unset(step)
        own = self._own(result, start)
        self._know(i, step, own)
        return own

    def _disagreeing(self, step: Step, dtypes: bool) -> str:
        """A sentence about the operands of a step that failed: op, names, and shapes, of the two that disagree if so few do."""
        named: list[tuple[str, Aval]] = []
        for a in step.operands:
            if isinstance(a, Literal):
                value = a.value
                name = f"the number {float(value):g}" if value.ndim == 0 else "a constant"
                named.append((name, Aval(value.shape, "bool" if value.dtype.kind == "b" else self.dtype)))
            elif isinstance(a, int) and isinstance(self.results[a], Var):
                named.append((quoted(self.program.steps[a].id), self.results[a].aval))
        named = list(dict.fromkeys(named))
        if not named:
            return ""
        pair = next((p for p in combinations(named, 2) if not _go_together(*p)), None) if not dtypes else None
        elementwise = step.op.elementwise or len(named) > 4
        shown = pair if pair is not None and elementwise else named[:4]
        parts = [f"{name} {'is ' + str(a) if dtypes else f'has shape {list(a.shape)}'}" for name, a in shown]
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        return f" (In {step.op.name}, {listed}.)"

    def _own(self, v: Var, start: int) -> Var:
        """The value as a node of this step: one that existed before, or a shared constant, gets an identity."""
        if v.ref >= start and self.b.nodes[v.ref].op is not GRAPH_CONSTANT:
            return v if not v.literal else Var(self.b, v.ref)
        result: Var = self.b.write(IDENTITY, v)
        return result

    def _constant(self, literal: Literal) -> Var:
        dtype: DType = (
            "bool"
            if literal.value.dtype.kind == "b"
            else "int64"
            if literal.value.dtype.kind in "iu"
            else self.dtype
        )
        return self.b.var(literal.value.astype(dtype), dtype)

    def _item(self, i: int, step: Step) -> Var:
        source = step.operands[0]
        k = step.attrs.get("index", 0)
        results = self.results[source] if isinstance(source, int) else None
        if (
            isinstance(results, Var)
            and k == 0
            and isinstance(source, int)
            and self.program.steps[source].op.multiple
        ):
            results = (results,)
        if not isinstance(results, tuple):
            raise InvalidAttribute(
                "item reads a result of an op that has several, such as split; its operand has one."
            )
        if not -len(results) <= k < len(results):
            raise InvalidAttribute(
                f"item: index {k} is out of range; there are {len(results)} results (0 to {len(results) - 1})."
            )
        if isinstance(results[k], Never) and self._used(i):
            raise self._unset(step)
        result: Var = self.b.write(IDENTITY, results[k])
        return result

    def _unset(self, step: Step) -> EngineError:
        return InvalidAttribute(
            f"{quoted(step.id)} has no value: the loop that assigns it runs no time. Give it one before the loop."
        )

    def _used(self, i: int) -> bool:
        """Whether a step's value is an operand or a result."""
        if self._read is None:
            self._read = {a for s in self.program.steps for a in s.operands if isinstance(a, int)}
            self._read |= set(self.program.outputs)
        return i in self._read

    def _operand(self, step: Step, k: int, argument: Any) -> Any:
        if argument is None:
            return None
        if isinstance(argument, Literal):
            if argument.weak:
                return Weak(argument.value, argument.integral)
            return self._constant(argument)
        value = self.results[argument]
        if isinstance(value, tuple):
            source = self.program.steps[argument].id
            raise DtypeMismatch(
                f"{quoted(source)} has {len(value)} results and cannot be an operand itself; read one of them "
                f'(in text by unpacking or an index, in a graph with {{"op": "item", "inputs": ["{source}"]}}).'
            )
        return value

    # -- attributes that refer to further operands

    def _resolved(self, step: Step) -> tuple[list[Any], dict[str, Any]]:
        """Operands and attributes with references replaced by the values that are known before anything runs."""
        refs: set[int] = set()
        dynamic = any(a.kind is INDEX for a in step.op.attrs)
        attrs = {}
        for name, value in step.attrs.items():
            known = self._attr(step, name, value, refs, dynamic)
            if (
                known is not value
                and not isinstance(value, Program)
                and not dynamic
                and not isinstance(known, Var)
            ):
                kind = next(a for a in step.op.attrs if a.name == name)
                known = check_attr(step.op, kind, known)  # a whole shape where one integer belongs
            attrs[name] = known
        operands: list[Any] = []
        for k, a in enumerate(step.operands):
            role = role_of(step.op, k)
            if k in refs and role is not None and role.variadic and not dynamic:
                continue  # a loop's body does not get what only decides its length
            gone = k in refs and (role is None or role.optional or role.variadic)
            operands.append(None if gone else self._operand(step, k, a))
        declared = sum(1 for p in step.op.parameters if isinstance(p, Operand) and not p.variadic)
        while len(operands) > declared and operands and operands[-1] is None:
            operands.pop()
        return operands, attrs

    def _attr(self, step: Step, name: str, value: Any, refs: set[int], dynamic: bool) -> Any:
        if isinstance(value, Program):
            return _Body(value, self, self._fixed(step, value))
        if isinstance(value, InputRef):
            known = self._static_operand(step, value)
            if known is None:
                if dynamic:
                    return value
                if name in step.op.computed:
                    refs.add(value.index)
                    return self._operand(step, value.index, step.operands[value.index])
                raise InvalidAttribute(
                    f"{step.op.name}: {name} must be known before anything is computed: a number, or integers made from "
                    "numbers, shapes and integer inputs."
                )
            refs.add(value.index)
            return self._checked(step, name, known)
        if isinstance(value, Slice):
            parts = [self._attr(step, name, p, refs, False) if isinstance(p, InputRef) else p for p in value]
            return Slice(*parts)
        if isinstance(value, tuple):
            return tuple(
                self._attr(step, name, v, refs, dynamic) if isinstance(v, InputRef | Slice | tuple) else v
                for v in value
            )
        return value

    def _fixed(self, step: Step, body: Program) -> dict[int, Array]:
        """The values of a body's inputs that are known: those of operands which are the same in every step of a loop."""
        if step.op.name not in UNCHANGED or not self.static:
            return {}
        refs = {k for value in step.attrs.values() for k in references_in(value)}
        passed = [a for k, a in enumerate(step.operands) if k not in refs]
        defaults = {a.name: a.default for a in step.op.attrs}
        changing = sum(step.attrs.get(n, defaults.get(n, 0)) for n in ("carry", "scanned"))
        fixed = passed[changing:]
        first = len(body.inputs) - len(fixed)
        return {
            first + k: self.static[a]
            for k, a in enumerate(fixed)
            if isinstance(a, int) and a in self.static and first + k >= 0
        }

    def _static_operand(self, step: Step, ref: InputRef) -> Array | None:
        if not 0 <= ref.index < len(step.operands):
            raise InvalidAttribute(f"There is no operand {ref.index} to refer to.")
        argument = step.operands[ref.index]
        if isinstance(argument, Literal):
            return argument.value.astype(np.int64) if argument.integral else None
        found = self.static.get(argument) if isinstance(argument, int) else None
        return None if found is None or found.dtype.kind == "b" else found

    def _checked(self, step: Step, name: str, known: Array) -> Any:
        if known.ndim == 0:
            return int(known)
        if any(a.kind is INDEX for a in step.op.attrs):
            return IndexArray(known)
        if known.ndim > 1 or known.size > 64:
            raise ShapeMismatch(f"{step.op.name}: {name} must be an integer or a vector of integers.")
        return tuple(int(v) for v in known)

    def _know(self, i: int, step: Step, v: Var) -> None:
        """Remember integers and booleans that follow from constants, shapes and integer inputs alone, if they are small."""
        aval = v.aval
        if aval.floating or aval.size > 64 or any(isinstance(a, Program) for a in step.attrs.values()):
            return  # a loop is not to be run here
        known: list[Array] = []
        for a in step.operands:
            if isinstance(a, int):
                value = self.static.get(a)
                if value is None and step.op.name not in ("shape", "ndim", "size"):
                    return
                known.append(value if value is not None else np.zeros(0))
            elif isinstance(a, Literal):
                known.append(a.value)
        self._evaluate_static(i, v)

    def _evaluate_static(self, i: int, v: Var) -> None:
        """The value of node `v`, whose operands are all known: computed over its few nodes."""
        from engine.builder import EagerBuilder

        eager = EagerBuilder(self.dtype)
        values: dict[int, Any] = {}
        known = {
            r.ref: self.static[j]
            for j, r in enumerate(self.results)
            if j in self.static and isinstance(r, Var)
        }
        order: list[int] = []
        stack = [v.ref]
        seen: set[int] = set()
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            order.append(n)
            if n not in known:
                stack.extend(self.b.nodes[n].inputs)
        for n in sorted(order):
            if n in known:
                values[n] = known[n]
                continue
            node = self.b.nodes[n]
            if node.op.name == "core.input":
                return
            with np.errstate(all="ignore"):
                values[n] = eager.emit(node.op, [values[j] for j in node.inputs], node.params)
        self.static[i] = np.asarray(values[v.ref])


def specialize(
    program: Program,
    avals: Mapping[str, Aval],
    *,
    dtype: DType = "float64",
    limits: Limits | None = None,
    statics: Mapping[str, Array] | None = None,
    step: Callable[[], None] | None = None,
) -> Typed:
    """The program's typed graph for inputs of these avals (all of them).

    `statics` are the values of integer inputs, which may decide shapes and loop counts. Raises `EngineError` with the
    node and its place: shapes or dtypes that do not fit, attributes out of range, arrays over the limit. `step`, if given, is
    called before each node and may raise.
    """
    return Specializer(program, dtype, limits or Limits(), step=step).run(avals, statics or {})
