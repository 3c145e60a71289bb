"""`x[…]`: integers, slices, `...`, None, lists, arrays; and one result of an op that has several."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from engine.attrs import MAX_LISTED
from engine.errors import SyntaxProblem, nearest, quoted
from engine.language.arguments import given_up, make
from engine.language.recorder import BodyRecorder
from engine.language.syntax import Attribute, Call, Constant, Display, Expression, Index, Name, Slice
from engine.language.values import Ref, Several, Tuple, Value
from engine.language.walker import GETITEM, STACK, Static, Walk, Walker, walks
from engine.op import registry
from engine.program import Literal

ASTYPE = registry.core("astype")
SETITEM = registry.core("setitem")

UPDATES = {"set": "set", "add": "add", "multiply": "mul", "mul": "mul", "max": "max", "min": "min"}
"""Methods of `x.at[index]`, and the mode of `setitem` that each is."""

WRITES = {"scatter_set": "set", "scatter_add": "add"}
"""Functions whose second argument may be any index, written as a tuple or with slices."""


@walks(Index)
def _index(walker: Walker, node: Index) -> Walk:
    value = yield node.value
    index = yield from _parts(walker, node.items)
    if type(value) is Several:
        return _result(walker, value, index, node.at)
    if type(value) is Tuple:
        one = _element(walker, value, index, node.at)
        if one is not None:
            return one
        value = walker.array(value, node.value.at)
    if isinstance(value, str):
        walker.recorder.wrong(node.at, "A string has no elements here: strings are arguments only.")
        return walker.placeholder(node.at)
    return make(walker, GETITEM, [value], {"index": index}, node.at, [node.value.at])


def _parts(walker: Walker, items: Sequence[Expression | Slice]) -> Generator[Any, Any, list[Any]]:
    """The parts of an index, evaluated: a single tuple is all of them."""
    if len(items) == 1:
        only = items[0]
        if type(only) is Display and only.is_tuple:
            items = list(only.items)
    index: list[Any] = []
    for item in items:
        written = _slice_call(item)
        if isinstance(written, Slice):
            parts = {}
            for name, part in (("start", written.start), ("stop", written.stop), ("step", written.step)):
                parts[name] = None if part is None else (yield Static(part))
            index.append(_window(walker, parts, written.at))
        else:
            part = yield Static(written)
            if type(part) is Several and part.count is not None and len(items) == 1:
                # The results of an op as a tuple: x[tril_indices(n)].
                index += [walker.item(part, k, written.at) for k in range(part.count)]
            else:
                index.append(_item(walker, part, written.at))
    return index


def _slice_call(item: Expression | Slice) -> Expression | Slice:
    """`slice(1, None, 2)` as 1::2; anything else as it is."""
    if type(item) is not Call or type(item.function) is not Name or item.function.name != "slice":
        return item
    if item.keywords or not 1 <= len(item.positional) <= 3:
        return item
    given = [None if type(a) is Constant and a.value is None else a for a in item.positional]
    if len(given) == 1:
        given = [None, *given]
    return Slice(item.at, *given, *[None] * (3 - len(given)))


def updated(node: Call) -> tuple[Expression, list[Expression | Slice]] | None:
    """The array and the index of `x.at[index].set(…)`; None for any other call."""
    function = node.function
    if type(function) is not Attribute or type(function.value) is not Index:
        return None
    at = function.value.value
    return (at.value, function.value.items) if type(at) is Attribute and at.name == "at" else None


def update(
    walker: Walker, node: Call, array: Expression, items: list[Expression | Slice]
) -> Generator[Any, Any, Value]:
    """The walk over `x.at[index].set(value)`."""
    assert type(node.function) is Attribute
    method = node.function.name
    if method == "get" and not node.positional and not node.keywords:
        found: Value = yield Index(node.at, array, items)
        return found
    mode = UPDATES.get(method)
    if mode is None or len(node.positional) != 1 or node.keywords:
        told = (
            f"x.at[…] has no method {quoted(method)}: there are set, add, multiply, max, min (with one value) and get."
            if mode is None
            else f"x.at[…].{method} takes one value."
        )
        return (yield from given_up(walker, node, SyntaxProblem(told, suggestions=nearest(method, UPDATES))))
    return (yield from _written(walker, node, array, items, node.positional[0], mode))


def general_index(node: Call, name: str) -> list[Expression | Slice] | None:
    """The parts of the index in `scatter_set(x, (0, 1), value)`; None where it is one integer or array."""
    if name not in WRITES or len(node.positional) != 3 or node.keywords:
        return None
    index = node.positional[1]
    if type(index) is Index and type(index.value) is Attribute and index.value.name in ("s_", "index_exp"):
        return index.items
    if type(index) is Display and index.is_tuple:
        return [index]
    single = type(index) is Constant and (index.value is None or index.value is Ellipsis)
    return [index] if single or isinstance(_slice_call(index), Slice) else None


def write(
    walker: Walker, node: Call, items: list[Expression | Slice], name: str
) -> Generator[Any, Any, Value]:
    """The walk over `scatter_set(x, index, value)` with an index of any kind."""
    array, _, value = node.positional
    return (yield from _written(walker, node, array, items, value, WRITES[name]))


def _written(
    walker: Walker,
    node: Call,
    array: Expression,
    items: Sequence[Expression | Slice],
    new: Expression,
    mode: str,
) -> Generator[Any, Any, Value]:
    x = yield array
    index = yield from _parts(walker, items)
    value = yield new
    return make(walker, SETITEM, [x, value], {"index": index, "mode": mode}, node.at, [array.at, new.at])


def _window(walker: Walker, parts: dict[str, Any], at: int) -> Any:
    """`i:i + 3` in a loop: three entries from a computed place on, as an index array. Any other slice as it is.

    Where both bounds are known when the shapes are, this is a slice like others; but in a loop, the counter is not.
    """
    start, stop, step = parts["start"], parts["stop"], parts["step"]
    if not isinstance(walker.recorder, BodyRecorder) or step not in (None, 1):
        return parts
    first, last = _offset(walker, start), _offset(walker, stop)
    if first is None or last is None or first[0] != last[0] or not walker.recorder.moves(first[0]):
        return parts
    count = max(0, min(last[1] - first[1], MAX_LISTED))
    return walker.operate("+", Ref(walker.recorder, first[0]), np.arange(count) + first[1], at, at, at)


def _offset(walker: Walker, value: Any) -> tuple[int, int] | None:
    """A computed integer as another one plus a number: (position, number); None for what is no node."""
    if type(value) is not Ref or value.home is not walker.recorder:
        return None
    index, total = value.index, 0
    while index >= 0:
        op, operands, _, _ = walker.recorder.node(index) or (None, (), {}, 0)
        name = op.name if op is not None else ""
        if name not in ("add", "subtract") or len(operands) != 2:
            break
        a, b = operands
        if type(a) is not int and name == "add":
            a, b = b, a
        if type(a) is not int or not isinstance(b, Literal) or b.value.ndim or not b.integral:
            break
        total += int(b.value) if name == "add" else -int(b.value)
        index = a
    return index, total


def _item(walker: Walker, item: Any, at: int) -> Any:
    """An item of the index; a list in which nodes stand becomes an array."""
    if isinstance(item, str):
        walker.recorder.wrong(at, "A string cannot be an index: arrays are indexed by numbers.")
        return 0
    if type(item) is Several:
        walker.recorder.wrong(
            at, f"{item.op.name} has several results: an index takes one of them, such as [0]."
        )
        return 0
    if type(item) is list and any(type(v) is Ref for v in item):
        operands = [walker.operand(v, at) for v in item]
        return Ref(walker.recorder, walker.recorder.emit(STACK, operands, {}, at))
    if type(item) is Ref and item.whole:
        return make(walker, ASTYPE, [item], {"dtype": "int64"}, at, [at])
    return item


def _element(walker: Walker, value: Tuple, index: list[Any], at: int) -> Value:
    """One value of a tuple; None where the index means the array that a tuple is, too."""
    k = index[0] if len(index) == 1 else None
    if not isinstance(k, int) or isinstance(k, bool):
        return None
    if not -len(value.items) <= k < len(value.items):
        walker.recorder.wrong(
            at, f"This tuple has {len(value.items)} values; there is none with the index {k}."
        )
        return walker.placeholder(at)
    part = value.items[k]
    return walker.local(part) if type(part) is Ref else part


def _result(walker: Walker, source: Several, index: list[Any], at: int) -> Value:
    """`qr(A)[0]`."""
    k = index[0] if len(index) == 1 else None
    if not isinstance(k, int) or isinstance(k, bool):
        walker.recorder.wrong(at, f"{source.op.name} has several results: take one by a number, such as [0].")
        return walker.placeholder(at)
    if source.count is not None and not -source.count <= k < source.count:
        walker.recorder.wrong(
            at, f"{source.op.name} has {source.count} results; there is none with the index {k}."
        )
        return walker.placeholder(at)
    return walker.item(source, k % source.count if source.count else k, at)
