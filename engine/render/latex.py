"""Programs as formulas, in LaTeX and in MathML.

A program becomes one line for each output, and before them one for each definition: named nodes, and nodes that are
used more than once. Nodes used once are written where they are used. So no expression swells: the formula is as long as
the program. A line that would become too wide or nested too deeply is cut by defining one of its nodes as well.

Neither builder nor printers recurse over the program, so a chain of nodes may be as long as it likes; but a formula of
more than `MAX_STEPS` nodes is no formula for people, and is not written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from engine.attrs import IndexArray, Slice
from engine.op import InputRef, Op
from engine.program import CONSTANT, INPUT, ITEM, GraphSource, Literal, Program, Step
from engine.render.boxes import (
    Apply,
    Box,
    Fence,
    Func,
    Ident,
    Prose,
    Row,
    Script,
    Sign,
    Slot,
    Table,
    latex_of,
    mathml_of,
)
from engine.render.expression import (
    CONSTANTS,
    DOTS,
    MOST_ENTRIES,
    Expr,
    array,
    fenced,
    fill,
    listed,
    number,
    row,
)
from engine.render.names import LONGEST_NAME, Names, name_box
from engine.render.numbers import clipped
from engine.render.template import ATOM, BASE, CALL, CASES, LIST, Pattern, pattern_of, walk, with_index

MAX_STEPS = 2000
"""A program whose outputs depend on more nodes than this has no formula."""
MAX_SIZE = 100
"""Letters, numbers and signs in a line, beyond which some of its nodes get lines of their own."""
MAX_DEPTH = 8
"""Fractions, exponents and parentheses inside one another, likewise."""
MAX_BODY = 60
"""Size up to which the body of a loop is written out; larger ones are an ellipsis."""
MAX_NESTING = 2
"""Bodies inside bodies that are written out."""

HIDDEN = frozenset({"keepdims", "integers", "locals"})
"""Attributes that a formula leaves out."""
SHAPE_ONLY = frozenset({"reshape", "broadcast_to", "expand_dims", "squeeze"})
"""Ops that leave the elements as they are: a formula shows the operand."""
BRIEF = frozenset({"getitem", "permute_dims", "matrix_transpose"})
"""Ops that are written again rather than defined where they are used more than once: x₀, Aᵀ."""

TEMPLATES = {"stack": "\\left[ {arrays} \\right]"}
"""Templates for formulas, where the op's own says more than a formula needs: a list literal is a stack."""


def program_latex(program: Program) -> str | None:
    r"""The outputs of a program as LaTeX for math mode (amsmath); None for one of more than `MAX_STEPS` live nodes.

    A single output without a name is the bare expression, `\left(x + y\right)\,z`; otherwise there are equations,
    several of them in an `aligned` environment. Ids are shown as names: `w_1` with an index, `theta` as the letter,
    everything else as escaped text.
    """
    box = program_layout(program)
    return None if box is None else latex_of(box)


def steps_latex(program: Program, look: Callable[[], None]) -> tuple[dict[str, str], dict[str, str]]:
    r"""Each step by itself, in terms of its operands' names: LaTeX by id of all names, and of what op nodes are.

    An item is written with the op that it is a result of. `look` is called before each step, and may raise.
    """
    names = Names(_letters(program, range(len(program.steps))))
    writer = _Writer(program, (), names)
    shown: dict[str, str] = {}
    formulas: dict[str, str] = {}
    for i, step in enumerate(program.steps):
        look()
        source = step.operands[0] if step.op is ITEM else None
        if step.op in (INPUT, CONSTANT):
            pass
        elif isinstance(source, int):
            base = writer._written(program.steps[source])
            index = number(step.attrs.get("index", 0)).box
            formulas[step.id] = latex_of(Script(fenced(base, "[", "]").box, index))
        else:
            formulas[step.id] = latex_of(writer._written(step).box)
        writer.exprs[i] = names.symbol(step.id)
        shown[step.id] = latex_of(writer.exprs[i].box)
    return shown, formulas


def program_mathml(program: Program) -> str | None:
    """The outputs of a program as a MathML document, structured like `program_latex`; None where that is None."""
    box = program_layout(program)
    return None if box is None else mathml_of(box)


