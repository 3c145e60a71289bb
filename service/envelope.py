"""The body of a request, read: fields, program and values, with all their mistakes found together.

A mistake in one field does not hide those in others: what can still be read is read, and only then is everything that
is wrong reported at once. (What needs a whole program and whole inputs, shapes above all, is found after that, by
`engine.derive.prepare`.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from engine.aval import MAX_RANK, Aval, DType
from engine.derive import Request
from engine.errors import EngineError, nearest, quoted
from engine.language import TextLimits
from engine.program import Program
from engine.spec import GraphLimits, read_graph
from engine.values import Given
from service import signatures
from service.arrays import Form
from service.problems import Collector, Mistake, Problem, pointer_to
from service.programs import program_of_text
from service.reader import Reader, read_map, read_one
from service.registered import Known, Nobody, unknown
from service.schemas import (
    CheckRequest,
    CompareRequest,
    DerivativeRequest,
    EvaluateRequest,
    GradRequest,
    HessianRequest,
    HvpRequest,
    JacobianRequest,
    JvpRequest,
    LandscapeRequest,
    MinimizeRequest,
    ParseRequest,
    ProgramRequest,
    PropagateRequest,
    RenderRequest,
    TaylorRequest,
    TraceRequest,
    VjpRequest,
)
from service.settings import Settings

if TYPE_CHECKING:
    from service.readings import Like

REQUESTS: dict[str, type[ProgramRequest]] = {
    "evaluate": EvaluateRequest,
    "grad": GradRequest,
    "jvp": JvpRequest,
    "vjp": VjpRequest,
    "jacobian": JacobianRequest,
    "hessian": HessianRequest,
    "hvp": HvpRequest,
    "taylor": TaylorRequest,
    "trace": TraceRequest,
    "check": CheckRequest,
    "derivative": DerivativeRequest,
    "landscape": LandscapeRequest,
    "minimize": MinimizeRequest,
    "compare": CompareRequest,
    "propagate": PropagateRequest,
    "parse": ParseRequest,
    "render": RenderRequest,
}
"""The request model of each verb."""

PROGRAMS = ("expression", "graph", "graph_id")
"""The fields that a program can stand in."""

_MUST_BE = {
    "expression": "a string of program text",
    "graph": "an object with the list `nodes`",
    "graph_id": "a string",
    "inputs": "an object of values by input id",
    "of": "a node id, or a list of them",
    "wrt": "a list of node ids",
    "mode": "'auto', 'reverse' or 'forward'",
    "nodes": "'all', 'named' or 'none'",
    "in_axes": "an object {input: axis}, or a list of such objects",
    "dtype": "'float64' or 'float32'",
    "arrays": "'list' or 'base64'",
    "include": "a list of 'dot', 'svg', 'timing' and 'derivative_graph'",
    "tangents": "an object of values by node id",
    "cotangents": "an object of values by output id",
    "vector": "an object of values by node id",
    "order": "a non-negative integer",
    "sparse": "true or false",
    "lagrangian": "true or false",
    "summarize_over": "a non-negative integer",
    "signature": "an object {input: {shape, dtype}}",
    "format": "'dot', 'svg' or 'png'",
    "direction": "'LR' or 'TB'",
    "show": "a list of 'values', 'gradients' and 'shapes'",
    "name": "a string",
    "description": "a string",
    "replace": "true or false",
}


Lookup: TypeAlias = Callable[[str], Known | Nobody]
"""The registered program of an id or name, if there is one."""


def nobody(ref: str) -> Nobody:
    """No program is registered."""
    return Nobody()


@dataclass(frozen=True)
class Envelope:
    """What was asked: the engine's part, and what the service itself looks after."""

    verb: str
    request: Request
    fields: Any
    """The request's model; one that fits the verb."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """What was read of the verb's own fields (`ProgramRequest.read`)."""
    form: Form = "list"
    signature: Mapping[str, Aval] = field(default_factory=dict)
    like: Like | None = None
    """What was known of requests like this one, if it was read with the help of that."""

    @property
    def include(self) -> frozenset[str]:
        """Parts that the answer should have besides."""
        return self.request.include


