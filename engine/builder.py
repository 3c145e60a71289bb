"""Builders: the one interface through which programs, rules and transforms are written.

`GraphBuilder` makes nodes of a Wengert list, `EagerBuilder` makes arrays. Rules and composites see `Var`, which carries
the operators; the walks work on bare references (node positions, or arrays), which cost nothing.

Builders never share nodes: two nodes that a user wrote keep their own gradients, however equal they are. (Constants are
no user's nodes, and are shared.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from engine.aval import MAX_RANK, Array, Aval, Avals, DType, Shape, aval_of, broadcast_shapes
from engine.compiled import compiled
from engine.errors import DtypeMismatch, LimitExceeded, ShapeMismatch
from engine.formula import Formula
from engine.graph import CONSTANT, INPUT, ITEM, Constant, Graph, Node, single
from engine.op import Op, Operand, Params, registry

RECORD_BYTES = 1 << 29
"""What a loop may record for the way back if nobody says otherwise."""

MAX_EMPTY = 2**48
"""Largest product of the sizes that are not 0: NumPy refuses arrays whose strides would not fit 64 bits, empty ones too."""


class Var:
    """A value while something is being written: a builder and its reference. Operators write ops.

    `literal` marks a number that stands in the program text or in a rule; it is broadcast without a node.
    """

    __slots__ = ("b", "literal", "ref")
    __array_ufunc__ = None
    """NumPy must not take the operators over."""

    def __init__(self, b: Builder, ref: Any, literal: bool = False) -> None:
        self.b = b
        self.ref = ref
        self.literal = literal

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return single(self.b.aval(self.ref))

    @property
    def shape(self) -> Shape:
        """Shape."""
        return self.aval.shape

    @property
    def dtype(self) -> DType:
        """Dtype."""
        return self.aval.dtype

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.aval.size

    def __add__(self, other: Any) -> Var:
        return call(self.b, "add", self, other)

    def __radd__(self, other: Any) -> Var:
        return call(self.b, "add", other, self)

    def __sub__(self, other: Any) -> Var:
        return call(self.b, "subtract", self, other)

    def __rsub__(self, other: Any) -> Var:
        return call(self.b, "subtract", other, self)

    def __mul__(self, other: Any) -> Var:
        return call(self.b, "multiply", self, other)

    def __rmul__(self, other: Any) -> Var:
        return call(self.b, "multiply", other, self)

    def __truediv__(self, other: Any) -> Var:
        return call(self.b, "divide", self, other)

    def __rtruediv__(self, other: Any) -> Var:
        return call(self.b, "divide", other, self)

    def __pow__(self, other: Any) -> Var:
        return call(self.b, "pow", self, other)

    def __matmul__(self, other: Any) -> Var:
        return call(self.b, "matmul", self, other)

    def __neg__(self) -> Var:
        return call(self.b, "negative", self)

    def __lt__(self, other: Any) -> Var:
        return call(self.b, "less", self, other)

    def __le__(self, other: Any) -> Var:
        return call(self.b, "less_equal", self, other)

    def __gt__(self, other: Any) -> Var:
        return call(self.b, "greater", self, other)

    def __ge__(self, other: Any) -> Var:
        return call(self.b, "greater_equal", self, other)

    def equals(self, other: Any) -> Var:
        """Elementwise equality (`==` stays identity, so that a Var can stand in a set)."""
        return call(self.b, "equal", self, other)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Var:
        """Sum over axes, as NumPy's."""
        return call(self.b, "sum", self, axis=axis, keepdims=keepdims)

    def reshape(self, shape: Sequence[int]) -> Var:
        """The same elements in another shape."""
        return call(self.b, "reshape", self, shape=tuple(shape))

    def __repr__(self) -> str:
        return f"<{self.aval}>"


