"""What an op is: one object that holds everything about it, and the registry that holds the ops.

An op has a *front* and, unless it is a composite, a *core*.

The front is what users meet: name, aliases, parameters in NumPy's order, docstring, LaTeX, convention, examples. Its
`lower` takes operands (`Var`) and static attributes as a user gives them, checks them, and writes the op with a builder.

The core is what the Wengert list holds: `infer` (avals to aval), `evaluate` (arrays to array) and one derivative rule
for each operand. Core operands are already promoted and broadcast, core params are hashable and count axes from the
end, so that a core op means its trailing dimensions and works over any number of leading batch axes.

A composite has no core and no rule: its `lower` is written with other ops, and so is its derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from engine.aval import Array, Aval, Avals, DType
from engine.errors import Arity, InvalidAttribute, UnknownOp, nearest, quoted

if TYPE_CHECKING:
    from engine.builder import Builder, EagerBuilder, GraphBuilder, Var
    from engine.entries import Entries, Positions
    from engine.formula import Formula

Params: TypeAlias = tuple[tuple[str, Any], ...]
"""Static parameters of a core node: (name, hashable value) pairs in alphabetical order."""


# ---------------------------------------------------------------------------------------------- parameters (the front)


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED = _Required()
"""Default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class InputRef:
    """Inside a static attribute: "the value of further operand `index`", as `{"input": index}` in a JSON graph.

    The operand must be an integer; where the attribute decides a shape it must be known before anything runs.
    """

    index: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What a static attribute may be: `check` returns the canonical, hashable value or raises ValueError."""

    name: str
    check: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Operand:
    """An array that the op takes.

    `optional` operands may be absent (None); a `variadic` one stands for any number of arrays, at least `least`;
    an `integer` one is an integer position in the sense of `api.md`, section 1 (indices, labels, counts), which takes
    floating-point numbers too if it says `floats` (labels, or else probabilities), and booleans, which stay such, if it
    says `masks` (an index); a `boolean` one is a mask; a `named` one that is a constant stands in a graph by its
    name among the attributes, since libraries have another argument in its position (`sum(x, 0)` sums over axis 0). The
    other operands of an op are promoted to a common dtype.
    """

    name: str
    aliases: tuple[str, ...] = ()
    optional: bool = False
    variadic: bool = False
    integer: bool = False
    boolean: bool = False
    least: int = 1
    masks: bool = False
    floats: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Attr:
    """A static argument of the op, such as `axis`. `aliases` are what other libraries call it."""

    name: str
    kind: Kind
    default: Any = REQUIRED
    aliases: tuple[str, ...] = ()
    keyword_only: bool = False


Parameter: TypeAlias = Operand | Attr


# ------------------------------------------------------------------------------------------------ derivative rules (core)


@dataclass(frozen=True, slots=True)
class Zero:
    """The op is constant in this operand almost everywhere, or the operand has no derivative (an index, a mask)."""


@dataclass(frozen=True, slots=True)
class Partial:
    """Elementwise: the partial derivative as a formula in the operands a, b, c and the result y."""

    formula: Formula


@dataclass(frozen=True, slots=True)
class Linear:
    """The op is linear in this operand, the others fixed; `transpose` takes a cotangent back to it.

    `transpose(ct, k, operands, **params)`: `ct` is the cotangent of the result, `k` the operand's position,
    `operands` all operands (only those that are not linear may be used, of the others only the avals); it returns the
    cotangent of operand k. Operands with `joint=True` are linear together (concat), those without are linear one at a
    time (matmul).
    """

    transpose: Callable[..., Var]
    joint: bool = False


@dataclass(frozen=True, slots=True)
class General:
    """The op's own `jvp` says how a tangent goes forward; the backward direction is that, transposed on the spot."""


@dataclass(frozen=True, slots=True)
class Subgraph:
    """The op holds subgraphs; its `push` and `pull` derive them (scan, cond)."""


Rule: TypeAlias = Zero | Partial | Linear | General | Subgraph


# ------------------------------------------------------------------------------------------------------------- examples