def read_envelope(
    verb: str,
    body: dict[str, Any],
    settings: Settings,
    registered: Lookup = nobody,
    *,
    ref: str | None = None,
) -> Envelope:
    """Everything in the body of a request for `verb`. Raises `Problem` with all that is wrong, and what `registered` raises,
    which looks up registered programs. `ref` is the id or name of the program where the path says it."""
    mistakes = Collector()
    model = REQUESTS[verb]
    known: Known | Nobody | None
    if ref is None:
        fields = read_fields(verb, model, body, mistakes)
        named = {**fields.inputs, **getattr(fields, "start", {}), **getattr(fields, "bounds", {})}
        known = read_program(fields, body, named, settings, registered, mistakes)
    else:
        known = registered(ref)
        if isinstance(known, Nobody):
            raise Problem([unknown(ref, known.near)])
        fields = read_fields(verb, model, _without_program(body, mistakes), mistakes)
    program = None if known is None else known.program
    in_axes = _in_axes(fields.in_axes, mistakes)
    signature = read_signature(getattr(fields, "signature", None), program, mistakes)
    maps: dict[str, dict[str, Given]] = {}
    for name, what in (
        ("tangents", "tangent of"),
        ("cotangents", "cotangent of"),
        ("vector", "vector entry for"),
        *([("direction", "direction of")] if verb == "taylor" else []),
    ):
        if name in model.model_fields:
            maps[name] = read_map(getattr(fields, name), name, what, settings, mistakes)
    seed = getattr(fields, "seed", None)
    if seed is not None:
        seed = read_one(seed, "the seed", "/seed", settings, mistakes)
    inputs = _inputs(fields.inputs, program, settings, verb, mistakes)
    given = fields.read(Reader(settings, mistakes, program))
    if known is not None and known.signature:
        signature = {**known.signature, **signature}
        inputs = signatures.fitted(known.program, known.signature, inputs, in_axes, mistakes)
    mistakes.raise_if_any()
    assert program is not None
    request = Request(
        program=program,
        inputs=inputs,
        of=tuple(fields.of) if isinstance(fields.of, list) else fields.of,
        wrt=None if fields.wrt is None else tuple(fields.wrt),
        mode=fields.mode,
        nodes=fields.nodes,
        in_axes=in_axes,
        dtype=fields.dtype,
        seed=seed,
        order=getattr(fields, "order", 1),
        sparse=getattr(fields, "sparse", False),
        lagrangian=getattr(fields, "lagrangian", False),
        summarize_over=getattr(fields, "summarize_over", None),
        include=frozenset(fields.include),
        **maps,
    )
    return Envelope(verb, request, fields, given, fields.arrays, signature)


# ----------------------------------------------------------------------------------------------------------- fields


def read_fields(verb: str, model: type[BaseModel], body: dict[str, Any], mistakes: Collector) -> Any:
    """The fields, checked; those that are wrong are noted and have their defaults."""
    known = model.model_fields
    given = {k: v for k, v in body.items() if k in known}
    if len(given) < len(body):
        for name in body:
            if name not in known:
                mistakes.add_if_wanted(partial(_unknown_field, verb, name, known))
    try:
        return model.model_validate(given)
    except ValidationError as error:
        for name, mistake in _invalid_fields(error, given, model).items():
            mistakes.add(mistake)
            del given[name]
        return model.model_validate(given)


def _unknown_field(verb: str, name: str, known: Iterable[str]) -> Mistake:
    others = sorted(v for v, m in REQUESTS.items() if name in m.model_fields)
    near = () if others else nearest(name, known)
    if others:
        hint = f" It is a field of {', '.join(others)}."
    elif near:
        hint = f" Did you mean {' or '.join(near)}?"
    else:
        hint = ""
    return Mistake(
        "unknown-field",
        f"{verb} has no field {quoted(name)}.{hint}",
        pointer=pointer_to([name]) if len(name) <= 256 else "",
        suggestions=near,
    )


