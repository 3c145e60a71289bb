"""Calls, methods and attributes: what is looked up among the ops, and the few that are no ops."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any

import numpy as np

from engine.errors import Arity, EngineError, SyntaxProblem, UnknownOp, Unsupported, nearest, quoted
from engine.language.arguments import Given, arguments, given_up, make
from engine.language.control import CONTROL
from engine.language.fold import EXACT, NUMBERS, Folded, is_literal
from engine.language.functions import Apply, Argument, OpFunction, visible_helpers
from engine.language.hints import Refused
from engine.language.indexing import general_index, update, updated, write
from engine.language.names import (
    BUILTIN_DTYPES,
    DTYPES,
    MODULE_CONSTANTS,
    MODULES,
    OTHERWISE,
    needless,
    no_method,
    unknown_constant,
)
from engine.language.packed import PACKED, packed, with_triangle
from engine.language.syntax import Attribute, Call, Display, Index, Name
from engine.language.values import Free, Function, Ref, Several, Tuple, Unset, Value
from engine.language.walker import GETITEM, IDENTITY, Static, Walk, Walker, walks
from engine.op import Op, Spelling, registry
from engine.program import BODY, CONSTANT, INPUT, ITEM

ARRAYS = frozenset({"array", "asarray", "asanyarray", "ascontiguousarray", "tensor"})
PROPERTIES = {
    "T": "permute_dims", "mT": "matrix_transpose", "shape": "shape", "ndim": "ndim", "size": "size", "real": "identity",
}  # fmt: skip
SPREAD = frozenset({"reshape", "permute_dims", "broadcast_to", "expand_dims", "squeeze", "tile", "flip"})
"""Ops whose methods take a shape or axes as several arguments: `x.reshape(3, -1)`, `x.transpose(1, 0)`."""
PLACES = registry.refused["nonzero"][0].replace("of nonzero(x)", "of where(mask) without x and y")
"""Why there is no `np.where` of a mask alone."""
NAMED_FLOATS = {"inf": np.inf, "infinity": np.inf, "nan": np.nan}


@walks(Call)
def _call(walker: Walker, node: Call) -> Walk:
    function = node.function
    if type(function) is Name:
        bound = walker.settled(walker.peek(function.name))
        if isinstance(bound, Function):
            return (yield from _applied(walker, node, bound))
        if type(bound) is Free:
            return (yield from called(walker, node, bound.name, ""))
        if type(bound) is Unset and function.name in walker.helpers:
            return (yield from given_up(walker, node, UnknownOp(bound.why)))
        name, library = walker.modules.functions.get(function.name, (function.name, ""))
        return (yield from called(walker, node, name, library))
    if type(function) is Attribute:
        try:
            resolved = walker.modules.resolve(function)
        except Refused as refused:
            wrong = Call(refused.at, function, node.positional, node.keywords)
            return (yield from given_up(walker, wrong, SyntaxProblem(refused.detail)))
        if resolved is not None:
            module, name = resolved
            return (yield from called(walker, node, name, MODULES[module]))
        updating = updated(node)
        if updating is not None:
            return (yield from update(walker, node, *updating))
        return (yield from _method(walker, node, function))
    if type(function) is Call or type(function) is Index:
        value = yield function
        if isinstance(value, Function):
            return (yield from _applied(walker, node, value))
        if type(value) is Ref and value.bad:
            for argument in (*node.positional, *(k.value for k in node.keywords)):
                yield Argument(argument)
            return value
    return (
        yield from given_up(
            walker,
            node,
            SyntaxProblem("Only names of functions can be called. If a product is meant, write its `*`."),
        )
    )


def _applied(walker: Walker, node: Call, function: Function) -> Generator[Any, Any, Value]:
    """A call of a function that is a value."""
    values: list[Value] = [None] * len(node.positional)
    for k, argument in enumerate(node.positional):
        values[k] = yield Argument(argument)
    keywords: dict[str, tuple[Value, int]] = {}
    for keyword in node.keywords:
        if keyword.name in keywords:
            error = Arity(f"{function.title}: the argument {keyword.name} is given twice.")
            walker.recorder.mistake(error, keyword.at)
        keywords[keyword.name] = (yield Argument(keyword.value)), keyword.value.at
    result = yield Apply(function, values, node.at, keywords, [a.at for a in node.positional])
    return result  # type: ignore[no-any-return]  # any value


def called(walker: Walker, node: Call, name: str, library: str) -> Generator[Any, Any, Value]:
    """A call of what a name means: a function of functions, an op, or one of the few that are neither."""
    if name in CONTROL and library in ("", "numpy"):
        made: Value = yield from CONTROL[name](walker, node)
        return made
    if name == "len" and not library:
        return (yield from _length(walker, node))
    if name in ARRAYS or (name in DTYPES and (library or name in BUILTIN_DTYPES)):
        return (yield from _array(walker, node, name))
    if not library and name in ("max", "min") and len(node.positional) > 1:
        error = SyntaxProblem(
            f"{name} with several arguments is ambiguous: the {'larger' if name == 'max' else 'smaller'} of two is "
            f"{name}imum(x, y), the {name}imum along an axis is {name}(x, axis=0).",
            suggestions=(f"{name}imum",),
        )
        return (yield from given_up(walker, node, error))
    index = general_index(node, name)
    if index is not None:
        return (yield from write(walker, node, index, name))
    if name == "where" and len(node.positional) == 1 and not node.keywords:
        return (yield from given_up(walker, node, UnknownOp(PLACES)))
    told = OTHERWISE.get(library, {}).get(name)
    if told is None and library == "torch" and name in ("max", "min") and _more_than_one(node):
        told = (
            f"torch.{name} of two arrays is {name}imum(x, y), and along a dim it gives values and indices; here "
            f"{name}(x, axis) gives the values, arg{name}(x, axis) the indices."
        )
    found = UnknownOp(told) if told is not None else _find(walker, node, name, library)
    if isinstance(found, EngineError):
        return (yield from given_up(walker, node, found))
    op, spelling = found
    if op.name in PACKED and node.positional:
        return (yield from packed(walker, node, op, spelling))
    made = yield from arguments(walker, node, op, spelling)
    return with_triangle(walker, node, made) if op.name == "cho_factor" else made


def _more_than_one(node: Call) -> bool:
    return len(node.positional) + len(node.keywords) > 1


def _method(walker: Walker, node: Call, function: Attribute) -> Generator[Any, Any, Value]:
    """`x.sum(0)`: the op with the array before its other arguments."""
    told = no_method(function.name)
    if told is not None:
        return (yield from given_up(walker, node, UnknownOp(told)))
    receiver = yield function.value
    if function.name == "item" and not node.positional and not node.keywords:
        return make(walker, registry.core("reshape"), [receiver], {"shape": []}, node.at, [function.value.at])
    found = _find(walker, node, function.name, "numpy", method=True)
    if isinstance(found, EngineError):
        return (yield from given_up(walker, node, found))
    op, spelling = found
    receiver = walker.array(receiver, function.value.at)
    parameters = spelling.parameters if spelling.parameters is not None else op.parameters
    if not parameters or parameters[0] not in op.operands:
        error = SyntaxProblem(f"{op.name} is no method of an array: write {function.name}(…).")
        return (yield from given_up(walker, node, error))
    if op.name in SPREAD and len(node.positional) > 1:
        shape = Display(node.positional[0].at, node.positional, True)
        node = Call(node.at, function, [shape], node.keywords)
    return (yield from arguments(walker, node, op, spelling, [Given(receiver, function.value.at)]))


@cache
def _folded_names() -> frozenset[str]:
    """All names of ops in small letters: what `Registry.find` knows."""
    return frozenset(name.lower() for op in registry for name in (op.name, *op.aliases))


def _find(
    walker: Walker, node: Call, name: str, library: str, method: bool = False
) -> tuple[Op, Spelling] | EngineError:
    """The op of a name, or what is wrong with it."""
    told = None if name in registry and registry.find(name)[0] is not INPUT else needless(name)
    if told:
        return UnknownOp(told)
    if walker.recorder.full and name.lower() not in _folded_names():
        return UnknownOp(
            f"There is no op {quoted(name)}."
        )  # is counted only: looking for similar names would cost
    try:
        op, spelling = registry.find(name, library)
    except UnknownOp as error:
        if method:
            error.detail = f"Arrays have no method {quoted(name)}. {error.detail}"
        elif name not in walker.helpers and walker.knows(name):
            error.detail = (
                f"{quoted(name)} is a variable, no function: if a product is meant, write {name}*(…)."
            )
        elif name in walker.helpers:
            error.detail = f"{quoted(name)} is defined further down: its `def` must come before it is used."
        else:
            near = nearest(name, visible_helpers(walker)) if not walker.recorder.full else ()
            if near:
                error.detail = f"There is no op {quoted(name)}. Did you mean {' or '.join(near)}?"
                error.suggestions = (*near, *error.suggestions)
            if len(name) <= 2:
                error.detail += f" If a product is meant, write {name}*(…)."
        return error
    if op in (INPUT, CONSTANT, ITEM):
        return UnknownOp(f"{op.name} is not needed in program text: write the name, the number, or an index.")
    if any(a.kind is BODY for a in op.attrs):
        return Unsupported(f"{op.name} takes bodies, which only a JSON graph can give it.")
    return op, spelling


# ------------------------------------------------------------------------------------- len(x), np.array(…), float(…)


def _length(walker: Walker, node: Call) -> Generator[Any, Any, Value]:
    """`len(x)`, the size of axis 0: two nodes, as `x.shape[0]`."""
    if len(node.positional) != 1 or node.keywords:
        return (yield from given_up(walker, node, Arity("len takes one array.")))
    value = yield node.positional[0]
    if type(value) is Tuple:
        return len(value.items)
    if type(value) is Several and value.count is not None:
        return value.count
    if isinstance(value, np.ndarray) and value.ndim:
        return len(value)
    if not isinstance(value, Ref | np.ndarray):
        walker.operand(value, node.positional[0].at)
        walker.recorder.wrong(node.at, "A number has no length: len takes an array.")
        return 0
    shape = make(walker, registry.core("shape"), [value], {}, node.at, [node.positional[0].at])
    return make(walker, GETITEM, [shape], {"index": [0]}, node.at, [node.at])


def _array(walker: Walker, node: Call, name: str) -> Generator[Any, Any, Value]:
    """`np.array([…])` is the list's node; of a node it is its identity. `float(x)`, `np.int64(x)` convert."""
    named = {k.name: k for k in node.keywords}
    unknown = next((k for k in node.keywords if k.name != "dtype" or name in DTYPES), None)
    most = 1 if name in DTYPES else 2
    if (
        unknown is not None
        or not 1 <= len(node.positional) <= most
        or len(node.positional) + len(named) > most
    ):
        takes = "one value" if name in DTYPES else "a value and a dtype"
        return (yield from given_up(walker, node, SyntaxProblem(f"{name} takes {takes} here.")))
    inner = node.positional[0]
    value = walker.array((yield inner), inner.at)
    dtype: Any = DTYPES.get(name)
    wanted = node.positional[1] if len(node.positional) > 1 else named["dtype"].value if named else None
    if wanted is not None:
        dtype = yield Static(wanted)
        dtype = DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype
        if dtype is not None and dtype not in DTYPES.values():
            walker.recorder.wrong(wanted.at, "dtype must be float, int or bool (or np.float64, np.int64, …).")
            dtype = None
    if isinstance(value, str) and dtype in ("float64", "float32"):
        number = NAMED_FLOATS.get(value.strip().lower().lstrip("+-"))
        if number is not None:
            return -number if value.strip().startswith("-") else number
    if is_literal(value):
        return _converted(value, dtype)  # type: ignore[arg-type]  # is_literal has told
    if name in DTYPES or (dtype is not None and not dtype.startswith("float")):
        return make(walker, registry.core("astype"), [value], {"dtype": dtype}, node.at, [inner.at])
    if type(inner) is Display:
        return value
    return make(walker, IDENTITY, [value], {}, node.at, [inner.at])