@dataclass(frozen=True, slots=True)
class Example:
    """A call of the op with known-good arguments, for its page and for the conformance test.

    `operands` are nested lists (or None for an absent optional operand); `smooth` is False where the op has a kink at
    this point, so that finite differences mean nothing there; `note` says what is hard about it.
    """

    operands: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    smooth: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one library spells the op differently: other defaults, or another parameter list altogether."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] | None = None


# ------------------------------------------------------------------------------------------------------------ execution


class Into(NamedTuple):
    """How an op writes its result into memory that is there: `write(*operands, out)`.

    `over` are the operands in whose own memory `out` may lie (of the same aval, element upon element); `stretches` says that
    operands may be given in a shape that broadcasts to that of the result.
    """

    write: Callable[..., Any]
    over: tuple[int, ...] = ()
    stretches: bool = False


# ------------------------------------------------------------------------------------------------------------------- Op


class Op:
    """Base class of all ops; an instance is the op, without state.

    Class attributes to set: `name`, `family`, `parameters`; where it helps `aliases`, `latex`, `convention`,
    `examples`, `spellings`. Methods to write: `lower` always; `infer`, `evaluate`, `rules` for a core op; `jvp` where a
    rule is `General`.
    """

    name: str
    family: str
    aliases: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    spellings: Mapping[str, Spelling] = {}
    """Qualified names (`scipy.special.softmax`) under which the op has other defaults or parameters."""
    rules: tuple[Rule, ...] = ()
    """One for each operand of the core; the last one stands for all that follow."""
    latex: str = ""
    derivative: Mapping[str, str] = {}
    """LaTeX of the derivative for each operand, for the op's page."""
    convention: str = ""
    """What is answered where there is no derivative, and why."""
    examples: tuple[Example, ...] = ()
    composite: bool = False
    elementwise: bool = False
    """Whether result entry i depends on operand entries i alone (after broadcasting)."""
    floating: bool = False
    """Whether the op computes with floating-point numbers only: integer operands are converted."""
    promotes: bool = True
    """Whether operands are brought to a common dtype; loops take each as it is."""
    passes_integers: bool = False
    """Whether an integer position asks its operands to be integers (indexing, shape ops, + - * // %)."""
    computed: tuple[str, ...] = ()
    """Attributes that may refer to an operand whose value is only known when the program runs: `lower` gets its `Var`."""
    results: tuple[str, ...] = ("y",)
    """Names of the results; more than one, or a trailing "…", for an op that yields a tuple."""
    subgraphs: bool = False
    """Whether params hold graphs; such an op is computed by `evaluate_in`, which can be stopped between their steps."""
    unbounded: bool = False
    """Whether the op may go on for ever: a loop of which nobody knows how many steps it takes."""
    leading: bool = False
    """Whether the inputs of the op's bodies are its first operands (`jvp`) rather than its last (a loop has a counter)."""
    internal: bool = False
    """Part of the core only: users cannot name it."""
    moves: bool = False
    """Whether each entry of the result is an entry of an operand, wherever it comes from: `evaluate` says which."""
    scalar: str = ""
    """The value on float64 numbers (booleans are 0.0 and 1.0) as formula text in a, b, c; empty where there is none.

    It agrees with `evaluate` to 2 ulp where the op is smooth. A name in it is one of `math` or of `engine/tape/prelude.py`.
    """
    scalar_partials: tuple[str, ...] = ()
    """Beside `scalar`: formulas of the partials, of an op whose rules are not `Partial` or are slow on single numbers."""
    scalar_params: tuple[str, ...] = ()
    """Beside `scalar`: params that the formulas know as further operands, after those of the op."""
    scalar_kink: str = ""
    """Beside `scalar`: where `convention` was used instead of a derivative, of an op that has no kink formula."""
    compact: bool = False
    """Whether the trailing axes of operands are best lying together in memory: products and factorisations of matrices."""
    combines: Callable[..., Any] = np.add.reduce
    """How the results for pieces that `summed` names become one, along an axis: `fn(parts, axis=0)`. By adding them."""
    view: bool = False
    """Whether the result may lie in the memory of the first operand: it is never written to."""

    # -- the front

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var | tuple[Var, ...]:
        """Write the op with builder `b`, from operands and attributes as a user gives them."""
        raise NotImplementedError(self.name)

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        return (self.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").strip()

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The parameters that are arrays."""
        return tuple(p for p in self.parameters if isinstance(p, Operand))

    @property
    def attrs(self) -> tuple[Attr, ...]:
        """The parameters that are static."""
        return tuple(p for p in self.parameters if isinstance(p, Attr))

    @property
    def multiple(self) -> bool:
        """Whether the op yields a tuple."""
        return len(self.results) > 1

    def count(self, attrs: Mapping[str, Any]) -> int | None:
        """How many results a node with these attributes has; None for several, of which the number shows with the types.

        By default all of `results`; with "…" among them as many as the body has outputs (`then`, for a choice).
        """
        if self.results[-1] != "…":
            return len(self.results)
        bodies = (attrs.get(name) for name in ("body", "then"))
        return next((len(body.outputs) for body in bodies if body is not None), None)

    # -- the core

    def infer(self, *avals: Aval, **params: Any) -> Avals:
        """Aval (or avals) of the result."""
        raise NotImplementedError(self.name)

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The result, as an array of exactly the inferred aval (a tuple of them for several results)."""
        raise NotImplementedError(self.name)

    def calculation(self, avals: Sequence[Aval], params: Params) -> Callable[..., Any]:
        """`evaluate` for operands of these avals, as a function of the arrays alone: for what is computed many times."""
        return partial(self.evaluate, **dict(params)) if params else self.evaluate

    def into(self, avals: Sequence[Aval], params: Params) -> Into | None:
        """`evaluate` for operands of these avals, written into memory that is there; None where the op makes its own."""
        return None

    def of_size(self, size: int) -> Op:
        """The op for a result of so many elements as a whole: it is to compute each piece of that in the same way."""
        return self

    def unguarded(self, params: Params) -> tuple[Op, Params]:
        """The op without strong zeros: equal to this one wherever its result is finite."""
        return self, params

    def cuts(
        self, axis: int, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> tuple[int | None, ...] | None:
        """What a piece of the result along `axis` (counted from 0) is computed from.

        For each operand the axis along which the same piece of it is enough, None where it is needed as a whole; None
        alone if the result has no such pieces. By default only elementwise ops do.
        """
        if not self.elementwise:
            return None
        return tuple(axis if a.shape else None for a in operands)

    def piece(self, axis: int, n: int, result: Aval, /, **params: Any) -> Mapping[str, Any]:
        """The params for a piece of n entries of the result along `axis`, for an op that has some of its shape in them."""
        return params

    def summed(
        self, operands: Sequence[Aval], result: Aval, /, **params: Any
    ) -> Sequence[tuple[int | None, ...]]:
        """Ways in which the result is the sum of results for pieces: for each operand the axis along which it is cut."""
        return ()

    def expand(self, e: Entries, *positions: Positions, **params: Any) -> Positions | None:
        """The op number by number: positions of the result's entries, which `e` writes from those of the operands.

        None, the default, for an op that has no such form; where its derivative there is another than that of the entries
        written, they have a kink there or are not finite. Elementwise ops need not say it (their row of the tape's table
        does), and ops that only move entries do it with `evaluate`.
        """
        return self.evaluate(*positions, **params) if self.moves else None

    def evaluate_in(self, b: EagerBuilder, *arrays: Any, **params: Any) -> Any:
        """`evaluate` for an op that holds subgraphs: they are computed with `b.run`."""
        raise NotImplementedError(self.name)

    def jvp(self, y: Any, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any) -> Any:
        """Tangent of the result for `General` operands: `dxs[k]` is the tangent of operand k, None where it is zero.

        `y` is the result (a tuple for several results, and so is what is returned).
        """
        raise NotImplementedError(self.name)

    def push(
        self, b: Builder, xs: Sequence[Var], dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """Tangents of the results of an op with `Subgraph` operands; None where zero."""
        raise NotImplementedError(self.name)

    def push_from(
        self, b: Builder, xs: Sequence[Var], ys: Any, dxs: Sequence[Var | None], **params: Any
    ) -> list[Var | None]:
        """`push` for an op whose tangents are written with its results: `ys` is the builder's reference to the node."""
        return self.push(b, xs, dxs, **params)

    def pull(
        self,
        b: Builder,
        xs: Sequence[Var],
        ys: Any,
        cts: Sequence[Var | None],
        wanted: Sequence[int],
        **params: Any,
    ) -> list[Var | None]:
        """Cotangents of the operands `wanted` of an op with `Subgraph` operands.

        `ys` is the builder's reference to the node; `cts` are the cotangents of its results, None where zero.
        """
        raise NotImplementedError(self.name)

    def taylor(
        self, b: GraphBuilder, order: int, xs: Sequence[Sequence[Var | None]], **params: Any
    ) -> list[list[Var | None]] | None:
        """Taylor coefficients 0 … order of the results of an op with `Subgraph` operands, from those of the operands.

        None (the coefficient, if it is zero; the whole, where the op has no rule of its own and forward mode serves).
        """
        return None

    def vmap(
        self, b: GraphBuilder, size: int, operands: Sequence[Var], mapped: Sequence[bool], **params: Any
    ) -> Any:
        """Reference to the op over operands of which those in `mapped` lead with a batch axis of `size`.

        None, the default, is re-inference: every operand is given that axis, and the op is inferred again
        (`transforms.vmap`). Only an op that cannot simply gain an axis writes this.
        """
        return None

    def guard(self, params: Mapping[str, Any], dtype: DType) -> Mapping[str, Any] | None:
        """The params when a boolean scalar is appended to the operands of an op with subgraphs: while it is false, no loop
        inside that may go on for ever takes a step. None, the default, for an op that has no use for it."""
        return None

    def batched(self, size: int, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The params when every operand has one more leading axis of `size`; shape-like params gain it in front."""
        return params

    def flops(self, operands: Sequence[Aval], result: Avals, **params: Any) -> float:
        """Floating-point operations, roughly: by default one for each element in or out."""
        first = result if isinstance(result, Aval) else (result[0] if result else Aval((), "float64"))
        return float(max([first.size, *(a.size for a in operands)]))

    def inside(self, **params: Any) -> list[tuple[Any, int]]:
        """The graphs that an op with subgraphs computes, and how often at most (a loop has a `length`)."""
        return [(p, params.get("length", 1)) for p in params.values() if hasattr(p, "nodes")]

    def trouble(self, results: Sequence[Array], **params: Any) -> str | None:
        """Why the results of an op that has several are not finite, where the op itself knows (a root not found)."""
        return None

    def workspace(self, operands: Sequence[Aval], result: Avals, **params: Any) -> int:
        """Bytes that computing the op takes for its duration, beside operands, result, and the graphs it holds."""
        return 0

    def kink(self, arrays: Sequence[Array], y: Array, **params: Any) -> Array | None:
        """Mask of the places where `convention` was used instead of a derivative; None where there are none."""
        return None

    def kinked(self, arrays: Sequence[Array], y: Array, **params: Any) -> bool:
        """Whether `kink` may hold somewhere, for an op that can tell faster: yes too often, never too seldom."""
        mask = self.kink(arrays, y, **params)
        return mask is not None and bool(np.any(mask))

    def kink_met(self, arrays: Sequence[Array], y: Any, derivative: Any, **params: Any) -> Array | None:
        """As `kink`, for an op where that depends on the cotangent or tangent of the result, or that has several results.

        `derivative` is that of the result: for an op of several a list, with None where it is zero.
        """
        return None

    def singular(self, arrays: Sequence[Array], **params: Any) -> Array | None:
        """Mask of the members of a stack that cannot be factored, for an op that is NaN there; None if there are none."""
        return None

    def strong_partial(self, k: int, params: Mapping[str, Any]) -> bool:
        """Whether the partial derivative for operand k is itself a strong zero (the other factor of a strong product)."""
        return False

    def rule(self, k: int) -> Rule:
        """The derivative rule of core operand `k`."""
        return self.rules[k] if k < len(self.rules) else self.rules[-1]

    def __repr__(self) -> str:
        return f"<op {self.name}>"


# ------------------------------------------------------------------------------------------------------------- registry

NAMESPACES: dict[str, str] = {
    "np": "numpy",
    "numpy": "numpy",
    "jnp": "numpy",
    "jax.numpy": "numpy",
    "math": "math",
    "np.linalg": "numpy.linalg",
    "numpy.linalg": "numpy.linalg",
    "jnp.linalg": "numpy.linalg",
    "linalg": "numpy.linalg",
    "special": "scipy.special",
    "scipy.special": "scipy.special",
    "sp": "scipy.special",
    "sp.special": "scipy.special",
    "scipy.linalg": "scipy.linalg",
    "sla": "scipy.linalg",
}
"""Module prefixes that program text may put before a name, and the library they mean."""


class Registry:
    """The ops by name. Filled while `engine.ops` is imported, only read after that."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}
        self._names: dict[str, Op] = {}
        self._folded: dict[str, Op] = {}
        self._qualified: dict[str, tuple[Op, Spelling]] = {}
        self._refused: dict[str, tuple[str, tuple[str, ...]]] = {}

    @property
    def refused(self) -> Mapping[str, tuple[str, tuple[str, ...]]]:
        """Functions of other libraries that are no ops here: why, and what is there instead."""
        return self._refused

    def refuse(self, name: str, reason: str, instead: tuple[str, ...] = ()) -> None:
        """Say of a function that people look for why it is no op, and what is."""
        self._refused[name] = (reason, instead)

    def add(self, op: Op) -> Op:
        """Register an op under its name and aliases; a name that is taken is a programming error."""
        if op.name in self._ops:
            raise ValueError(f"op {op.name} is registered twice")
        self._ops[op.name] = op
        if op.internal:
            return op
        for name in (op.name, *op.aliases):
            if name in self._names:
                raise ValueError(f"op name {name} is taken by {self._names[name].name} (adding {op.name})")
            self._names[name] = op
            self._folded.setdefault(name.lower(), op)
        for qualified, spelling in op.spellings.items():
            self._qualified[qualified] = (op, spelling)
        return op

    def core(self, name: str) -> Op:
        """The op of exactly this name, internal ones included."""
        return self._ops[name]

    def get(self, name: str) -> Op | None:
        """The op of this name or alias, in any case; None if there is none (without a search for what was meant)."""
        return self._names.get(name) or self._folded.get(name.lower())

    def find(self, name: str, namespace: str = "") -> tuple[Op, Spelling]:
        """The op that a user means by `name`, behind a module prefix or bare.

        Raises `UnknownOp` with the nearest names, or with the reason why there is none.
        """
        if namespace:
            qualified = self._qualified.get(f"{namespace}.{name}")
            if qualified is not None:
                return qualified
        op = self.get(name)
        if op is None:
            reason, instead = self._refused.get(name, ("", ()))
            if reason:
                raise UnknownOp(reason, suggestions=instead)
            near = self._near(name)
            hint = f" Did you mean {' or '.join(near)}?" if near else " GET /v1/ops lists the catalogue."
            raise UnknownOp(f"There is no op {quoted(name)}.{hint}", suggestions=near)
        return op, _PLAIN

    def _near(self, name: str) -> tuple[str, ...]:
        """Up to three names that may have been meant, of different ops."""
        found: dict[Op, str] = {}
        for candidate in nearest(name, self._names, 8):
            found.setdefault(self._names[candidate], candidate)
        return tuple(found.values())[:3]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[Op]:
        """The ops that users can name, in the order in which they were registered."""
        return (op for op in self._ops.values() if not op.internal)

    def everything(self) -> Iterator[Op]:
        """All ops, internal ones included."""
        return iter(self._ops.values())


_PLAIN = Spelling()
registry = Registry()
"""The catalogue. Immutable once `engine.ops` is imported."""


# -------------------------------------------------------------------------------------------------------------- binding


@dataclass(slots=True)
class Bound:
    """Arguments sorted to an op's parameters: operands in the op's order (None where absent), attributes by name."""

    operands: list[Any]
    attrs: dict[str, Any]


def bind(
    op: Op,
    positional: Sequence[Any],
    keywords: Mapping[str, Any],
    *,
    spelling: Spelling = _PLAIN,
) -> Bound:
    """Sort the arguments of a call to the parameters, as Python does: `sum(x, 0, keepdims=True)`.

    A variadic operand takes a list given in its place, or all that is left. Attribute values are not checked here
    (`check_attrs`), since only the caller knows how to report them. Raises `Arity` and `InvalidAttribute`.
    """
    parameters = spelling.parameters if spelling.parameters is not None else op.parameters
    given: dict[str, Any] = {}
    queue = list(positional)
    variadic = next((p for p in parameters if isinstance(p, Operand) and p.variadic), None)
    for p in parameters:
        if not queue:
            break
        if isinstance(p, Operand) and p.variadic:
            if isinstance(queue[0], (list, tuple)):
                given[p.name] = list(queue.pop(0))
            else:
                given[p.name], queue = queue, []
        elif isinstance(p, Operand) or not p.keyword_only:
            given[p.name] = queue.pop(0)
    if queue:
        most = sum(1 for p in parameters if isinstance(p, Operand) or not p.keyword_only)
        raise Arity(
            f"{op.name} takes at most {most} arguments {signature(op, spelling)}; {len(positional)} were given."
        )
    by_name = {n: p for p in parameters for n in (p.name, *p.aliases)}
    for name, value in keywords.items():
        parameter = by_name.get(name)
        if parameter is None:
            near = nearest(name, by_name)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InvalidAttribute(
                f"{op.name} has no argument {quoted(name)}.{hint} Its arguments are {signature(op, spelling)}.",
                suggestions=near,
            )
        if parameter.name in given:
            raise Arity(f"{op.name} got two values for its argument {parameter.name}.")
        given[parameter.name] = value
    bound = Bound([], {})
    for p in op.parameters:
        value = given.get(p.name, spelling.defaults.get(p.name, REQUIRED))
        if isinstance(p, Attr):
            if value is REQUIRED and p.default is REQUIRED:
                raise Arity(f"{op.name} needs its argument {p.name}: {signature(op, spelling)}.")
            if value is not REQUIRED:
                bound.attrs[p.name] = value
        elif p.variadic:
            many = [] if value is REQUIRED else list(value)
            if len(many) < p.least:
                raise Arity(
                    f"{op.name} needs at least {p.least} operand{'s' * (p.least != 1)}; {len(many)} given."
                )
            bound.operands.extend(many)
        elif value is REQUIRED or (value is None and p.optional):
            if not p.optional:
                raise Arity(f"{op.name} needs its operand {p.name}: {signature(op, spelling)}.")
            bound.operands.append(None)
        else:
            bound.operands.append(value)
    if variadic is None:
        while bound.operands and bound.operands[-1] is None:
            bound.operands.pop()
    return bound


def check_attrs(op: Op, attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in canonical form, those that equal their default left out (so that equal calls are equal).

    Raises `InvalidAttribute` naming the attribute, its value and what it may be.
    """
    known = {a.name: a for a in op.attrs}
    result: dict[str, Any] = {}
    for name, value in attrs.items():
        checked = check_attr(op, known[name], value)
        if not is_default(known[name], checked):
            result[name] = checked
    return result


def check_attr(op: Op, attr: Attr, value: Any) -> Any:
    """One attribute in canonical form. Raises `InvalidAttribute`."""
    try:
        return attr.kind.check(value)
    except ValueError as wrong:
        raise InvalidAttribute(f"{op.name}: {attr.name} must be {attr.kind.name}; {wrong}.") from None


def is_default(attr: Attr, checked: Any) -> bool:
    """Whether a canonical value says no more than leaving the attribute out."""
    return (
        attr.default is not REQUIRED and type(checked) is type(attr.default) and bool(checked == attr.default)
    )


def signature(op: Op, spelling: Spelling = _PLAIN) -> str:
    """The parameters as one reads them in Python: `(x, axis=None, keepdims=False)`."""
    shown = []
    star = False
    for p in spelling.parameters if spelling.parameters is not None else op.parameters:
        if isinstance(p, Operand):
            shown.append(f"{'*' if p.variadic else ''}{p.name}{'=None' if p.optional else ''}")
        else:
            if p.keyword_only and not star:
                shown.append("*")
                star = True
            default = spelling.defaults.get(p.name, p.default)
            shown.append(p.name if default is REQUIRED else f"{p.name}={default!r}")
    return f"({', '.join(shown)})"