class Builder(ABC):
    """What rules, composites and walks write with.

    `dtype` is the program's floating dtype.
    """

    dtype: DType
    record_bytes: int = RECORD_BYTES
    """So much may a loop record for the way back; one that would need more records checkpoints and computes again."""
    label: str = ""
    """Id of the user's node that is being written: for ops that may fail later, when nothing else knows it."""

    @property
    def limits(self) -> dict[str, Any]:
        """What bounds this builder, for builders of the graphs that are written for it."""
        return {"record_bytes": self.record_bytes}

    @abstractmethod
    def aval(self, ref: Any) -> Avals:
        """Aval of a reference."""

    @abstractmethod
    def emit(self, op: Op, refs: Sequence[Any], params: Params = ()) -> Any:
        """Apply a core op to references whose avals it accepts as they are."""

    @abstractmethod
    def constant(self, value: Array) -> Any:
        """Reference to a constant array of one of the engine's dtypes."""

    @abstractmethod
    def inline(self, graph: Graph, refs: Sequence[Any]) -> list[Any]:
        """Apply a graph to references; its results."""

    def core(self, op: str, *refs: Any, **params: Any) -> Any:
        """`emit` by name."""
        return self.emit(registry.core(op), refs, tuple(sorted(params.items())))

    def literal(self, value: float) -> Any:
        """A scalar constant of the floating dtype."""
        return self.constant(np.asarray(value, self.dtype))

    def product(
        self, formula: Formula, ct: Any, operands: Sequence[Any], y: Any, strong_partial: bool
    ) -> Any:
        """A tangent or cotangent times the partial derivative `formula` (`engine.formula`)."""
        names = dict(zip(("a", "b", "c"), operands, strict=False))
        names["y"] = y
        return formula.times(self, ct, names, (0, 1) if strong_partial else (0,))

    def add(self, x: Any, y: Any) -> Any:
        """x + y of one floating aval: how the walks accumulate."""
        return self.core("add", x, y)

    def zeros(self, aval: Aval) -> Any:
        """Zeros of an aval, which take no memory."""
        zero = self.constant(np.zeros((), aval.dtype))
        return zero if aval.shape == () else self.core("broadcast_to", zero, shape=aval.shape)

    def ones(self, aval: Aval) -> Any:
        """Ones of an aval, which take no memory."""
        one = self.constant(np.ones((), aval.dtype))
        return one if aval.shape == () else self.core("broadcast_to", one, shape=aval.shape)

    # -- for rules and composites

    def var(self, value: Any, dtype: DType | None = None) -> Var:
        """A Var: of a reference made by this builder if it is one already, else of a constant."""
        if isinstance(value, Var):
            return value
        array = np.asarray(value)
        if dtype is None:
            dtype = self.dtype if array.dtype.kind == "f" else "bool" if array.dtype.kind == "b" else "int64"
        return Var(self, self.constant(array.astype(dtype)), literal=array.ndim == 0)

    @abstractmethod
    def literal_value(self, v: Var) -> Array:
        """The value of a Var that is a literal."""

    def write(self, op: str | Op, *operands: Var, **params: Any) -> Any:
        """A core op on Vars, whose avals must fit as they are; a Var, or a tuple of them for several results."""
        the_op = registry.core(op) if isinstance(op, str) else op
        ref = self.emit(the_op, [v.ref for v in operands], tuple(sorted(params.items())))
        avals = self.aval(ref)
        if isinstance(avals, Aval):
            return Var(self, ref)
        return tuple(Var(self, self.emit(ITEM, [ref], (("index", k),))) for k in range(len(avals)))

    def broadcast(self, operands: Sequence[Var]) -> list[Var]:
        """Operands stretched to their common shape by explicit nodes; scalar literals are left as they are."""
        shape = broadcast_shapes([v.shape for v in operands])
        return [v if (v.literal and v.rank == 0) else broadcast_to(v, shape) for v in operands]