def program_layout(program: Program) -> Box | None:
    """The formula of a program's outputs as boxes, for either printer."""
    live = live_steps(program)
    if len(live) > MAX_STEPS:
        return None
    return _Writer(program, live, Names(_letters(program, live))).formula()


def op_latex(op: Op) -> str:
    r"""An op applied to operands that are called as its parameters are: `\frac{x}{y}`; empty for an op without notation."""
    pattern = _pattern(op)
    if pattern is None:
        return ""
    many = {p.name for p in op.operands if p.variadic}
    given = {}
    for name in pattern.slots:
        e = Expr(name_box(name))
        given[name] = listed([Expr(name_box(f"{name}_{k}")) for k in (1, 2)] + [DOTS]) if name in many else e
    return latex_of(fill(pattern, op.name, given).box)


def live_steps(program: Program) -> list[int]:
    """The steps that the outputs depend on, in evaluation order."""
    found = set(program.outputs)
    for i in range(len(program.steps) - 1, -1, -1):
        if i in found:
            found.update(a for a in program.steps[i].operands if isinstance(a, int))
    return sorted(found)


# ------------------------------------------------------------------------------------------------------------- writing


def _letters(program: Program, live: Sequence[int]) -> frozenset[str]:
    """Letters that the ops' own notation uses: e in eˣ, σ in σ(x)."""
    found = set()
    for op in {program.steps[i].op for i in live}:
        pattern = _pattern(op)
        if pattern is not None:
            found |= {latex_of(b) for b in walk(pattern.box) if isinstance(b, Ident)}
    return frozenset(found)


@lru_cache(maxsize=1024)
def _pattern(op: Op) -> Pattern | None:
    """An op's template; None where it has none, or one that cannot be read (which a test finds)."""
    template = TEMPLATES.get(op.name, op.latex)
    if not template:
        return None
    try:
        return pattern_of(template)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------------- writing


class _TooLarge(Exception):
    """The body of a loop that would not fit a line."""


