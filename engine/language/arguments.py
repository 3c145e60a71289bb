"""Arguments of a call: sorted to the op's parameters, evaluated in the order in which they are written, made a node.

What stands where an array belongs becomes an operand. What stands where a static argument belongs must be a literal,
or a name bound to one; where the op can do with less (a shape, an index), a node becomes a further operand that the
argument refers to.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from engine.attrs import INDEX
from engine.errors import Arity, EngineError, InvalidAttribute
from engine.language.fold import is_literal
from engine.language.syntax import Call, Constant, Display, Expression, Syntax
from engine.language.values import UNKNOWN, Ref, Several, Tuple, Value
from engine.language.walker import GETITEM, Static, Walk, Walker, walks
from engine.op import InputRef, Op, Operand, Spelling, bind, check_attrs
from engine.program import Argument

STARRED = frozenset({"einsum", "meshgrid", "broadcast_arrays", "block_diag"})
"""Ops that NumPy gives their arrays one by one: `meshgrid([1, 2])` has one operand, `stack([x, y])` has two."""

SECTIONS = ("indices_or_sections", "sections", "split_size_or_sections")


class Given(Syntax):
    """A value in the place of an argument: the array whose method is called."""

    __slots__ = ("value",)

    def __init__(self, value: Value, at: int) -> None:
        self.value = value
        self.at = at


@walks(Given)
def _given(walker: Walker, node: Given) -> Walk:
    """The value itself."""
    yield from ()
    return walker.local(node.value) if type(node.value) is Ref else node.value


class Many(list[Any]):
    """A list or tuple in the place of an argument: `bind` gives its elements to a variadic operand."""

    def __init__(self, node: Display) -> None:
        super().__init__(node.items)
        self.node = node


def _wrapped(node: Expression | Given) -> Any:
    if type(node) is Display:
        return Many(node)
    return None if type(node) is Constant and node.value is None else node


def arguments(
    walker: Walker, node: Call, op: Op, spelling: Spelling, first: Sequence[Given] = ()
) -> Generator[Any, Any, Value]:
    """The walk over a call of `op`: its value. `first` stands before the arguments that are written."""
    positional = _starred(op, spelling, [_wrapped(a) for a in (*first, *node.positional)])
    keywords = {k.name: _wrapped(k.value) for k in node.keywords}
    if "dtype" in keywords and not any(a.name == "dtype" for a in op.attrs):
        yield from _floating(walker, op, keywords.pop("dtype"), node.at)
    written = [*positional, *keywords.values()]
    try:
        if len({k.name for k in node.keywords}) < len(node.keywords):
            raise Arity(f"{op.name}: an argument is given twice by name.")
        bound = bind(op, positional, _listed(op, spelling, keywords), spelling=spelling)
    except EngineError as error:
        return (yield from given_up(walker, node, error))
    places: dict[int, int | str] = {id(v): k for k, v in enumerate(bound.operands)}
    places.update((id(v), name) for name, v in bound.attrs.items())
    start = next((k for k, p in enumerate(op.operands) if p.variadic), None)
    lone = start is not None and len(bound.operands) == start + 1 and op.name not in STARRED
    operands: list[Any] = [v if isinstance(v, float | int | bool) else None for v in bound.operands]
    origins = [node.at] * len(operands)
    attrs = dict(bound.attrs)
    spread: list[Value] = []
    for argument, whole in _flat(written, places):
        place = places.get(id(argument))
        if place is None or argument is None:
            continue
        source = argument.node if isinstance(argument, Many) else argument
        if isinstance(place, str):
            attrs[place] = yield Static(source)
            continue
        value = source.value if type(source) is Given else (yield source)
        if whole and lone and place == start:
            spread = _elements(walker, value, source.at)
        operands[place] = value if spread else walker.array(value, source.at)
        origins[place] = source.at
    if spread:
        operands[-1:] = spread
        origins[-1:] = [node.at] * len(spread)
    # `bind` lets go of absent operands at the end: of those that were written as None but are needed, too.
    needed = max((k + 1 for k, p in enumerate(op.operands) if not p.optional and not p.variadic), default=0)
    for _ in range(len(operands), needed):
        operands.append(None)
        origins.append(node.at)
    return make(walker, op, operands, attrs, node.at, origins)


def _flat(written: list[Any], places: Mapping[int, int | str]) -> Iterator[tuple[Any, bool]]:
    """The arguments as they are written; the elements (False) of a list that was taken apart."""
    for argument in written:
        if isinstance(argument, Many) and id(argument) not in places:
            yield from ((element, False) for element in argument)
        else:
            yield argument, True


def _floating(walker: Walker, op: Op, wanted: Any, at: int) -> Generator[Any, Any, None]:
    """`np.zeros(3, dtype=float)`: numbers are doubles anyway."""
    dtype = None if wanted is None else (yield Static(wanted.node if isinstance(wanted, Many) else wanted))
    if dtype not in (None, "float64", "float32", "float"):
        walker.recorder.wrong(
            at, f"{op.name} yields floating-point numbers; convert them with .astype(int) or (bool)."
        )


def _listed(op: Op, spelling: Spelling, keywords: dict[str, Any]) -> dict[str, Any]:
    """The arguments given by name, a single one in the place of any number of them as a list."""
    parameters = spelling.parameters if spelling.parameters is not None else op.parameters
    variadic = next((p for p in parameters if isinstance(p, Operand) and p.variadic), None)
    if variadic is None:
        return keywords
    names = (variadic.name, *variadic.aliases)
    return {k: [v] if k in names and not isinstance(v, Many) else v for k, v in keywords.items()}


def _optional(op: Op, k: int) -> bool:
    """Whether operand `k` may be absent."""
    declared = op.operands
    return declared[k].optional if k < len(declared) else False


def _starred(op: Op, spelling: Spelling, positional: list[Any]) -> list[Any]:
    """The positional arguments, lists unwrapped where the op takes its arrays one by one."""
    parameters = spelling.parameters if spelling.parameters is not None else op.parameters
    start = next((k for k, p in enumerate(parameters) if isinstance(p, Operand) and p.variadic), None)
    if start is None:
        return positional
    many = len(positional) - start > 1
    followed = any(isinstance(p, Operand) or not p.keyword_only for p in parameters[start + 1 :])
    if op.name in STARRED or (many and not followed):
        return [*positional[:start], *(a.node if isinstance(a, Many) else a for a in positional[start:])]
    return positional


def _elements(walker: Walker, value: Value, at: int) -> list[Value]:
    """The elements of a list that stands under a name, `parts = [x, y]; concat(parts)`, or of several results."""
    if isinstance(value, Ref | Tuple) and value.items is not None:
        walker.recorder.count(len(value.items), at)
        return list(value.items)
    if type(value) is Several and value.count is not None:
        walker.recorder.count(value.count, at)
        return [walker.item(value, k, at) for k in range(value.count)]
    return []


def given_up(
    walker: Walker, node: Call, error: EngineError, first: Value = None
) -> Generator[Any, Any, Value]:
    """Note a mistake in a call, and look through its arguments for more of them."""
    for argument in (*node.positional, *(k.value for k in node.keywords)):
        yield Static(argument)
    made = walker.placeholder(node.at)
    walker.recorder.mistake(error, node.at, made.index)
    return made


def make(
    walker: Walker, op: Op, values: Sequence[Any], attrs: Mapping[str, Any], at: int, origins: Sequence[int]
) -> Value:
    """The node of an op on values (None for an absent operand), or its value where all are literals."""
    attrs, further = _references(op, attrs, len(values))
    try:
        checked = _checked(op, attrs, bool(further))
    except EngineError as error:
        if any(ref.bad for ref in further):
            return walker.placeholder(at)
        made = walker.placeholder(at)
        walker.recorder.mistake(error, at, made.index)
        return made
    for k, value in enumerate(values):
        if value is None and not _optional(op, k):
            walker.operand(None, origins[k])  # notes the mistake
            return walker.placeholder(at)
    if not further and all(v is None or is_literal(v) for v in values):
        folded = walker.folder.call(op, values, checked)
        if folded is not None:
            return folded
    operands: list[Argument] = [
        None if v is None else walker.operand(v, origin) for v, origin in zip(values, origins, strict=True)
    ]
    if further:
        operands.extend([None] * (_width(op, len(operands)) - len(operands)))
        operands.extend(walker.local(ref).index for ref in further)
    index = walker.recorder.emit(op, operands, checked, at)
    if not op.multiple or (op.results[-1] != "…" and op.count(checked) == 1):
        return Ref(walker.recorder, index)
    return Several(walker.recorder, index, op, _count(op, operands, checked))


def _width(op: Op, given: int) -> int:
    """How many operands stand before those that attributes refer to: all that are declared."""
    declared = op.operands
    return given if declared and declared[-1].variadic else max(given, len(declared))


def _references(op: Op, attrs: Mapping[str, Any], operands: int) -> tuple[Mapping[str, Any], list[Ref]]:
    """Attributes with `InputRef` for the nodes in them, and those nodes."""
    further: list[Ref] = []
    if not attrs:
        return attrs, further
    before = _width(op, operands)

    def refer(value: Any) -> Any:
        if type(value) is not Ref:
            return value
        further.append(value)
        return InputRef(before + len(further) - 1)

    result: dict[str, Any] = {}
    for name, value in attrs.items():
        if type(value) is list:
            result[name] = [
                {k: refer(v) for k, v in item.items()} if type(item) is dict else refer(item)
                for item in value
            ]
        else:
            result[name] = refer(value)
    return result, further


def _checked(op: Op, attrs: Mapping[str, Any], referring: bool) -> Mapping[str, Any]:
    """`check_attrs`, with a better sentence where a node stands for what must be known."""
    if not attrs:
        return attrs
    if op is GETITEM or op.name == "setitem":
        try:
            return {**attrs, "index": INDEX.check(attrs["index"])}
        except ValueError as wrong:
            detail = f"An index is made of integers, slices, `...`, None, and lists of integers; {wrong}."
            raise InvalidAttribute(detail) from None
    for name, value in attrs.items():
        if type(value) is Several:
            raise InvalidAttribute(
                f"{op.name}: {name} cannot be several results at once: unpack or index them."
            )
    if not referring:
        return check_attrs(op, attrs)
    try:
        return check_attrs(op, attrs)
    except InvalidAttribute:
        for a in op.attrs:
            if a.name in attrs and _has_reference(attrs[a.name]):
                try:
                    a.kind.check(attrs[a.name])
                except ValueError:
                    raise InvalidAttribute(
                        f"{op.name}: {a.name} must be {a.kind.name}, known when the program is read: a literal, or a "
                        "name that is bound to one. An expression in inputs stands there."
                    ) from None
        raise


def _has_reference(value: Any) -> bool:
    return isinstance(value, InputRef) or (
        isinstance(value, list) and any(isinstance(v, InputRef) for v in value)
    )


def _count(op: Op, operands: Sequence[Argument], attrs: Mapping[str, Any]) -> int | None:
    """How many results a call has, where that shows without shapes."""
    count = op.count(attrs)
    if count is None and op.name in ("meshgrid", "broadcast_arrays"):
        return len(operands)
    if count is None:
        for name in SECTIONS:
            sections = attrs.get(name, UNKNOWN)
            if isinstance(sections, int):
                return sections
            if isinstance(sections, tuple) and op.name != "split_with_sizes":
                return len(sections) + 1
    return count
