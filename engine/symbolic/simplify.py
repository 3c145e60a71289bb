"""Derived graphs as short programs for people: read as expressions, tidied, written with public ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.cost import Limits
from engine.errors import LimitExceeded
from engine.program import Literal, Program
from engine.symbolic.expressions import Algebra, Expr
from engine.symbolic.orders import Derived
from engine.symbolic.polish import polished
from engine.symbolic.read import BASIC, Reader, Rule
from engine.symbolic.spelling import SPELLINGS
from engine.symbolic.tensors import TENSORS
from engine.symbolic.write import Writer

RULES: dict[str, tuple[Rule, ...]] = {**SPELLINGS, **BASIC, **TENSORS}


@dataclass(eq=False)
class Simplified:
    """Derivatives as expressions, by key; `value` is what is differentiated."""

    derived: Derived
    program: Program
    alg: Algebra
    value: Expr
    results: list[Expr]
    names: dict[Expr, str] = field(default_factory=dict)

    def text_program(self, k: int) -> Program:
        """Derivative k as a program to be read: short parts are written again where they are read."""
        return self._writer(keep=False).program([self.results[k]], inline=True)

    def graph_program(self, k: int) -> Program:
        """Derivative k as a program to be computed: everything once, all inputs of the original there."""
        return self._writer(keep=True).program([self.results[k]], inline=False)

    def _writer(self, *, keep: bool) -> Writer:
        inputs: list[tuple[str, Literal | None]] = []
        for i in self.program.inputs:
            step = self.program.steps[i]
            inputs.append((step.id, step.attrs.get("value")))
        return Writer(inputs, self.alg, self.names, keep=keep)


def simplified(
    derived: Derived,
    program: Program,
    step: Callable[[], None] | None = None,
    limits: Limits | None = None,
) -> Simplified:
    """The derivatives of a derived graph, simplified. `step`, if given, is called now and then and may raise.

    Raises `Unspelled` for an op that no public ops say, and `LimitExceeded` for a graph of too many nodes.
    """
    most = (limits or Limits()).derivative_nodes
    if len(derived.graph.nodes) > most:
        raise LimitExceeded(
            "derivative_nodes",
            most,
            len(derived.graph.nodes),
            f"The derivative has {len(derived.graph.nodes):,} nodes; formulas and programs are made of at most {most:,}. "
            "As code it can be longer.",
        )
    reader = Reader(derived, program, RULES, step)
    value, *found = reader.outputs()
    results, names = polished(reader.alg, found, reader.names, step)
    return Simplified(derived, program, reader.alg, value, results, names)


__all__: Sequence[str] = ["Simplified", "simplified"]