def _invalid_fields(
    error: ValidationError, given: dict[str, Any], model: type[BaseModel]
) -> dict[str, Mistake]:
    """One mistake for each field that is wrong. (A union has several errors; the deepest place is what is meant.)"""
    own: Mapping[str, str] = getattr(model, "MUST_BE", {})
    found: dict[str, Mistake] = {}
    places: dict[str, tuple[str | int, ...]] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(one["loc"][0])
        inside = tuple(part for part in one["loc"][1:] if isinstance(part, int))
        if len(inside) >= len(places.get(name, ())):
            places[name] = inside
    for name, place in places.items():
        value = given[name]
        for index in place:
            value = value[index]
        must = own.get(name) or _MUST_BE[name]
        choices = _choices(name) if isinstance(value, str) else ()
        found[name] = Mistake(
            "invalid-field",
            f"`{name}` must be {must}; {f'entry {list(place)}' if place else 'it'} is {_shown(value)}.",
            pointer=pointer_to([name, *place]),
            suggestions=nearest(value, choices) if choices else (),
        )
    return found


def _choices(name: str) -> tuple[str, ...]:
    """The strings that a field can be (or its entries)."""
    found: list[str] = []
    todo: list[Any] = [m.model_fields[name].annotation for m in REQUESTS.values() if name in m.model_fields][
        :1
    ]
    while todo:
        part = todo.pop()
        if getattr(part, "__origin__", None) is Literal:
            found += get_args(part)
        else:
            todo += [a for a in get_args(part) if not isinstance(a, str)]
    return tuple(found)


def _shown(value: object) -> str:
    """What a value is, not what it holds, except for a short quote."""
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, float):
        return f"the number {value!r}" if np.isfinite(value) else "a number beyond double range"
    return f"the number {value}" if isinstance(value, int) and abs(value) < 10**20 else "a number"


# ---------------------------------------------------------------------------------------------------------- program


def _without_program(body: dict[str, Any], mistakes: Collector) -> dict[str, Any]:
    """The body of a request whose path names the program: a second program is a mistake."""
    for name in PROGRAMS:
        if name in body:
            detail = f"The path says which program is meant, so the body has no `{name}`."
            mistakes.add(Mistake("unknown-field", detail, pointer=f"/{name}"))
    return {k: v for k, v in body.items() if k not in PROGRAMS}


def read_program(
    fields: Any,
    body: dict[str, Any],
    inputs: Collection[str],
    settings: Settings,
    registered: Lookup,
    mistakes: Collector,
) -> Known | None:
    """The program, of a text in which `inputs` are names of inputs, whatever they mean else; with the signature of a
    registered one. None where it is missing or wrong, which is noted."""
    named = [name for name in PROGRAMS if body.get(name) is not None]
    if not named:
        mistakes.add(
            Mistake(
                "program-required",
                "There is no program: give one of `expression`, `graph` and `graph_id`.",
                pointer="/expression",
            )
        )
        return None
    if len(named) > 1:
        mistakes.add(
            Mistake(
                "program-required",
                f"There are {len(named)} programs, {' and '.join(f'`{n}`' for n in named)}; give one of them.",
                pointer=f"/{named[-1]}",
            )
        )
    try:
        if fields.expression is not None:
            limits = TextLimits(expression_chars=settings.expression_chars, nodes=settings.nodes)
            return Known(program_of_text(fields.expression, inputs, limits))
        if fields.graph is not None:
            limits_of_graph = GraphLimits(nodes=settings.nodes, elements=settings.elements)
            return Known(read_graph(fields.graph, limits=limits_of_graph))
        if fields.graph_id is not None:
            known = registered(fields.graph_id)
            if isinstance(known, Nobody):
                mistakes.add(unknown(fields.graph_id, known.near, "/graph_id"))
                return None
            return known
    except EngineError as error:
        mistakes.add_engine(error)
    return None


# ----------------------------------------------------------------------------------------------------------- values


def _inputs(
    given: Mapping[str, Any], program: Program | None, settings: Settings, verb: str, mistakes: Collector
) -> dict[str, Given]:
    """The values of inputs. Names that are no inputs are mistakes; missing ones are left to `prepare`, unless other
    mistakes keep it from being asked."""
    if program is None:
        return read_map(given, "inputs", "input", settings, mistakes)
    steps = program.steps
    names = {steps[i].id: "value" in steps[i].attrs for i in program.inputs}
    known = {k: v for k, v in given.items() if k in names}
    if len(known) < len(given):
        for name in given:
            if name not in names:
                mistakes.add_if_wanted(partial(_unknown_input, name, names, "inputs"))
    found = read_map(known, "inputs", "input", settings, mistakes)
    if mistakes.mistakes and verb not in ("parse", "render", "derivative", "minimize"):
        for name, has_default in names.items():
            if name not in given and not has_default:
                mistakes.add_if_wanted(partial(_missing_input, name))
    return found


