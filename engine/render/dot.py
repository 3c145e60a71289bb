"""Programs as drawings: text in the DOT language, for Graphviz.

In the manner of micrograd: a box for each value, with cells for its name, its value and its gradient, and before each
computed value an ellipse with the op's sign. Inputs are blue, outputs have a thick orange border: hues that
colour-blind readers tell apart (M. Okabe & K. Ito, "Color Universal Design", 2008), and the border not by hue alone.

Names in DOT are n0, n1, … and never a user's id, which appears only as escaped text inside labels and tooltips.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from engine.aval import Array, Aval
from engine.program import CONSTANT, INPUT, ITEM, Literal, Program, Step
from engine.render.numbers import clipped, long_array, short_array, short_attr, short_index, short_literal

SHOWN = ("values", "gradients", "shapes")
"""What a drawing can show of each value, beside its name."""

DIRECTIONS = ("LR", "TB")

LONGEST_NAME = 28
"""Longest id that a box shows in full; the tooltip always does."""
LONGEST_ATTRS = 36
LONGEST_TIP = 1000

INK, LINE, QUIET = "#1f2933", "#52606d", "#7b8794"
FILL = {"input": "#dceaf7", "constant": "#eef0f2", "output": "#fdebd8", "node": "#ffffff"}
BORDER = {"input": "#0072b2", "constant": "#7b8794", "output": "#d55e00", "node": "#52606d"}
OP_FILL = "#f5f7fa"

_HEAD = """digraph program {{
  graph [rankdir={direction}, bgcolor="white", pad="0.2", nodesep="0.25", ranksep="{ranksep}"];
  node [fontname="Helvetica,Arial,sans-serif", fontsize=12, fontcolor="{ink}", color="{line}"];
  edge [fontname="Helvetica,Arial,sans-serif", fontsize=10, fontcolor="{quiet}", color="{line}",
    arrowsize="0.7", tailport={port}];
"""

_NOT_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What may stand in no XML document, and what Graphviz would break lines or fail at."""
_BRACKETS_ALONE = re.compile(r"(^|;)(\]+)$")


def to_dot(
    program: Program,
    *,
    values: Mapping[str, Array] | None = None,
    gradients: Mapping[str, Array] | None = None,
    shapes: Mapping[str, Aval] | None = None,
    direction: str = "LR",
    show: Collection[str] = ("values", "gradients"),
) -> str:
    """The program as a DOT document, the same for the same arguments.

    `values`, `gradients` and `shapes` are by node id; each is shown if `show` names it, for the nodes that it has. The
    picture reads from left to right (`direction="LR"`) or downwards ("TB"). Raises ValueError for another direction or
    something else in `show`.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {DIRECTIONS}, not {direction!r}")
    if unknown := set(show) - set(SHOWN):
        raise ValueError(f"show can name {SHOWN}, not {sorted(unknown)}")
    drawing = _Drawing(
        program,
        values if values is not None and "values" in show else {},
        gradients if gradients is not None and "gradients" in show else {},
        shapes if shapes is not None and "shapes" in show else {},
        stacked=direction == "TB",
    )
    head = _HEAD.format(
        direction=direction,
        ranksep="0.35" if direction == "LR" else "0.3",
        ink=INK,
        line=LINE,
        quiet=QUIET,
        port="e" if direction == "LR" else "s",
    )
    return head + "".join(f"  {line};\n" for line in drawing.lines()) + "}\n"


class _Drawing:
    """One drawing in the making."""

    def __init__(
        self,
        program: Program,
        values: Mapping[str, Array],
        gradients: Mapping[str, Array],
        shapes: Mapping[str, Aval],
        *,
        stacked: bool,
    ) -> None:
        self.program = program
        self.values = values
        self.gradients = gradients
        self.shapes = shapes
        self.stacked = stacked
        self.outputs = frozenset(program.outputs)
        self.tuples = self._tuples()

    def _tuples(self) -> frozenset[int]:
        """Steps of several results: they have no box of their own, the items that read them do."""
        read = {a for s in self.program.steps if s.op is ITEM for a in s.operands if isinstance(a, int)}
        used = {a for s in self.program.steps for a in s.operands if isinstance(a, int)}
        silent = {
            i
            for i, s in enumerate(self.program.steps)
            if s.op.multiple and i not in used and i not in self.outputs and s.id not in self.values
        }
        return frozenset(read | silent)

    def lines(self) -> Iterator[str]:
        """The statements, step by step."""
        for i, step in enumerate(self.program.steps):
            if step.op is ITEM:
                yield self._box(i, step)
                yield from self._item(i, step)
            elif step.op is INPUT or step.op is CONSTANT:
                yield self._box(i, step)
            else:
                yield self._op(i, step)
                yield from self._operands(i, step)
                if i not in self.tuples:
                    yield self._box(i, step)
                    yield f"o{i} -> n{i}"

    # -- values

    def _box(self, i: int, step: Step) -> str:
        """The box of a value."""
        output = i in self.outputs
        role = "input" if step.op is INPUT else "constant" if step.op is CONSTANT else "node"
        fill = FILL["output" if output and role == "node" else role]
        border = BORDER["output" if output else role]
        cells = [f"<B>{text(short_name(step.id))}</B>"]
        tip = [step.id]
        shape = self.shapes.get(step.id)
        if shape is not None:
            dtype = "" if shape.dtype == "float64" else f"{shape.dtype} "
            cells.append(f"{dtype}{list(shape.shape)}")
            tip.append(f"shape {list(shape.shape)}, {shape.dtype}")
        for word, known in (("data", self.values), ("grad", self.gradients)):
            array = known.get(step.id)
            if (
                array is None
                and word == "data"
                and step.op is CONSTANT
                and isinstance(step.attrs["value"], Literal)
            ):
                array = step.attrs["value"].value
            if array is not None:
                cells.append(text(f"{word} {short_array(array, shape=shape is None)}"))
                tip.append(f"{word} {long_array(array)}")
        side = "T" if self.stacked else "L"
        row = [f'<TD BORDER="0">{cells[0]}</TD>', *(f'<TD SIDES="{side}">{cell}</TD>' for cell in cells[1:])]
        body = "".join(f"<TR>{cell}</TR>" for cell in row) if self.stacked else f"<TR>{''.join(row)}</TR>"
        table = (
            f'<TABLE BORDER="{2 if output else 1}" CELLBORDER="1" CELLSPACING="0" CELLPADDING="6" '
            f'STYLE="ROUNDED" COLOR="{border}" BGCOLOR="{fill}">{body}</TABLE>'
        )
        classes = f"value {role}" + " output" * output
        return f"n{i} [shape=plain, class={quote(classes)}, tooltip={tooltip(tip)}, label=<{table}>]"

    def _item(self, i: int, step: Step) -> Iterator[str]:
        """The edge from an op of several results to one of them, with the result's name."""
        source = step.operands[0]
        if isinstance(source, int):
            index = step.attrs.get("index", 0)
            results = self.program.steps[source].op.results
            named = "…" not in results and 0 <= index < len(results)
            label = results[index] if named else f"[{index}]"
            yield f"o{source} -> n{i} [label={quote(label)}]"

    # -- ops

    def _op(self, i: int, step: Step) -> str:
        """The ellipse of an op: its sign or name, and under it the static arguments."""
        name = sign(step.op.aliases) or step.op.name
        attrs = self._attrs(step)
        tip = [f"{step.op.name}{f'({attrs})' if attrs else ''}"]
        if i in self.tuples:
            tip.insert(0, step.id)
        label = text(name)
        small = clipped(attrs, LONGEST_ATTRS)
        if small:
            label += f'<BR/><FONT POINT-SIZE="9" COLOR="{LINE}">{text(small)}</FONT>'
        is_sign = name != step.op.name and not small
        form = (
            'shape=circle, fixedsize=true, width="0.42", fontsize=15'
            if is_sign
            else 'shape=ellipse, margin="0.07,0.03"'
        )
        # Operands stand in their order: x - y is not y - x.
        order = ", ordering=in" if len(step.operands) > 1 else ""
        look = f'{form}{order}, style=filled, fillcolor="{OP_FILL}"'
        return f'o{i} [{look}, class="op", tooltip={tooltip(tip)}, label=<{label}>]'

    def _attrs(self, step: Step) -> str:
        def name(k: int) -> str:
            argument = step.operands[k] if k < len(step.operands) else None
            if isinstance(argument, int):
                return short_name(self.program.steps[argument].id)
            return short_literal(argument.value) if isinstance(argument, Literal) else "?"

        if step.op.name == "getitem" and isinstance(step.attrs.get("index"), tuple):
            return short_index(step.attrs["index"], name)
        return ", ".join(f"{k}={short_attr(v, name)}" for k, v in step.attrs.items())

    def _operands(self, i: int, step: Step) -> Iterator[str]:
        """Edges to an op from its operands, one for each time that one stands there, and nodes for literals."""
        for k, argument in enumerate(step.operands):
            if isinstance(argument, int):
                source = f"o{argument}" if argument in self.tuples else f"n{argument}"
                yield f"{source} -> o{i}"
            elif argument is not None:
                shown = text(short_literal(argument.value))
                yield (
                    f'c{i}_{k} [shape=plain, class="literal", fontcolor="{LINE}", margin="0.05,0.03", '
                    f"tooltip={tooltip([long_array(argument.value)])}, label=<{shown}>]"
                )
                yield f"c{i}_{k} -> o{i}"


# ------------------------------------------------------------------------------------------------------------ escaping


def text(content: str) -> str:
    """Any text inside an HTML-like label, shown as it is.

    Graphviz reads such labels as XML and then still replaces escapes like `\\N`, so a backslash is doubled.
    """
    safe = _NOT_XML.sub("\ufffd", content).replace("\\", "\\\\")
    escaped = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    # Graphviz feeds its XML parser piece by piece, and a piece of nothing but ] might be the beginning of ]]>.
    return _BRACKETS_ALONE.sub(lambda match: match[1] + "&#93;" * len(match[2]), escaped)


def quote(content: str) -> str:
    """Any text as a quoted DOT string whose value is shown as a label: entities are read there, too."""
    return f'"{text(content)}"'


def tooltip(parts: list[str]) -> str:
    """A tooltip of several lines. Graphviz replaces escapes in tooltips twice, so backslashes are doubled twice."""
    lines = (text(clipped(part, LONGEST_TIP).replace("\\", "\\\\")) for part in parts)
    return '"' + "\\n".join(lines) + '"'


def short_name(name: str) -> str:
    """An id as a box shows it: beginning and end of one that is very long."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9].rstrip()}…{name[-8:].lstrip()}"


def sign(aliases: Collection[str]) -> str:
    """The sign among an op's names (`+`, `**`), if it has one."""
    return next((a for a in aliases if not any(c.isalnum() or c == "_" for c in a)), "")
