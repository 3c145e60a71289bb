"""What can be said of a program without running it: its formula, its inputs, its shapes and its cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.aval import Array, Aval, DType, aval_of
from engine.cost import Limits, cost_of
from engine.errors import InvalidAttribute, UnknownInput, Where, nearest, quoted
from engine.program import INPUT, Program
from engine.render.boxes import latex_of, mathml_of
from engine.render.latex import program_layout
from engine.specialize import Typed, integer_inputs, pointer_part, specialize, typed_array
from engine.values import Given


def describe(program: Program, signature: Mapping[str, Aval] | None, limits: Limits) -> dict[str, Any]:
    """The answer of the verb `parse`, arrays as NumPy arrays.

    `signature` has the types of inputs that the request gives; other inputs have the types of their defaults, if any.
    Shapes are those of the nodes whose inputs are all known, cost is known if every input is. `latex` and `mathml` are
    None for programs too long to be formulas (`engine.render.latex.MAX_STEPS`).

    Raises `UnknownInput` for a signature of something that is no input, what `specialize` raises for shapes or dtypes
    that do not fit, and `LimitExceeded`.
    """
    known = _Types(program, signature or {}, limits)
    formula = program_layout(program)
    cost = known.cost()
    return {
        "graph_id": program.digest,
        "inputs": [known.input(program.steps[i].id) for i in program.inputs],
        "output_ids": program.output_ids,
        "graph": program.to_json(),
        "latex": None if formula is None else latex_of(formula),
        "mathml": None if formula is None else mathml_of(formula),
        "cost": {"nodes": len(program.steps), **cost},
        "shapes": {name: list(aval.shape) for name, aval in known.nodes.items()},
    }


def known_types(program: Program, signature: Mapping[str, Aval] | None, limits: Limits) -> dict[str, Aval]:
    """Shape and dtype of the nodes whose inputs `signature` and the inputs' defaults tell; raises as `describe`."""
    return _Types(program, signature or {}, limits).nodes


class _Types:
    """What is known of a program's types: `nodes` by id, and `typed` if that is everything."""

    def __init__(self, program: Program, signature: Mapping[str, Aval], limits: Limits) -> None:
        self.program = program
        self.dtype = _dtype(signature)
        self.defaults = self._defaults()
        self.avals = self._avals(signature)
        self.nodes: dict[str, Aval] = {}
        self.typed: Typed | None = None
        part = self._part()
        statics = {
            name: value
            for name, value in self.defaults.items()
            if value.dtype == np.int64 and self.avals[name] == aval_of(value)
        }
        try:
            typed = specialize(part, self.avals, dtype=self.dtype, limits=limits, statics=statics)
        except InvalidAttribute:
            # An integer whose type alone is known may have to decide a shape: no mistake, but no types either.
            if not any(a.dtype == "int64" and name not in statics for name, a in self.avals.items()):
                raise
            self.nodes = dict(self.avals)
            return
        self.nodes = {part.steps[i].id: typed.aval(i) for i in typed.reported}
        if part is program:
            self.typed = typed

    def _defaults(self) -> dict[str, Array]:
        """The inputs' defaults, in the dtypes that they have in the program."""
        program = self.program
        found: dict[str, Array] = {}
        integers: frozenset[int] | None = None
        for i in program.inputs:
            default = program.steps[i].attrs.get("value")
            if default is not None:
                integers = integer_inputs(program) if integers is None else integers
                given = Given(default.value, default.weak, default.weak and default.integral)
                found[program.steps[i].id] = typed_array(given, self.dtype, integer=i in integers)
        return found

    def _avals(self, signature: Mapping[str, Aval]) -> dict[str, Aval]:
        """The types of inputs that are known. Raises `UnknownInput`."""
        program = self.program
        ids = {program.steps[i].id for i in program.inputs}
        for name in signature:
            if name not in ids:
                near = nearest(name, ids)
                raise UnknownInput(
                    f"The signature names {quoted(name)}, which is no input of the program."
                    + (f" Did you mean {near[0]}?" if near else ""),
                    node=name,
                    where=Where(pointer=f"/signature/{pointer_part(name)}"),
                    suggestions=near,
                )
        given = {name: Aval(a.shape, self.dtype) if a.floating else a for name, a in signature.items()}
        return {name: aval_of(value) for name, value in self.defaults.items()} | given

    def _part(self) -> Program:
        """The steps that depend on inputs of known types alone, as a program; itself if that is all of it."""
        steps = self.program.steps
        place: dict[int, int] = {}
        for i, step in enumerate(steps):
            known = step.id in self.avals if step.op is INPUT else True
            if known and all(not isinstance(a, int) or a in place for a in step.operands):
                place[i] = len(place)
        if len(place) == len(steps):
            return self.program
        kept = (
            steps[i]._replace(
                operands=tuple(place[a] if isinstance(a, int) else a for a in steps[i].operands)
            )
            for i in place
        )
        return Program(tuple(kept), (), self.program.source)

    def input(self, name: str) -> dict[str, Any]:
        """What is known of an input; `default` only where it has one."""
        aval = self.avals.get(name)
        entry: dict[str, Any] = {
            "id": name,
            "shape": None if aval is None else list(aval.shape),
            "dtype": None if aval is None else aval.dtype,
        }
        return entry | ({"default": self.defaults[name]} if name in self.defaults else {})

    def cost(self) -> dict[str, float | int | None]:
        """Operations and bytes of computing all nodes once; None where types are missing."""
        if self.typed is None:
            return {"flops": None, "bytes": None}
        cost = cost_of(
            self.typed.graph.with_outputs([self.typed.node(i) for i in self.typed.reported]), keep=True
        )
        return {"flops": cost.flops, "bytes": cost.bytes}


def _dtype(signature: Mapping[str, Aval]) -> DType:
    """The program's one floating dtype: single precision only if all that the signature says is."""
    floating = {a.dtype for a in signature.values() if a.floating}
    return "float32" if floating == {"float32"} else "float64"