def _unknown_input(name: str, inputs: Iterable[str], where: str) -> Mistake:
    near = nearest(name, inputs)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return Mistake(
        "unknown-input",
        f"The program has no input {quoted(name)}.{hint}",
        node=name,
        pointer=pointer_to([where, name]),
        suggestions=near,
    )


def _missing_input(name: str) -> Mistake:
    return Mistake(
        "missing-input",
        f"The input {quoted(name)} has no value.",
        node=name,
        pointer=pointer_to(["inputs", name]),
    )


# --------------------------------------------------------------------------------------------------- axes, signature


def _in_axes(given: Any, mistakes: Collector) -> tuple[Mapping[str, int], ...]:
    """`in_axes` as a tuple of maps, outermost first."""
    if given is None:
        return ()
    single = isinstance(given, dict)
    result = []
    for level, mapping in enumerate([given] if single else given):
        checked = {}
        for name, axis in mapping.items():
            if isinstance(axis, float) and axis.is_integer():
                axis = int(axis)
            if isinstance(axis, int) and not isinstance(axis, bool) and abs(axis) <= MAX_RANK:
                checked[name] = axis
            else:
                place = ("in_axes", name) if single else ("in_axes", level, name)
                mistakes.add_if_wanted(partial(_wrong_axis, place, axis))
        result.append(checked)
    return tuple(result)


def _wrong_axis(place: tuple[str | int, ...], axis: Any) -> Mistake:
    return Mistake(
        "invalid-field",
        f"in_axes: the axis of {quoted(place[-1])} must be an integer from {-MAX_RANK} to {MAX_RANK}; it is "
        f"{_shown(axis)}.",
        pointer=pointer_to(place),
    )


def read_signature(given: Any, program: Program | None, mistakes: Collector) -> dict[str, Aval]:
    """`signature` as avals. An input that the program does not have is a mistake."""
    result: dict[str, Aval] = {}
    inputs = None if program is None else {program.steps[i].id for i in program.inputs}
    for name, entry in (given or {}).items():
        if inputs is not None and name not in inputs:
            mistakes.add_if_wanted(partial(_unknown_input, name, inputs, "signature"))
            continue
        aval = _type(name, entry, mistakes)
        if aval is not None:
            result[name] = aval
    return result


def _type(name: str, entry: Any, mistakes: Collector) -> Aval | None:
    """Shape and dtype of one input; None where they are wrong, which is noted."""

    def wrong(kind: str, detail: str, *place: str | int) -> None:
        pointer = pointer_to(["signature", name, *place])
        mistakes.add(Mistake(kind, f"signature of {quoted(name)}: {detail}", pointer=pointer))

    if not isinstance(entry, dict):
        wrong("invalid-field", f"must be an object with `shape` and `dtype`; it is {_shown(entry)}.")
        return None
    for key in entry:
        if key not in ("shape", "dtype"):
            wrong("unknown-field", f"there is no field {quoted(key)}; there are shape and dtype.", key)
            return None
    shape = entry.get("shape")
    dtype = entry.get("dtype", "float64")
    if not isinstance(shape, list) or len(shape) > MAX_RANK:
        wrong(
            "invalid-field",
            f"the shape must be a list of at most {MAX_RANK} sizes; it is {_shown(shape)}.",
            "shape",
        )
        return None
    sizes = [int(n) if isinstance(n, float) and n.is_integer() else n for n in shape]
    for k, n in enumerate(sizes):
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 2**48:
            wrong(
                "invalid-field",
                f"a size must be a non-negative integer; entry {k} is {_shown(n)}.",
                "shape",
                k,
            )
            return None
    if not isinstance(dtype, str) or dtype not in get_args(DType):
        choices = ", ".join(get_args(DType))
        wrong("invalid-field", f"the dtype must be one of {choices}; it is {_shown(dtype)}.", "dtype")
        return None
    return Aval(tuple(sizes), dtype)  # type: ignore[arg-type]  # checked just above
