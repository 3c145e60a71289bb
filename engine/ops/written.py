"""A composite as one row: a function that writes it with other ops, and what its page needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.builder import Builder, Var
from engine.op import Example, Op, Parameter, Spelling, registry


class Written(Op):
    """An op that is written with others by a function (builder, operands in order, attributes by name)."""

    composite = True

    def __init__(
        self,
        name: str,
        write: Callable[..., Var | tuple[Var, ...]],
        parameters: tuple[Parameter, ...],
        *,
        doc: str,
        latex: str,
        family: str,
        examples: tuple[Example, ...],
        aliases: tuple[str, ...] = (),
        derivative: Mapping[str, str] | None = None,
        convention: str = "",
        floating: bool = False,
        passes_integers: bool = False,
        results: tuple[str, ...] = ("y",),
        spellings: Mapping[str, Spelling] | None = None,
    ) -> None:
        self.name = name
        self.write = write
        self.parameters = parameters
        self.__doc__ = doc
        self.latex = latex
        self.family = family
        self.examples = examples
        self.aliases = aliases
        self.derivative = derivative or {}
        self.convention = convention
        self.floating = floating
        self.passes_integers = passes_integers
        self.results = results
        self.spellings = spellings or {}

    def lower(self, b: Builder, *operands: Any, **attrs: Any) -> Var | tuple[Var, ...]:
        """What the function writes."""
        return self.write(b, *operands, **attrs)


def written(name: str, write: Callable[..., Any], *parameters: Parameter, **about: Any) -> Op:
    """Register a `Written` op."""
    return registry.add(Written(name, write, parameters, **about))
