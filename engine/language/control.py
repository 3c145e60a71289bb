"""Functions of functions: loops and choices as functions (`scan`, `cond`, …), derivatives (`grad`, `jvp`, …), implicit
functions (`root`, …). Names, order of arguments and results are those of JAX.

Each is an op with bodies. A function is read as a body with the arguments as its inputs; what it uses from around it
becomes a further operand.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from engine.errors import Arity
from engine.language.bodies import (
    is_data,
)
from engine.language.fold import is_literal
from engine.language.functions import Applicable, Apply
from engine.language.syntax import Call, Expression, Keyword, Name
from engine.language.values import Function, Ref, Several, Tuple, Value, leaves
from engine.language.walker import Static, Walk, Walker

Handler: TypeAlias = Callable[[Walker, Call], Walk]

CONTROL: dict[str, Handler] = {}
"""The functions of functions, by name."""


def control(*names: str) -> Callable[[Handler], Handler]:
    """Register a walk over calls of a name."""

    def register(handler: Handler) -> Handler:
        for name in names:
            CONTROL[name] = handler
        return handler

    return register


class Control(Applicable):
    """A function of functions as a value: a decorator, `g = grad`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    def call(self, walker: Walker, request: Apply) -> Walk:
        """As if it stood in the text."""
        from engine.language.arguments import Given

        positional: list[Any] = [Given(v, at) for v, at in zip(request.values, request.origins, strict=True)]
        keywords: list[Any] = [Keyword(at, n, Given(v, at)) for n, (v, at) in request.keywords.items()]  # type: ignore[arg-type]  # a known value
        node = Call(request.at, Name(request.at, self.name), positional, keywords)
        return (yield from CONTROL[self.name](walker, node))


# ------------------------------------------------------------------------------------------------- arguments of a call


def bound_arguments(
    walker: Walker, node: Call, name: str, signature: str, required: int, rest: str = "", hint: str = ""
) -> tuple[dict[str, Expression], list[Expression]] | None:
    """The arguments by name, and those behind them where `rest` allows for more; None after a mistake.

    `signature` names the parameters, of which the first `required` must be given; `hint` is what to write instead of more
    arguments than that.
    """
    names = signature.split()
    shown = ", ".join(n if k < required else f"{n}=…" for k, n in enumerate(names)) + (
        f", *{rest}" if rest else ""
    )
    given: dict[str, Expression] = dict(zip(names, node.positional, strict=False))
    more = node.positional[len(names) :]
    problem = ""
    if more and not rest:
        problem = f"{name} takes ({shown}); {len(node.positional)} arguments were given."
        problem = f"{problem[:-1]}: {hint}." if hint else problem
    for keyword in node.keywords:
        known = _ALSO.get(keyword.name, keyword.name)
        if known not in names:
            problem = problem or f"{name} has no argument '{keyword.name[:40]}'; it takes ({shown})."
        elif known in given:
            problem = problem or f"{name} got two values for its argument {known}."
        given[known] = keyword.value
    missing = [n for n in names[:required] if n not in given]
    if missing and not problem:
        problem = (
            f"{name} takes ({shown}); {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    if problem:
        walker.recorder.mistake(Arity(problem), node.at)
        return None
    return given, more


_ALSO = {
    "body_fun": "f", "fun": "f", "init_val": "init", "lower": "start", "upper": "stop", "cond_fun": "condition",
    "argnum": "argnums", "wrt": "argnums", "func": "f",
}  # fmt: skip
"""What JAX calls arguments that have shorter names here."""


def failed(walker: Walker, node: Call) -> Value:
    return walker.placeholder(node.at)


def data_of(walker: Walker, value: Value, what: str, at: int) -> Value | None:
    """A value made of arrays; None, and a mistake, if it is not."""
    if type(value) is Several and value.count is not None:
        value = Tuple([walker.item(value, k, at) for k in range(value.count)])
    if is_data(value):
        return value
    bad = next(v for v in leaves(value) if not (isinstance(v, Ref) or is_literal(v)))
    if isinstance(bad, Function):
        walker.recorder.wrong(
            at, f"{what} must be an array, a number, or a tuple of these; {bad.title} is a function."
        )
    else:
        walker.operand(bad, at)  # notes the mistake
    return None


def static_of(walker: Walker, node: Expression | None, default: Any) -> Generator[Any, Any, Any]:
    """A static argument."""
    if node is None:
        return default
    return (yield Static(node))