class _Writer:
    """Writes the steps of a program, in order, each from what its operands have become."""

    def __init__(
        self,
        program: Program,
        live: Sequence[int],
        names: Names,
        parameters: Sequence[Expr] | None = None,
        nesting: int = 0,
    ) -> None:
        self.program = program
        self.live = live
        self.names = names
        self.body = parameters is not None
        """Whether this is the body of a loop, in which nothing can be defined."""
        self.nesting = nesting
        self.constants = {x: e for x, (e, ids) in CONSTANTS.items() if not ids & program.index.keys()}
        self.exprs: dict[int, Expr] = {}
        self.lines: dict[int, tuple[Box, Expr]] = {}
        self.readers: dict[int, list[int]] = {}
        self.grouped: set[int] = set()
        """Items that the line of their op names."""
        self.chosen: dict[int, list[Expr]] = {}
        """Results of a cond, as cases."""
        self.uses: dict[int, int] = dict.fromkeys(live, 0)
        self.outputs = frozenset(program.outputs)
        for i in live:
            step = program.steps[i]
            for a in step.operands:
                if isinstance(a, int):
                    self.uses[a] += 1
                    if step.op is ITEM:
                        self.readers.setdefault(a, []).append(i)
        if parameters is not None:
            self.exprs.update(zip(program.inputs, parameters, strict=False))

    # -- the whole

    def formula(self) -> Box:
        """All lines."""
        for i in self.live:
            self._step(i)
        for i in self.program.outputs:
            if i not in self.lines and i not in self.grouped:
                self.lines[i] = (self.names.symbol(self.program.steps[i].id).box, self.exprs[i])
        rows = [(i, name, e) for i, (name, e) in sorted(self.lines.items())]
        if len(rows) == 1:
            i, name, e = rows[0]
            bare = name == e.box or (i in self.outputs and not self._is_named(i))
            return e.box if bare else Row((name, Sign("="), e.box))
        return Table("equations", tuple((name,) if name == e.box else (name, e.box) for _, name, e in rows))

    def results(self) -> list[Expr]:
        """The outputs of a body. Raises `_TooLarge`."""
        for i in self.live:
            if i not in self.exprs:
                self._step(i)
                if i in self.exprs and self.exprs[i].size > MAX_BODY:
                    raise _TooLarge
        return [self.exprs[i] for i in self.program.outputs]

    def _is_named(self, i: int) -> bool:
        """Whether a node has a name that the user gave it, and that says something."""
        step = self.program.steps[i]
        automatic = isinstance(self.program.source, GraphSource) and _AUTOMATIC.match(step.id)
        return step.named and not automatic

    def _step(self, i: int) -> None:
        step = self.program.steps[i]
        if step.op is INPUT:
            self.exprs[i] = self.names.symbol(step.id)
        elif step.op is CONSTANT:
            self._put(i, array(step.attrs["value"].value, self.constants), define=True)
        elif step.op is ITEM:
            self._item(i, step)
        elif i in self.readers:
            self._several(i, step)
        elif step.op.name == "cond" and self._cases(i, step):
            self._put(i, self.chosen[i][0], define=self._is_named(i) or self.uses[i] > 1)
        else:
            e = self._applied(step)
            brief = step.op.name in BRIEF and e.size <= 5
            self._put(
                i,
                e,
                define=self._is_named(i) or (self.uses[i] > (0 if i in self.outputs else 1) and not brief),
            )

    def _put(self, i: int, e: Expr, *, define: bool) -> None:
        """An expression as the value of a step: in a line of its own, or to be written where it is used."""
        self.exprs[i] = e
        if define and not self.body:
            self._define(i)

    def _define(self, i: int) -> None:
        """Give a step a line of its own."""
        name = self.names.symbol(self.program.steps[i].id)
        self.lines[i] = (name.box, self.exprs[i])
        self.exprs[i] = name

    # -- steps

    def _applied(self, step: Step) -> Expr:
        """An op applied to its operands; operands that would make the line too wide or too deep are defined first."""
        inner = sorted({a for a in step.operands if isinstance(a, int) and not self.exprs[a].symbol})
        if not self.body:
            pattern = _pattern(step.op)
            if pattern is not None and max(pattern.slots.values(), default=1) > 1:
                # A template that writes an operand twice: a long one gets a name.
                for a in inner:
                    if self.exprs[a].size > 8:
                        self._define(a)
            total = sum(self.exprs[a].size for a in inner)
            for a in sorted(inner, key=lambda a: -self.exprs[a].size):
                if total <= MAX_SIZE:
                    break
                total -= self.exprs[a].size - 1
                self._define(a)
        e = self._written(step)
        if e.depth > MAX_DEPTH and not self.body:
            for a in inner:
                if self.exprs[a].depth > 0:
                    self._define(a)
            e = self._written(step)
        return e

    def _written(self, step: Step) -> Expr:
        op = step.op
        if op.name == "getitem":
            return self._getitem(step)
        given, absent = self._given(step)
        shown = {k: v for k, v in step.attrs.items() if k not in HIDDEN}
        pattern = _pattern(op)
        if pattern is not None and not absent:
            slots = pattern.slots
            arguments = given | {k: self._attr(step, v) for k, v in shown.items() if k in slots}
            left = [k for k in shown if k not in slots]
            if set(given) <= set(slots) <= set(arguments):
                if isinstance(pattern.box, Slot) and op.name in SHAPE_ONLY:
                    left = []
                headed = _headed(pattern) if left else pattern
                if headed is not None:
                    if left:
                        arguments[_INDEX] = listed([_keyword(k, self._attr(step, shown[k])) for k in left])
                    return fill(headed, op.name, arguments)
        return self._call(step, shown)

    def _operand(self, argument: Any) -> Expr:
        if isinstance(argument, Literal):
            return array(argument.value, self.constants)
        return self.exprs[argument]

    def _given(self, step: Step) -> tuple[dict[str, Expr], bool]:
        """The operands by the names of the op's parameters; and whether one is absent before a present one."""
        refs = _references(step.attrs)
        given: dict[str, Expr] = {}
        operands = [a for k, a in enumerate(step.operands) if k not in refs]
        absent = False
        for k, parameter in enumerate(step.op.operands):
            if parameter.variadic:
                given[parameter.name] = listed([self._operand(a) for a in operands[k:] if a is not None])
                operands = operands[:k]
                break
            if k < len(operands) and operands[k] is not None:
                given[parameter.name] = self._operand(operands[k])
                absent = absent or None in operands[:k]
        return given, absent

    def _call(self, step: Step, shown: Mapping[str, Any]) -> Expr:
        """An op as a function of its operands and attributes, by name."""
        given, absent = self._given(step)
        arguments = []
        for k, (name, e) in enumerate(given.items()):
            by_name = absent and k > 0
            arguments.append(_keyword(name, e) if by_name else e)
        arguments += [_keyword(k, self._attr(step, v)) for k, v in shown.items()]
        inside = fenced(listed([a for a in arguments if a.box != Row(())]))
        return replace(
            inside,
            box=Row((Func(step.op.name), Apply(open=False), inside.box)),
            level=CALL,
            size=inside.size + 1,
        )

    def _getitem(self, step: Step) -> Expr:
        """An indexed array: x₀; with brackets where the name has an index of its own."""
        base = self._operand(step.operands[0])
        index = listed([_NEW_AXIS if v is None else self._attr(step, v) for v in step.attrs.get("index", ())])
        size, depth = base.size + index.size, max(base.depth, index.depth + 1)
        if base.level >= BASE and isinstance(base.box, Script | Row):
            return Expr(Row((base.box, Fence("[", index.box, "]"))), ATOM, size=size + 1, depth=depth)
        inner = base if base.level >= BASE else fenced(base)
        return Expr(Script(inner.box, index.box), ATOM, size=size, depth=max(inner.depth, index.depth + 1))

    # -- attributes

    def _attr(self, step: Step, value: Any) -> Expr:
        """A static attribute."""
        match value:
            case Program():
                return self._mapping(value)
            case Literal() | IndexArray():
                return array(value.value)
            case InputRef(k):
                return self._operand(step.operands[k]) if k < len(step.operands) else DOTS
            case Slice():
                parts: list[Box] = []
                for k, part in enumerate(value if value.step is not None else value[:2]):
                    parts += [Sign(":")] * (k > 0) + ([] if part is None else [self._attr(step, part).box])
                return Expr(row(parts), LIST, size=len(parts))
            case tuple():
                shown = [self._attr(step, v) for v in value[:MOST_ENTRIES]]
                if len(value) == 1:
                    return shown[0]
                return fenced(listed([*shown, *[DOTS] * (len(value) > MOST_ENTRIES)]))
            case str():
                return Expr(Prose(clipped(value, LONGEST_NAME)))
            case None:
                return Expr(Ident("none", "upright"))
        return DOTS if value is Ellipsis else number(value)

    def _mapping(self, program: Program) -> Expr:
        """The body of a loop as a function: (i, y) ↦ y + i."""
        live = live_steps(program)
        names = Names(_letters(program, live))
        parameters = [names.symbol(program.steps[i].id) for i in program.inputs]
        try:
            results = self._results(program, live, parameters, names)
        except _TooLarge:
            results = [DOTS]
        dots = [DOTS] * (len(parameters) > MOST_ENTRIES)
        left = listed([*parameters[:MOST_ENTRIES], *dots])
        left = left if len(parameters) == 1 else fenced(left)
        right = results[0] if len(results) == 1 else fenced(listed(results))
        return Expr(
            Row((left.box, Sign("\\mapsto"), right.box)), LIST, size=left.size + right.size, depth=right.depth
        )

    def _results(
        self, program: Program, live: Sequence[int], arguments: Sequence[Expr], names: Names
    ) -> list[Expr]:
        """The results of a body for these arguments. Raises `_TooLarge` for one that had better not be written out."""
        if self.nesting >= MAX_NESTING or len(live) > MAX_STEPS:
            raise _TooLarge
        return _Writer(program, live, names, arguments, self.nesting + 1).results()

    # -- ops of several results

    def _several(self, i: int, step: Step) -> None:
        """An op whose results are read one by one: a line that names them all, unless it is read in one place only."""
        if step.op.name == "cond" and self._cases(i, step):
            return
        e = self._applied(step)
        readers = self.readers[i]
        if self.body or (len(readers) == 1 and not self._defined(readers[0])):
            self.exprs[i] = e
            return
        count = step.op.count(step.attrs)
        first: dict[int, int] = {}
        for reader in readers:
            k = self.program.steps[reader].attrs.get("index", 0)
            first.setdefault(k if k >= 0 or count is None else k + count, reader)
        shown = max(first) + 1 if count is None else count
        if min(first) < 0 or max(first) >= shown or shown > MAX_SIZE:
            self._put(i, e, define=True)
            return
        results = [
            self.names.symbol(self.program.steps[first[k]].id) if k in first else _UNREAD
            for k in range(shown)
        ]
        self.exprs.update((reader, results[k]) for k, reader in first.items())
        self.grouped.update(first.values())
        if count is None:
            results.append(DOTS)
        self.lines[i] = (results[0].box if len(results) == 1 else fenced(listed(results)).box, e)

    def _cases(self, i: int, step: Step) -> bool:
        """A cond with short branches, written as cases; whether it could be."""
        then, otherwise = step.attrs.get("then"), step.attrs.get("else")
        if not isinstance(then, Program) or not isinstance(otherwise, Program):
            return False
        if not self.body:
            for a in step.operands:
                if (
                    isinstance(a, int)
                    and self.exprs[a].size > 1
                    and (a != step.operands[0] or len(then.outputs) > 1)
                ):
                    self._define(a)
        condition, *arguments = (self._operand(a) for a in step.operands)
        try:
            branches = [
                self._results(branch, live_steps(branch), arguments, self.names)
                for branch in (then, otherwise)
            ]
        except _TooLarge:
            return False
        self.chosen[i] = [
            Expr(
                Table("cases", ((p.box, condition.box), (q.box, Prose("else")))),
                CASES,
                size=p.size + q.size + condition.size + 1,
                depth=max(p.depth, q.depth, condition.depth) + 1,
            )
            for p, q in zip(*branches, strict=False)
        ]
        return True

    def _item(self, i: int, step: Step) -> None:
        """One of several results: named by the line of the op, or written behind it as an index."""
        source, k = step.operands[0], step.attrs.get("index", 0)
        if i in self.grouped or not isinstance(source, int):
            return
        chosen = self.chosen.get(source, [])
        if -len(chosen) <= k < len(chosen):
            self._put(i, chosen[k], define=self._defined(i))
            return
        base = self.exprs[source]
        if base.closed is not None:
            base = replace(base, box=base.closed, level=CALL)
        inner = base if base.level in (CALL, ATOM) and not isinstance(base.box, Script) else fenced(base)
        e = Expr(Script(inner.box, number(k).box), size=inner.size + 1, depth=inner.depth)
        self._put(i, e, define=self._defined(i))

    def _defined(self, i: int) -> bool:
        """Whether a step gets a line of its own."""
        return self._is_named(i) or self.uses[i] > 1 or i in self.outputs


_NEW_AXIS = Expr(Ident("new", "upright"))
_UNREAD = Expr(Sign("\\cdot", prefix=True))
_INDEX = "index of the function"
_AUTOMATIC = re.compile(r"t[1-9][0-9]*\Z")


@lru_cache(maxsize=1024)
def _headed(pattern: Pattern) -> Pattern | None:
    return with_index(pattern, _INDEX)


def _keyword(name: str, e: Expr) -> Expr:
    """A named argument."""
    return Expr(Row((Ident(name, "upright"), Sign("="), e.box)), LIST, size=e.size + 1, depth=e.depth)


def _references(attrs: Mapping[str, Any]) -> set[int]:
    """Positions of the operands that attributes refer to."""
    found: set[int] = set()
    stack = list(attrs.values())
    while stack:
        value = stack.pop()
        if isinstance(value, InputRef):
            found.add(value.index)
        elif isinstance(value, tuple):
            stack.extend(value)
    return found
