"""What is asked for: the fields that all verbs share, and their resolution against a typed program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from engine.aval import Array, Aval, DType
from engine.errors import (
    DtypeMismatch,
    EngineError,
    InvalidField,
    MistakeCollector,
    NonScalarOutput,
    NotDifferentiable,
    ShapeMismatch,
    UnknownNode,
    Where,
    nearest,
    quoted,
)
from engine.program import Program
from engine.specialize import Typed, pointer_part, typed_array
from engine.values import Given

Mode: TypeAlias = Literal["auto", "reverse", "forward"]
Selection: TypeAlias = Literal["all", "named", "none"]


@dataclass(frozen=True)
class Request:
    """One request for values or derivatives of a program (`api.md`, sections 3 to 5). Absent fields have their defaults."""

    program: Program
    inputs: Mapping[str, Given] = field(default_factory=dict)
    of: str | tuple[str, ...] | None = None
    wrt: tuple[str, ...] | None = None
    mode: Mode = "auto"
    nodes: Selection = "all"
    in_axes: tuple[Mapping[str, int], ...] = ()
    dtype: DType = "float64"
    seed: Given | None = None
    tangents: Mapping[str, Given] = field(default_factory=dict)
    cotangents: Mapping[str, Given] = field(default_factory=dict)
    vector: Mapping[str, Given] = field(default_factory=dict)
    direction: Mapping[str, Given] = field(default_factory=dict)
    order: int = 1
    sparse: bool = False
    lagrangian: bool = False
    summarize_over: int | None = None
    include: frozenset[str] = frozenset()


def find(typed: Typed, name: str, pointer: str) -> int:
    """The step of an id. Raises `UnknownNode` with suggestions."""
    program = typed.program
    i = program.index.get(name)
    if i is None:
        near = nearest(name, program.index)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownNode(
            f"The program has no node {quoted(name)}.{hint}",
            node=name,
            where=Where(pointer=pointer),
            suggestions=near,
        )
    if not isinstance(typed.nodes[i], int):
        raise UnknownNode(
            f"{quoted(name)} has several results; name the node that reads the one that is meant.",
            node=name,
            where=Where(pointer=pointer),
        )
    return i


def find_floating(typed: Typed, name: str, pointer: str, role: str) -> int:
    """The floating step of an id. Raises `NotDifferentiable` for integers and booleans, `UnknownNode`."""
    i = find(typed, name, pointer)
    aval = typed.aval(i)
    if not aval.floating:
        kind = "integers" if aval.dtype == "int64" else "booleans"
        raise NotDifferentiable(
            f"{quoted(name)} holds {kind}, which have no derivative; {role} must be a floating-point node.",
            node=name,
            where=Where(pointer=pointer),
        )
    return i


def resolve_of(typed: Typed, request: Request) -> int:
    """The one node to differentiate: `of`, by default the first output."""
    if isinstance(request.of, tuple):
        if len(request.of) != 1:
            raise InvalidField(
                "`of` must name one node here; a list is for jacobian.", where=Where(pointer="/of")
            )
        return find_floating(typed, request.of[0], "/of/0", "what is differentiated")
    name = request.of if request.of is not None else typed.program.output_ids[0]
    return find_floating(typed, name, "/of", "what is differentiated")


def check_of(typed: Typed, request: Request) -> None:
    """For verbs that differentiate no single node: `of` must still name nodes that exist. Raises `UnknownNode`."""
    if isinstance(request.of, str):
        find(typed, request.of, "/of")
    for k, name in enumerate(request.of if isinstance(request.of, tuple) else ()):
        find(typed, name, f"/of/{k}")


def resolve_many_of(typed: Typed, request: Request) -> list[int]:
    """The nodes to differentiate: `of`, by default all floating outputs."""
    if request.of is None:
        outs = [i for i in typed.program.outputs if typed.aval(i).floating]
        if not outs:
            return [resolve_of(typed, request)]
        return outs
    names = (request.of,) if isinstance(request.of, str) else request.of
    if not names:
        raise InvalidField("`of` must name at least one node.", where=Where(pointer="/of"))
    found = [
        find_floating(
            typed, n, "/of" if isinstance(request.of, str) else f"/of/{k}", "what is differentiated"
        )
        for k, n in enumerate(names)
    ]
    _no_repeats(names, "/of")
    return found


def resolve_wrt(typed: Typed, request: Request) -> list[int]:
    """The nodes to differentiate by: `wrt`, by default every floating input."""
    if request.wrt is None:
        return [i for i in typed.program.inputs if typed.aval(i).floating]
    if not request.wrt:
        raise InvalidField("`wrt` must name at least one node.", where=Where(pointer="/wrt"))
    mistakes = MistakeCollector()
    found = []
    for k, name in enumerate(request.wrt):
        try:
            found.append(find_floating(typed, name, f"/wrt/{k}", "what is differentiated by"))
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    _no_repeats(request.wrt, "/wrt")
    return found


def _no_repeats(names: Sequence[str], pointer: str) -> None:
    seen: set[str] = set()
    for k, name in enumerate(names):
        if name in seen:
            raise InvalidField(
                f"{quoted(name)} is named twice.", node=name, where=Where(pointer=f"{pointer}/{k}")
            )
        seen.add(name)


def selected(typed: Typed, request: Request, always: Sequence[int]) -> list[int]:
    """The steps to report, in evaluation order: those of `nodes`, the outputs, and `always`."""
    steps = typed.program.steps
    chosen = set(typed.program.outputs) | set(always)
    if request.nodes != "none":
        chosen |= {i for i in typed.reported if request.nodes == "all" or steps[i].named}
    return sorted(chosen)


def fitting(
    given: Given, aval: Aval, dtype: DType, name: str, pointer: str, batch: tuple[int, ...] = ()
) -> Array:
    """A seed, tangent, cotangent or vector entry as an array of exactly the shape it belongs to.

    In a map the shape with leading batch axes is taken too. Raises `ShapeMismatch`, `DtypeMismatch`.
    """
    if given.value.dtype.kind == "b":
        raise DtypeMismatch(
            f"{quoted(name)} needs numbers here, not booleans.", node=name, where=Where(pointer=pointer)
        )
    shape = given.value.shape
    if shape != aval.shape and not (batch and shape == (*batch, *aval.shape)):
        also = f" (or, one for each member, {[*batch, *aval.shape]})" if batch else ""
        raise ShapeMismatch(
            f"This belongs to {quoted(name)} and must have its shape {list(aval.shape)}{also}; it has {list(shape)}.",
            node=name,
            where=Where(pointer=pointer),
        )
    return np.asarray(typed_array(given, dtype)).astype(dtype)


def seed_for(typed: Typed, request: Request, of: int, batch: tuple[int, ...] = ()) -> Array:
    """The cotangent that starts the backward walk: `seed`, or 1 for a scalar. Raises `NonScalarOutput`."""
    aval = typed.aval(of)
    name = typed.program.steps[of].id
    if request.seed is not None:
        return fitting(request.seed, aval, request.dtype, name, "/seed", batch)
    if aval.shape != ():
        raise NonScalarOutput(
            f"{quoted(name)} has shape {list(aval.shape)}; the gradient of an array needs a `seed` of that shape "
            "(the cotangent it is multiplied with). For all its derivatives ask for the jacobian; for that of its sum, "
            "differentiate sum(…).",
            node=name,
            where=Where(pointer="/seed"),
        )
    return np.ones((), request.dtype)


def named_arrays(
    typed: Typed,
    request: Request,
    field_name: str,
    values: Mapping[str, Given],
    batch: tuple[int, ...],
    mapped: bool,
) -> dict[int, Array]:
    """Arrays for floating nodes named in a field such as `tangents`, by step.

    With `mapped` an input's array is taken as it is, since it is mapped as its input is.
    """
    mistakes = MistakeCollector()
    found: dict[int, Array] = {}
    for name, given in values.items():
        pointer = f"/{field_name}/{pointer_part(name)}"
        try:
            i = find_floating(typed, name, pointer, f"what `{field_name}` names")
            if mapped and i in typed.program.inputs:
                found[i] = np.asarray(typed_array(given, request.dtype)).astype(request.dtype)
            else:
                found[i] = fitting(given, typed.aval(i), request.dtype, name, pointer, batch)
        except EngineError as error:
            mistakes.add(error)
    mistakes.raise_if_any()
    return found
