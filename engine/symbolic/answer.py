"""The verb `derivative`: what is asked for, and the answer's fields. Nothing is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.aval import Array, Aval, aval_of
from engine.builder import GraphBuilder
from engine.cost import Limits
from engine.derive.request import Request, find_floating, resolve_of, resolve_wrt
from engine.errors import (
    EngineError,
    InvalidField,
    LimitExceeded,
    MistakeCollector,
    UnknownInput,
    Unsupported,
    Where,
    nearest,
    quoted,
)
from engine.execute.meter import Meter
from engine.program import Program
from engine.render.boxes import latex_of, mathml_of
from engine.render.code import LANGUAGES, Derivative, Unit
from engine.render.code.identifiers import identifiers as identifiers_of
from engine.render.latex import program_layout
from engine.render.text import is_name, program_text
from engine.specialize import Typed, integer_inputs, pointer_part, specialize, typed_array
from engine.symbolic.nested import nested
from engine.symbolic.orders import Derived, check_order, derive
from engine.symbolic.people import Textbook
from engine.symbolic.read import Unspelled
from engine.symbolic.simplify import Simplified, simplified
from engine.values import Given

FORMULAS = ("expression", "graph", "latex", "mathml")
"""Formats of each derivative."""
FORMATS = (*FORMULAS, "onnx", "python", "c", "javascript")
DEFAULT = ("expression", "graph", "latex")


@dataclass(frozen=True)
class Options:
    """What `derivative` is asked for beside the common fields. `order` None is 1, or the number of `wrt` if `mixed`."""

    order: int | None = None
    mixed: bool = False
    signature: Mapping[str, Aval] = field(default_factory=dict)
    formats: tuple[str, ...] = DEFAULT
    expression_chars: int = 262_144


@dataclass(eq=False)
class _Formulas:
    """What derivatives are said by: expressions in normal form, or ops that differentiate where that is impossible."""

    programs: Callable[[int, bool], Program]
    """Derivative k; for a graph, or to be read."""


def derivative(request: Request, options: Options, limits: Limits, meter: Meter) -> dict[str, Any]:
    """The answer's fields.

    Types of inputs are those of the signature, else of the values given, else of defaults; what nobody tells is a scalar.
    Raises `EngineError` for fields and types that do not make sense, `LimitExceeded`, `Unsupported` for a language that
    cannot say it.
    """
    for k, name in enumerate(options.formats):
        if name == "onnx":
            raise Unsupported("ONNX is not written yet.", where=Where(pointer=f"/format/{k}"))
    typed = _typed(request, options, limits, meter)
    of = resolve_of(typed, request)
    wrt, order = _wrt(typed, request, options)
    check_order(order, limits)
    steps = typed.program.steps
    answer: dict[str, Any] = {"of": steps[of].id, "output_ids": typed.program.output_ids}
    warnings: list[dict[str, Any]] = []
    code = [name for name in dict.fromkeys(options.formats) if name in LANGUAGES]
    exact: Derived | None = None
    if code:
        exact = _derive(typed, of, wrt, order, options, limits, meter, GraphBuilder)
    keys, listed = _keys(typed, wrt, order, options.mixed)
    names = [(key, tuple(steps[i].id for i in by)) for key, by in zip(keys, listed, strict=True)]
    identifiers = identifiers_of(typed.program.input_ids, names, steps[of].id, "f").ids
    wanted = [name for name in FORMULAS if name in options.formats]
    if wanted:
        formulas = _formulas(typed, of, wrt, order, listed, options, limits, meter)
        writing = _Writing(options, limits, meter, identifiers, warnings)
        answer["derivatives"] = {key: writing.formats(key, k, formulas, wanted) for k, key in enumerate(keys)}
    else:
        answer["derivatives"] = {key: {} for key in keys}
    if exact is not None:
        unit = _unit_of(exact)
        answer["code"] = {name: LANGUAGES[name](unit, meter.check) for name in code}
    shown = {*typed.program.input_ids, *(name for _, by in names for name in by)}
    answer["identifiers"] = {name: new for name, new in identifiers.items() if name in shown}
    return answer | {"graph_id": typed.program.digest, "warnings": warnings}


# ------------------------------------------------------------------------------------------------------ what is asked


def _typed(request: Request, options: Options, limits: Limits, meter: Meter) -> Typed:
    """The program for the types that are told. Raises `UnknownInput`, and what `specialize` raises."""
    program, dtype = request.program, request.dtype
    mistakes = MistakeCollector(limits.errors)
    ids = set(program.input_ids)
    for name in request.inputs:
        if name not in ids:
            near = nearest(name, ids)
            hint = f" Did you mean {near[0]}?" if near else ""
            where = Where(pointer=f"/inputs/{pointer_part(name)}")
            text = f"The program has no input {quoted(name)}.{hint}"
            mistakes.add(UnknownInput(text, node=name, where=where, suggestions=near))
    mistakes.raise_if_any()
    integer = integer_inputs(program)
    avals: dict[str, Aval] = {}
    statics: dict[str, Array] = {}
    for i in program.inputs:
        step = program.steps[i]
        given = request.inputs.get(step.id)
        default = step.attrs.get("value")
        if given is None and default is not None:
            given = Given(default.value, default.weak, default.weak and default.integral)
        said = options.signature.get(step.id)
        value = None if given is None else typed_array(given, dtype, integer=i in integer)
        if said is not None:
            avals[step.id] = Aval(said.shape, dtype) if said.floating else said
        elif value is not None:
            avals[step.id] = aval_of(value)
        else:
            avals[step.id] = Aval((), "int64" if i in integer else dtype)
        if (
            value is not None
            and value.dtype == np.int64
            and value.size <= 64
            and avals[step.id] == aval_of(value)
        ):
            statics[step.id] = value
    with np.errstate(all="ignore"):
        return specialize(program, avals, dtype=dtype, limits=limits, statics=statics, step=meter.check)


def _wrt(typed: Typed, request: Request, options: Options) -> tuple[list[int], int]:
    """What is differentiated by, and the order."""
    if not options.mixed:
        return resolve_wrt(typed, request), 1 if options.order is None else options.order
    if not request.wrt:
        raise InvalidField(
            "A mixed derivative needs `wrt`: the ids in the order of differentiation; they may repeat.",
            where=Where(pointer="/wrt"),
        )
    mistakes = MistakeCollector()
    found = []
    for k, name in enumerate(request.wrt):
        try:
            found.append(find_floating(typed, name, f"/wrt/{k}", "what is differentiated by"))
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    if options.order is not None and options.order != len(found):
        raise InvalidField(
            f"A mixed derivative has as many orders as `wrt` has ids, {len(found)}; `order` says {options.order}.",
            where=Where(pointer="/order"),
        )
    return found, len(found)


def _keys(
    typed: Typed, wrt: Sequence[int], order: int, mixed: bool
) -> tuple[list[str], list[tuple[int, ...]]]:
    """Keys of the answer, and what each derivative is taken by."""
    steps = typed.program.steps
    if mixed:
        return [",".join(steps[i].id for i in wrt)], [tuple(wrt)]
    return [steps[i].id for i in wrt], [(i,) * order for i in wrt]


def _derive(
    typed: Typed,
    of: int,
    wrt: Sequence[int],
    order: int,
    options: Options,
    limits: Limits,
    meter: Meter,
    builder: type[GraphBuilder],
) -> Derived:
    with np.errstate(all="ignore"):
        return derive(
            typed, of, wrt, order, mixed=options.mixed, limits=limits, step=meter.check, builder=builder
        )


def _unit_of(derived: Derived) -> Unit:
    """What code is written from."""
    derivatives = tuple(Derivative(k, w) for k, w in zip(derived.keys, derived.wrt, strict=True))
    return Unit(derived.graph, derived.of, derived.inputs, derivatives, derived.dtype, derived.steps)


# ----------------------------------------------------------------------------------------------------------- formulas


def _formulas(
    typed: Typed,
    of: int,
    wrt: Sequence[int],
    order: int,
    listed: Sequence[tuple[int, ...]],
    options: Options,
    limits: Limits,
    meter: Meter,
) -> _Formulas:
    """Derivatives in normal form; those that no public ops say are said by ops that differentiate."""

    def found(by: Sequence[int]) -> Simplified:
        derived = _derive(typed, of, by, order, options, limits, meter, Textbook)
        return simplified(derived, typed.program, meter.check, limits)

    def written(one: Simplified, k: int, read: bool) -> Program:
        return one.text_program(k) if read else one.graph_program(k)

    try:
        whole = found(wrt)
    except Unspelled:
        if options.mixed:
            return _Formulas(lambda k, _: nested(typed, of, listed[k]))
    else:
        return _Formulas(lambda k, read: written(whole, k, read))
    known: dict[int, Simplified | None] = {}

    def alone(k: int, read: bool) -> Program:
        if k not in known:
            try:
                known[k] = found([wrt[k]])
            except Unspelled:
                known[k] = None
        one = known[k]
        return nested(typed, of, listed[k]) if one is None else written(one, 0, read)

    return _Formulas(alone)


class _Writing:
    """Writes the formats of derivatives, and keeps account of how much that is."""

    def __init__(
        self,
        options: Options,
        limits: Limits,
        meter: Meter,
        identifiers: Mapping[str, str],
        warnings: list[dict[str, Any]],
    ) -> None:
        self.options = options
        self.most = limits.response_elements
        self.meter = meter
        self.names = {name: new for name, new in identifiers.items() if not is_name(name)}
        self.warnings = warnings
        self.most_warnings = limits.warnings
        self.written = 0

    def formats(self, key: str, k: int, formulas: _Formulas, wanted: Sequence[str]) -> dict[str, Any]:
        """The formats of derivative k."""
        self.meter.look()
        found: dict[str, Any] = {}
        if any(name != "graph" for name in wanted):
            program = formulas.programs(k, True)
            self._count(len(program.steps))
            if "expression" in wanted:
                found["expression"] = self._expression(key, program)
            if "latex" in wanted or "mathml" in wanted:
                box = program_layout(program)
                if "latex" in wanted:
                    found["latex"] = None if box is None else latex_of(box)
                if "mathml" in wanted:
                    found["mathml"] = None if box is None else mathml_of(box)
        if "graph" in wanted:
            program = formulas.programs(k, False)
            self._count(len(program.steps))
            found["graph"] = program.to_json()
        return {name: found[name] for name in wanted}

    def _count(self, nodes: int) -> None:
        self.written += nodes
        if self.written > self.most:
            raise LimitExceeded(
                "response_elements",
                self.most,
                self.written,
                "Each derivative is written out as a program of its own; these are too many, or too long, for one answer. "
                "Name fewer nodes in `wrt`, or ask for code, where all derivatives share what is computed.",
            )

    def _expression(self, key: str, program: Program) -> str | None:
        try:
            text = program_text(program, self.names)
        except Unsupported as error:
            self._warn(key, error.detail)
            return None
        if len(text) > self.options.expression_chars:
            self._warn(
                key,
                f"The text has {len(text):,} characters; a posted program may have {self.options.expression_chars:,}. "
                "The graph says the same.",
            )
            return None
        return text

    def _warn(self, key: str, detail: str) -> None:
        if len(self.warnings) < self.most_warnings:
            self.warnings.append({"kind": "no-expression", "node": key, "detail": detail})
