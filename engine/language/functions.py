"""Functions as values: helpers (`def`), ops under a name; and what it means to call one.

A helper is written out at every call: its statements are read again, with its parameters bound to the arguments. So it
may be called with anything, a number that decides a shape or another function, and no call costs anything when the
program runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.errors import Arity, EngineError, LimitExceeded, nearest, quoted
from engine.language.hints import Refused
from engine.language.names import MODULES
from engine.language.parser import check_targets, target_names
from engine.language.syntax import (
    Aim,
    Assign,
    Attribute,
    Call,
    Def,
    Expression,
    For,
    If,
    Import,
    Keyword,
    Name,
    Statement,
    While,
)
from engine.language.values import Free, Function, Unset, Value
from engine.language.walker import MISSING, Frame, Walk, Walker, walks
from engine.op import registry
from engine.program import CONSTANT, INPUT, ITEM


class Apply:
    """A request to call a function with values; `origins` are the offsets of the arguments in the text."""

    __slots__ = ("at", "function", "keywords", "origins", "values")

    def __init__(
        self,
        function: Function,
        values: Sequence[Value],
        at: int,
        keywords: Mapping[str, tuple[Value, int]] = {},
        origins: Sequence[int] = (),
    ) -> None:
        self.function = function
        self.values = values
        self.keywords = keywords
        self.at = at
        self.origins = origins or [at] * len(values)


class Applicable(Function):
    """A function that knows how it is called."""

    __slots__ = ()

    def call(self, walker: Walker, request: Apply) -> Walk:
        """The walk over a call: its value."""
        raise NotImplementedError


@walks(Apply)
def _apply(walker: Walker, request: Apply) -> Walk:
    function = request.function
    assert isinstance(function, Applicable)
    return function.call(walker, request)


class Run:
    """A request to go through statements, from `start` on, and then through those that follow (`then`)."""

    __slots__ = ("start", "statements", "then")

    def __init__(self, statements: Sequence[Statement], start: int = 0, then: Run | None = None) -> None:
        self.statements = statements
        self.start = start
        self.then = then


class Returned:
    """What going through statements yields when they end with a `return`."""

    __slots__ = ("at", "value")

    def __init__(self, value: Value, at: int) -> None:
        self.value = value
        self.at = at


# ------------------------------------------------------------------------------------------------------------- helpers


class Helper(Applicable):
    """A function of the text. `frame` is what it was defined in, `defaults` its parameters' defaults."""

    __slots__ = ("defaults", "frame", "node")

    def __init__(self, node: Def, frame: Frame, defaults: Mapping[str, Value]) -> None:
        self.node = node
        self.frame = frame
        self.defaults = defaults

    @property
    def title(self) -> str:
        """The helper's name."""
        return self.node.name

    def wishes(self, k: int) -> str | None:
        """The name of parameter `k`."""
        return self.node.parameters[k].name if k < len(self.node.parameters) else None

    def signature(self) -> str:
        """The parameters, as they are written: `(a, b=…)`."""
        shown = [p.name + ("=…" if p.default is not None else "") for p in self.node.parameters]
        return f"({', '.join(shown[:12] + ['…'] * (len(shown) > 12))})"

    def call(self, walker: Walker, request: Apply) -> Walk:
        """The helper's statements, its parameters being the arguments."""
        at = request.at
        walker.spend(at)
        names = self._bound(walker, request)
        if names is None:
            return walker.placeholder(at)
        key = (self.node, self.frame, tuple(v for v in names.values() if isinstance(v, Function)))
        if key in walker.active:
            walker.recorder.wrong(
                at,
                f"{self.title} calls itself, directly or through other helpers; recursion is not offered, since every "
                "call is written out. Use a loop: for, while, scan or while_loop.",
            )
            return walker.placeholder(at)
        if not walker.active:
            self._weigh(walker, at)
        frame = Frame(self.node, self.frame, local_names(self.node))
        frame.names.update(names)
        if walker.recorder.frame is None:
            walker.recorder.frame = frame
        outer, walker.frame = walker.frame, frame
        walker.active[key] = True
        done = yield Run(self.node.body.statements)
        del walker.active[key]
        walker.frame = outer
        if type(done) is Returned:
            return done.value
        return Unset(f"{self.title} returns nothing: let it end with `return` and its result.")

    def _bound(self, walker: Walker, request: Apply) -> dict[str, Value] | None:
        """The parameters' values; None if the arguments do not fit, which is noted."""
        parameters = [p.name for p in self.node.parameters]
        given: dict[str, Value] = dict(zip(parameters, request.values, strict=False))
        wrong: EngineError | None = None
        near: Sequence[str] = ()
        if len(request.values) > len(parameters):
            count = len(request.values)
            wrong = Arity(f"{self._takes()}; {count} {'was' if count == 1 else 'were'} given.")
        for name, (value, _) in request.keywords.items():
            if name not in parameters:
                near = nearest(name, parameters)
                hint = f" Did you mean {near[0]}?" if near else ""
                wrong = wrong or Arity(
                    f"{self.title} has no parameter {quoted(name)}.{hint} Its parameters are {self.signature()}.",
                    suggestions=near,
                )
            elif name in given:
                wrong = wrong or Arity(f"{self.title} got two values for its parameter {quoted(name)}.")
            given[name] = value
        absent = [p for p in parameters if p not in given and p not in self.defaults]
        if absent and wrong is None:
            shown = ", ".join([*absent[:5], *["…"] * (len(absent) > 5)])
            wrong = Arity(f"{self._takes()}; {shown} {'is' if len(absent) == 1 else 'are'} missing.")
        if wrong is not None:
            walker.recorder.mistake(wrong, request.at)
            return None
        return {p: given[p] if p in given else self.defaults[p] for p in parameters}

    def _takes(self) -> str:
        count = len(self.node.parameters)
        what = "no argument" if not count else f"{count} argument{'s' * (count != 1)}"
        return f"{self.title} takes {what} {self.signature()}"

    def _weigh(self, walker: Walker, at: int) -> None:
        """Refuse a call that unfolds to far more nodes than allowed, before any of them is written."""
        shared = walker.recorder.shared
        nodes = walker.unfolding.weight(self.node)
        if nodes > 2 * shared.max_nodes:
            shown = f"{nodes:,}" if nodes < 10**15 else f"about 10^{len(str(nodes)) - 1}"
            detail = (
                f"{self.title} unfolds to {shown} nodes, since every call of a helper is written out; the limit is "
                f"{shared.max_nodes:,}. Compute what is needed several times once, and give it a name."
            )
            where = walker.recorder.source.where(at)
            raise LimitExceeded("nodes", shared.max_nodes, min(nodes, 2**63 - 1), detail, where=where)