class GraphBuilder(Builder):
    """Makes nodes. `max_elements` bounds every node, before anything of that size exists.

    `step`, if given, is called before each node and may raise: a derivative of a long program takes time to write, too.
    """

    def __init__(
        self,
        dtype: DType = "float64",
        *,
        max_elements: float = float("inf"),
        max_nodes: float = float("inf"),
        record_bytes: int = RECORD_BYTES,
        step: Callable[[], None] | None = None,
    ) -> None:
        self.dtype = dtype
        self.record_bytes = record_bytes
        self.step = step
        self.nodes: list[Node] = []
        self.inputs: list[int] = []
        self.max_elements = max_elements
        self.max_nodes = max_nodes
        self._constants: dict[Constant, int] = {}

    @classmethod
    def on(cls, graph: Graph, dtype: DType, **limits: Any) -> GraphBuilder:
        """A builder that goes on where `graph` ends; its nodes keep their positions."""
        b = cls(dtype, **limits)
        b.nodes = list(graph.nodes)
        b.inputs = list(graph.inputs)
        return b

    @property
    def limits(self) -> dict[str, Any]:
        """Largest array, number of nodes, and what is called before each node."""
        own = {"max_elements": self.max_elements, "max_nodes": self.max_nodes, "step": self.step}
        return super().limits | own

    def aval(self, ref: int) -> Avals:
        """Aval of a node."""
        return self.nodes[ref].aval

    def input(self, aval: Aval) -> int:
        """A further argument of the graph."""
        self.check(aval)
        self.nodes.append(Node(INPUT, (), (("index", len(self.inputs)),), aval))
        self.inputs.append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def check(self, aval: Aval) -> None:
        """Raise `LimitExceeded` for an array that is larger than allowed."""
        if aval.size > self.max_elements:
            raise LimitExceeded(
                "elements",
                int(self.max_elements),
                aval.size,
                f"An array of shape {list(aval.shape)} has {aval.size:,} elements; "
                f"the limit is {int(self.max_elements):,} for each node.",
            )
        if len(aval.shape) > MAX_RANK:
            raise LimitExceeded(
                "rank", MAX_RANK, len(aval.shape), f"An array can have at most {MAX_RANK} axes."
            )
        if aval.size == 0 and prod(n or 1 for n in aval.shape) > MAX_EMPTY:
            raise LimitExceeded(
                "elements",
                MAX_EMPTY,
                prod(n or 1 for n in aval.shape),
                f"An array of shape {list(aval.shape)} has no elements, but its other axes are too long.",
            )

    def emit(self, op: Op, refs: Sequence[int], params: Params = ()) -> int:
        """A new node."""
        if self.step is not None:
            self.step()
        nodes = self.nodes
        avals: list[Any] = [nodes[r].aval for r in refs]
        aval = op.infer(*avals, **dict(params)) if params else op.infer(*avals)
        if isinstance(aval, Aval):
            if aval.shape:
                self.check(aval)
        else:
            for one in aval:
                self.check(one)
        if len(nodes) >= self.max_nodes:
            raise LimitExceeded("nodes", int(self.max_nodes), len(nodes) + 1)
        nodes.append(Node(op, tuple(refs), params, aval))
        return len(nodes) - 1

    def constant(self, value: Array) -> int:
        """A constant node, shared between equal constants."""
        c = Constant(value)
        found = self._constants.get(c)
        if found is None:
            self.nodes.append(Node(CONSTANT, (), (("value", c),), aval_of(c.value)))
            found = self._constants[c] = len(self.nodes) - 1
        return found

    def literal_value(self, v: Var) -> Array:
        """The constant's array."""
        node = self.nodes[v.ref]
        assert node.op is CONSTANT
        value: Array = node.params[0][1].value
        return value

    def inline(self, graph: Graph, refs: Sequence[int]) -> list[int]:
        """Copies of the graph's nodes over `refs`."""
        return self.copy(graph.nodes, graph.inputs, refs, graph.outputs)

    def copy(
        self, nodes: Sequence[Node], inputs: Sequence[int], refs: Sequence[int], outputs: Sequence[int]
    ) -> list[int]:
        """Copy nodes with their inputs replaced by `refs`; the positions that `outputs` have got."""
        place: dict[int, int] = dict(zip(inputs, refs, strict=True))
        if len(self.nodes) + len(nodes) > self.max_nodes:
            raise LimitExceeded("nodes", int(self.max_nodes), len(self.nodes) + len(nodes))
        for i, node in enumerate(nodes):
            if i in place:
                continue
            if node.op is CONSTANT:
                place[i] = self.constant(dict(node.params)["value"].value)
            else:
                self.nodes.append(Node(node.op, tuple(place[j] for j in node.inputs), node.params, node.aval))
                place[i] = len(self.nodes) - 1
        return [place[o] for o in outputs]

    def build(self, outputs: Sequence[int]) -> Graph:
        """The graph of all nodes so far."""
        return Graph(tuple(self.nodes), tuple(self.inputs), tuple(outputs))