def _converted(value: Folded, dtype: str | None) -> Folded:
    """A literal in another dtype."""
    if dtype is None:
        return value
    if not isinstance(value, NUMBERS):
        kind = bool if dtype == "bool" else np.int64 if dtype == "int64" else np.float64
        return np.asarray(value).astype(kind)
    if dtype == "bool":
        return bool(value)
    number = float(value)
    if dtype != "int64":
        return number
    whole = float(np.trunc(number))
    return int(whole) if abs(whole) < EXACT else whole


# ------------------------------------------------------------------------------------------------------ x.name, np.name


@walks(Attribute)
def _attribute(walker: Walker, node: Attribute) -> Walk:
    recorder = walker.recorder
    try:
        resolved = walker.modules.resolve(node)
    except Refused as refused:
        recorder.wrong(refused.at, refused.detail, refused.suggestions)
        return 0.0
    if resolved is not None:
        return _constant(walker, node, *resolved)
    value = walker.array((yield node.value), node.value.at)
    name = node.name
    if type(value) is Ref and value.bad:
        return walker.placeholder(node.at)
    if type(value) is Several:
        fields = [r.lower() for r in value.op.results]
        if name.lower() in fields:
            return walker.item(value, fields.index(name.lower()), node.at)
        shown = ", ".join(value.op.results)
        recorder.wrong(
            node.at, f"{value.op.name} has the results {shown}; there is no {quoted(name)}. Unpack them."
        )
        return walker.placeholder(node.at)
    op = PROPERTIES.get(name)
    if op is None:
        near = () if recorder.full else nearest(name, PROPERTIES)
        if name in registry:
            detail, near = f"{quoted(name)} is a method: call it, x.{name}(…).", (name,)
        elif name == "imag":
            detail = "Complex numbers are not offered: every array is real."
        else:
            hint = f" Did you mean {near[0]}?" if near else ""
            detail = (
                f"Arrays have no attribute {quoted(name)}; they have .T, .mT, .shape, .ndim and .size.{hint}"
            )
        recorder.wrong(node.at, detail, near)
        return walker.placeholder(node.at)
    return make(walker, registry.core(op), [value], {}, node.at, [node.value.at])


def _constant(walker: Walker, node: Attribute, module: str, name: str) -> Value:
    """`np.pi`, `np.newaxis`, `np.float64`."""
    if name in MODULE_CONSTANTS:
        return MODULE_CONSTANTS[name]
    if name in DTYPES:
        return DTYPES[name]
    if registry.get(name) is not None:
        return OpFunction(name, MODULES[module])
    known = [n for op in registry for n in (op.name, *op.aliases)] if not walker.recorder.full else []
    detail, near = unknown_constant(module, name, known)
    walker.recorder.wrong(node.at, detail, near)
    return walker.placeholder(node.at)