@walks(Def)
def _definition(walker: Walker, node: Def) -> Walk:
    defaults: dict[str, Value] = {}
    for p in node.parameters:
        if p.default is not None:
            defaults[p.name] = yield Argument(p.default)
    function: Function = Helper(node, walker.frame, defaults)
    for decorator in reversed(node.decorators):
        around = yield FunctionOf(decorator)
        if around is None:
            break
        value = yield Apply(around, [function], decorator.at)
        if not isinstance(value, Function):
            walker.recorder.wrong(
                decorator.at, "What decorates a helper must make a function of it: jit, checkpoint, vmap."
            )
            break
        function = value
    walker.frame.names[node.name] = function


def assigned_names(statements: Sequence[Statement]) -> dict[str, int]:
    """The names that statements assign, in the blocks among them too (not in helpers), and where first."""
    found: dict[str, int] = {}
    stack = [iter(statements)]
    while stack:
        statement = next(stack[-1], None)
        if statement is None:
            stack.pop()
            continue
        names: list[Name] = []
        try:
            if type(statement) is Assign:
                names = check_targets(statement.targets)
            elif type(statement) is For or type(statement) is Aim:
                names = target_names(statement.target)
        except Refused:  # noted by the first look through the text
            names = []
        for name in names:
            found.setdefault(name.name, name.at)
        if type(statement) is Def:
            found.setdefault(statement.name, statement.at)
        elif type(statement) is For or type(statement) is While:
            stack.append(iter(statement.body.statements))
        elif type(statement) is If:
            if statement.otherwise is not None:
                stack.append(iter(statement.otherwise.statements))
            stack.append(iter(statement.then.statements))
        elif type(statement) is Import:
            continue
    return found


def local_names(node: Def) -> frozenset[str]:
    """The names that are a helper's own: its parameters, and what it assigns."""
    return frozenset([*(p.name for p in node.parameters), *assigned_names(node.body.statements)])


# ----------------------------------------------------------------------------------------------------------------- ops


