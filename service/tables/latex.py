r"""The answer of `trace` as LaTeX tables, for papers and lessons.

The tables need the packages amsmath and booktabs; those that are longer than a page have, longtable too. Nodes have the names
that formulas give them (`engine.render.names`): `t1` is t₁, `lam` is λ, and what is no name is escaped text. So nothing of an
id reaches the document as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.program import Program
from engine.render.boxes import latex_of, latex_text
from engine.render.expression import array
from engine.render.latex import steps_latex
from service.tables.markdown import dual_text

MOST = 16
"""Longest array that is shown with its entries."""

PAGE = 40
"""Rows that fit a page; longer tables may break."""


def trace_latex(answer: Mapping[str, Any], program: Program, look: Callable[[], None] = lambda: None) -> str:
    """Tables of the forward walk, the backward walk and, where they are in the answer, the Lagrange multipliers; warnings.

    With tangents, values are dual numbers. `look` is called between rows, and may raise.
    """
    return _Tables(answer, *steps_latex(program, look), look).text()


class _Tables:
    """Writes them, with the names of all nodes and the formulas of those that are computed."""

    def __init__(
        self,
        answer: Mapping[str, Any],
        names: Mapping[str, str],
        formulas: Mapping[str, str],
        look: Callable[[], None],
    ) -> None:
        self.answer = answer
        self.names = names
        self.formulas = formulas
        self.look = look

    def text(self) -> str:
        """All tables."""
        steps = self.answer["forward"]
        dual = any("tangent" in step for step in steps)
        head = ["", "node", "dual number" if dual else "value", "partial derivatives"]
        parts = [
            "% In the preamble: \\usepackage{amsmath,booktabs,longtable}",
            _table("Forward", "rlll", head, map(self._forward, range(1, len(steps) + 1), steps), self.look),
        ]
        if self.answer["reverse"]:
            head = ["", "node", "adjoint", "to", "partial", "amount", "total"]
            rows = (row for k, s in enumerate(self.answer["reverse"], start=1) for row in self._reverse(k, s))
            parts.append(_table("Reverse", "rllllll", head, rows, self.look))
        if "lagrangian" in self.answer:
            rows = (
                [
                    _math(f"{self.names[c['node']]} - {_fenced(self.formulas[c['node']])} = 0"),
                    _value(c["multiplier"]),
                ]
                for c in self.answer["lagrangian"]
            )
            parts.append(_table("Lagrangian", "ll", ["constraint", "multiplier"], rows, self.look))
        if self.answer["warnings"]:
            told = (f"\\item {latex_text(w['detail'])}" for w in self.answer["warnings"])
            parts.append(
                "\n".join(["\\paragraph{Warnings}", "\\begin{itemize}", *told, "\\end{itemize}", ""])
            )
        return "\n".join(parts)

    def _forward(self, k: int, step: Mapping[str, Any]) -> list[str]:
        name = step["node"]
        shown = self.names[name]
        if name in self.formulas:
            shown += f" = {self.formulas[name]}"
        value = _bare(step["value"])
        if step.get("tangent") is not None:
            value = dual_text(value, _bare(step["tangent"]), "\\,\\varepsilon")
        return [str(k), _math(shown), _math(value), self._partials(step)]

    def _partials(self, step: Mapping[str, Any]) -> str:
        if "partials" not in step:
            return ""
        if step["partials"] is None:
            return "not elementwise"
        own = self.names[step["node"]]
        found = (
            f"\\partial {own} / \\partial {self.names[n]} = {_bare(p)}" for n, p in step["partials"].items()
        )
        return ", ".join(map(_math, found))

    def _reverse(self, k: int, step: Mapping[str, Any]) -> Iterable[list[str]]:
        """A row for each contribution; the first has the node."""
        begin = [str(k), _math(self.names[step["node"]]), _value(step["adjoint"])]
        for c in step["contributions"]:
            partial = _value(c["partial"]) if "partial" in c else ""
            to = _math(self.names[c["to"]])
            yield [*begin, to, partial, _value(c["amount"]), _value(c["total"])]
            begin = ["", "", ""]
        if not step["contributions"]:
            yield [*begin, "", "", "", ""]


def _table(
    title: str, columns: str, head: Sequence[str], rows: Iterable[Sequence[str]], look: Callable[[], None]
) -> str:
    lines = []
    for row in rows:
        look()
        lines.append(f"{' & '.join(row)} \\\\")
    long = len(lines) > PAGE
    kind = "longtable" if long else "tabular"
    begin = [f"\\begin{{{kind}}}{{{columns}}}", "\\toprule", f"{' & '.join(head)} \\\\", "\\midrule"]
    end = ["\\bottomrule", f"\\end{{{kind}}}", ""]
    return "\n".join([f"\\paragraph{{{title}}}", "", *begin, *["\\endhead"] * long, *lines, *end])


def _math(text: str) -> str:
    return f"${text}$"


def _fenced(formula: str) -> str:
    return f"\\left({formula}\\right)"


def _value(value: Any) -> str:
    return _math(_bare(value))


def _bare(value: Any) -> str:
    """A value for math mode: a number by its shortest digits, a small array, else its shape."""
    if isinstance(value, Mapping):
        return _shape(value["shape"])
    found = np.asarray(value)
    if found.size > MOST or not found.size:
        return _shape(found.shape)
    return latex_of(array(found).box)


def _shape(shape: Sequence[int]) -> str:
    return f"\\text{{array of shape }} ({', '.join(map(str, shape))})"