class EagerBuilder(Builder):
    """Makes arrays: every op is computed as it is written.

    `step`, if given, is called before each op and may raise; so is `admit`, before a graph whose size shows only when it
    is about to be computed (the way back over a loop of unknown length).
    """

    def __init__(
        self,
        dtype: DType = "float64",
        step: Callable[[], None] | None = None,
        *,
        record_bytes: int = RECORD_BYTES,
        admit: Callable[[Graph], None] | None = None,
    ) -> None:
        self.dtype = dtype
        self.step = step
        self.record_bytes = record_bytes
        self.admit = admit
        self.lean = False
        """Whether what is computed is looked at afterwards: then loops may do without guards of strong zeros."""
        self._literals: dict[float, Array] = {}

    def aval(self, ref: Any) -> Avals:
        """Aval of an array, or of each of several results."""
        return tuple(aval_of(r) for r in ref) if isinstance(ref, tuple) else aval_of(ref)

    def tick(self) -> None:
        """What is done before each op: for ops that compute for long by themselves."""
        if self.step is not None:
            self.step()

    def emit(self, op: Op, refs: Sequence[Any], params: Params = ()) -> Any:
        """The op's value."""
        if self.step is not None:
            self.step()
        if op.subgraphs:
            return op.evaluate_in(self, *refs, **dict(params))
        return op.evaluate(*refs, **dict(params)) if params else op.evaluate(*refs)

    def core(self, op: str, *refs: Any, **params: Any) -> Any:
        """The op's value, by name."""
        if self.step is not None:
            self.step()
        return registry.core(op).evaluate(*refs, **params)

    def product(
        self, formula: Formula, ct: Any, operands: Sequence[Any], y: Any, strong_partial: bool
    ) -> Any:
        """The product as an array, by the compiled formula."""
        if self.step is not None:
            self.step()
        compiled = None if strong_partial else formula.compiled
        if compiled is None:
            compiled = formula.product(function_of, strong_partial)
        n = len(operands)
        if n == 1:
            return compiled(ct, operands[0], None, None, y)
        return compiled(ct, operands[0], operands[1], operands[2] if n > 2 else None, y)

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return x + y

    def literal(self, value: float) -> Any:
        """A NumPy scalar of the floating dtype."""
        found = self._literals.get(value)
        if found is None or (value == 0 and np.signbit(found) != np.signbit(value)):
            found = self._literals[value] = np.asarray(value, self.dtype)[()]
        return found

    def constant(self, value: Array) -> Any:
        """The array itself."""
        return np.asarray(value)[()]

    def literal_value(self, v: Var) -> Array:
        """The array itself."""
        value: Array = v.ref
        return value

    def inline(self, graph: Graph, refs: Sequence[Any]) -> list[Any]:
        """The graph's results, evaluated node by node; values are dropped after their last use."""
        values: list[Any] = [None] * len(graph.nodes)
        for i, value in zip(graph.inputs, refs, strict=True):
            values[i] = value
        for i, dying in graph.schedule:
            node = graph.nodes[i]
            values[i] = self.emit(node.op, [values[j] for j in node.inputs], node.params)
            for j in dying:
                values[j] = None
        return [values[o] for o in graph.outputs]

    def run(self, graph: Graph, refs: Sequence[Any]) -> list[Any]:
        """As `inline`, for a graph that is computed many times."""
        return compiled(graph).run(self, refs)


def function_of(op: str) -> Callable[..., Any]:
    """The function on arrays that a core op without params is."""
    found = registry.core(op)
    fn: Callable[..., Any] = getattr(found, "fn", found.evaluate)
    return fn


# ------------------------------------------------------------------------------------------------ writing user-level ops


def call(b: Builder, op: str | Op, *operands: Any, **attrs: Any) -> Var:
    """Write a user-level op: operands are promoted to what the op computes with, then `lower` writes it.

    Operands are Vars, Python numbers, `Weak` literals, or None for absent optional ones. This is the only way in which
    rules, composites and `specialize` write user-level ops. `lower` gets every operand (None where absent) and every attribute.
    """
    the_op = registry.core(op) if isinstance(op, str) else op
    if the_op.attrs:
        attrs = {a.name: a.default for a in the_op.attrs} | attrs
    # An op of several results gives a tuple; the few callers that write one know.
    result: Any = the_op.lower(b, *convert(b, the_op, operands), **attrs)
    return result  # type: ignore[no-any-return]


class Weak:
    """A number or array of numbers whose dtype is decided by what it meets: 3 is an integer beside integers."""

    __slots__ = ("integral", "value")

    def __init__(self, value: Array, integral: bool) -> None:
        self.value = value
        self.integral = integral


def _weak(value: Any) -> Weak | None:
    if isinstance(value, Weak):
        return value
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | float):
        return Weak(np.asarray(float(value)), float(value).is_integer())
    return None