class OpFunction(Applicable):
    """An op as a value: `map(sin, xs)`."""

    __slots__ = ("library", "name")

    def __init__(self, name: str, library: str = "") -> None:
        self.name = name
        self.library = library

    @property
    def title(self) -> str:
        """The op's name."""
        return self.name

    def wishes(self, k: int) -> str | None:
        """The name of operand `k`."""
        op = registry.get(self.name)
        return op.operands[k].name if op is not None and k < len(op.operands) else None

    def call(self, walker: Walker, request: Apply) -> Walk:
        """The op's node."""
        from engine.language.arguments import Given
        from engine.language.calls import called

        positional: list[Expression] = [
            Given(v, at)  # type: ignore[misc]  # stands where an expression does
            for v, at in zip(request.values, request.origins, strict=True)
        ]
        keywords = [
            Keyword(at, name, Given(v, at))  # type: ignore[arg-type]  # likewise
            for name, (v, at) in request.keywords.items()
        ]
        node = Call(request.at, Name(request.at, self.name), positional, keywords)
        return (yield from called(walker, node, self.name, self.library))


def is_op(name: str) -> bool:
    """Whether a bare name is that of an op that can be called."""
    return name in registry and registry.get(name) not in (INPUT, CONSTANT, ITEM)


class Argument:
    """A request to evaluate an argument of a helper: a name of an op that is no variable may be that op."""

    __slots__ = ("node",)

    def __init__(self, node: Expression) -> None:
        self.node = node


@walks(Argument)
def _argument(walker: Walker, request: Argument) -> Walk:
    node = request.node
    if type(node) is Name:
        bound = walker.settled(walker.peek(node.name))
        if isinstance(bound, Function | Free):
            return bound
        if bound is MISSING and node.name not in walker.variables:
            imported = walker.modules.functions.get(node.name)
            if imported is not None:
                return OpFunction(*imported)
            if is_op(node.name):
                return Free(node.name, node.at)
    return (yield node)


class FunctionOf:
    """A request for a function: a helper, a name of an op, a call that yields a function. None where there is none."""

    __slots__ = ("node",)

    def __init__(self, node: Expression) -> None:
        self.node = node


@walks(FunctionOf)
def _function_of(walker: Walker, request: FunctionOf) -> Walk:
    from engine.language.control import CONTROL, Control

    node = request.node
    if type(node) is Name:
        bound = walker.settled(walker.peek(node.name))
        if isinstance(bound, Function):
            return bound
        if type(bound) is Free:
            return OpFunction(bound.name)
        if type(bound) is Unset:
            walker.recorder.wrong(node.at, bound.why)
            return None
        name, library = walker.modules.functions.get(node.name, (node.name, ""))
        if bound is MISSING or name != node.name:
            if name in CONTROL and library in ("", "numpy"):
                return Control(name)
            if library or is_op(name):
                return OpFunction(name, library)
        walker.recorder.mistake(no_function(walker, node.name), node.at)
        return None
    if type(node) is Attribute:
        try:
            resolved = walker.modules.resolve(node)
        except Refused as refused:
            walker.recorder.wrong(refused.at, refused.detail, refused.suggestions)
            return None
        if resolved is not None:
            module, name = resolved
            if name in CONTROL and MODULES[module] == "numpy":
                return Control(name)
            return OpFunction(name, MODULES[module])
    value = yield node
    if isinstance(value, Function):
        return value
    if not getattr(value, "bad", False):
        walker.recorder.wrong(
            node.at, "A function must stand here: the name of a helper (def …), or of an op such as sin."
        )
    return None


def no_function(walker: Walker, name: str) -> EngineError:
    """What to say about a name that must be a function's and is not."""
    from engine.errors import UnknownOp

    if name in walker.helpers:
        return UnknownOp(f"{quoted(name)} is defined further down: its `def` must come before it is used.")
    if walker.recorder.full:
        return UnknownOp(f"There is no function {quoted(name)}.")
    near = nearest(name, [*visible_helpers(walker), *(n for op in registry for n in (op.name, *op.aliases))])
    hint = f" Did you mean {' or '.join(near)}?" if near else " Define it with def, or use an op."
    if walker.knows(name):
        hint = f" {quoted(name)} is a variable here."
    return UnknownOp(f"There is no function {quoted(name)}.{hint}", suggestions=near)


def visible_helpers(walker: Walker) -> list[str]:
    """The names of functions that can be called here."""
    found: list[str] = []
    frame: Frame | None = walker.frame
    while frame is not None:
        found.extend(name for name, value in frame.names.items() if isinstance(value, Function))
        frame = frame.parent
    return found