def convert(b: Builder, op: Op, operands: Sequence[Any]) -> list[Var | None]:
    """Operands as Vars of fitting dtypes.

    Integer positions (`Operand.integer`) become int64 (or stay floats if they may), masks (`Operand.boolean`) bool; what
    is left is promoted together (bool < int64 < float; weak literals follow the others), and to the floating dtype if
    the op is `floating`.
    """
    declared = op.operands
    if len(operands) < len(declared) and not declared[-1].variadic:
        operands = [*operands, *[None] * (len(declared) - len(operands))]
    roles: list[Operand | None] = []
    for k in range(len(operands)):
        role = (
            declared[k]
            if k < len(declared)
            else (declared[-1] if declared and declared[-1].variadic else None)
        )
        roles.append(role)
    result: list[Var | None] = [None] * len(operands)
    together: list[int] = []
    for k, (value, role) in enumerate(zip(operands, roles, strict=True)):
        if value is None:
            continue
        if role is not None and role.masks and _is_boolean(value):
            result[k] = b.var(value)
        elif role is not None and role.integer:
            result[k] = _as_integer(b, value, op, role)
        elif role is not None and role.boolean:
            result[k] = _as_boolean(b, value)
        else:
            together.append(k)
    if not op.promotes:
        for k in together:
            result[k] = cast(b, operands[k], _common_dtype([operands[k]], b.dtype))
        return result
    target = _common_dtype([operands[k] for k in together], b.dtype)
    if op.floating or target in ("float64", "float32"):
        target = b.dtype
    for k in together:
        result[k] = cast(b, operands[k], target)
    return result


def _is_boolean(value: Any) -> bool:
    dtype = value.dtype if isinstance(value, Var) else getattr(value, "dtype", type(value))
    return str(dtype) == "bool" or value is True or value is False


def _common_dtype(values: Sequence[Any], floating: DType) -> DType:
    rank = 0
    for value in values:
        weak = _weak(value)
        if weak is not None:
            rank = max(rank, 1 if weak.integral else 2)
        else:
            dtype = value.dtype if isinstance(value, Var) else str(np.asarray(value).dtype)
            rank = max(rank, 0 if dtype == "bool" else 1 if str(dtype).startswith("int") else 2)
    if rank == 1 and all(_weak(v) is not None for v in values):
        rank = 2
    return ("bool", "int64", floating)[rank]


def cast(b: Builder, value: Any, dtype: DType) -> Var:
    """The value as a Var of a dtype."""
    if isinstance(value, Var):
        return value if value.dtype == dtype else b.write("cast", value, dtype=dtype)
    weak = _weak(value)
    array = weak.value if weak is not None else np.asarray(value)
    return b.var(array.astype(dtype), dtype)


def _as_integer(b: Builder, value: Any, op: Op, role: Operand) -> Var:
    weak = _weak(value)
    if weak is not None and weak.integral:
        return b.var(weak.value.astype(np.int64), "int64")
    if isinstance(value, Var) and value.dtype in ("int64", "bool"):
        return cast(b, value, "int64")
    if weak is None and not isinstance(value, Var) and np.asarray(value).dtype.kind in "iub":
        return b.var(np.asarray(value).astype(np.int64), "int64")
    if role.floats:
        return cast(b, value, b.dtype)
    raise DtypeMismatch(
        f"{op.name}: {'an index' if role.name == 'further' else role.name} must be integers; here they are "
        "floating-point numbers. An input written only in integers (2, not 2.0) is an integer there; so is an encoded "
        "array of dtype int64."
    )


def _as_boolean(b: Builder, value: Any) -> Var:
    v = b.var(value.value if isinstance(value, Weak) else value)
    return v if v.dtype == "bool" else call(b, "not_equal", v, 0)


def broadcast_to(v: Var, shape: Shape) -> Var:
    """Stretch to a shape by an explicit node, unless it has it already."""
    if v.shape == shape:
        return v
    if broadcast_shapes([v.shape, shape]) != shape:
        raise ShapeMismatch(f"An array of shape {list(v.shape)} cannot be broadcast to {list(shape)}.")
    result: Var = v.b.write("broadcast_to", v, shape=tuple(shape))
    return result


def item(b: Builder, ref: Any, index: int) -> Any:
    """Result `index` of a reference to several results."""
    return b.emit(ITEM, [ref], (("index", index),))
