"""Warnings: where a value, tangent or gradient became non-finite, and where a convention stood in for a derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.aval import Array, Aval
from engine.derive.culprit import guilty
from engine.graph import CONSTANT, INPUT, ITEM, Node
from engine.op import Linear, Op
from engine.program import Program
from engine.specialize import Typed


def _bad(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(v is not None and _bad(v) for v in value)
    return value.dtype.kind == "f" and not np.isfinite(value).all()


def _bad_ones(values: Sequence[Any]) -> list[int]:
    """Positions of values that are not finite; scalars are looked at all at once."""
    scalars = [i for i, v in enumerate(values) if isinstance(v, np.floating)]
    finite = np.isfinite(np.array([values[i] for i in scalars], np.float64)) if scalars else np.ones(0, bool)
    bad = [scalars[k] for k in np.flatnonzero(~finite)]
    bad += [
        i for i, v in enumerate(values) if v is not None and not isinstance(v, np.floating | list) and _bad(v)
    ]
    return sorted(bad)


def _shown(x: Any) -> str:
    x = float(x)
    if x != x:
        return "NaN"
    if np.isinf(x):
        return "Infinity" if x > 0 else "-Infinity"
    return f"{x:.6g}"


def _moving(derivative: Any, mask: Array) -> Array:
    """Where a tangent or cotangent is not zero; anywhere at all if its entries are not those of the mask."""
    there: Array = np.asarray(derivative) != 0
    return there if there.shape == mask.shape else np.broadcast_to(there.any(), mask.shape)


def _unexplained(value: Array, operands: Sequence[Array], elementwise: bool, batch: int = 0) -> Array:
    """Where a value is NaN though no operand is, or infinite though all operands are finite.

    Of an elementwise op each entry is judged by the operands' entries in its place, of others by all of them (of the
    same member, where `batch` leading axes are mapped).
    """
    nan, infinite = np.isnan(value), ~np.isfinite(value)
    for o in operands:
        if elementwise and o.shape in ((), value.shape):
            nan = nan & ~np.isnan(o)
            infinite = infinite & np.isfinite(o)
        else:
            axes = tuple(range(batch, o.ndim))
            shape = (*o.shape[:batch], *[1] * (value.ndim - batch)) if o.ndim >= batch else ()
            nan = nan & ~np.isnan(o).any(axes).reshape(shape)
            infinite = infinite & np.isfinite(o).all(axes).reshape(shape)
    mask: Array = np.asarray(nan | infinite)
    return mask


def _short(argument: Any) -> str:
    value = argument.value
    return _shown(value) if value.ndim == 0 else "[…]"


class Watch:
    """Looks over the values of a run and keeps the first `most` warnings.

    A non-finite value is reported where it arose: at the first node, in evaluation order, whose own operands do not
    explain it (it is NaN and none of them is, or it is infinite and all of them are finite). `batch` is the number of
    axes that all values lead with, and are mapped.
    """

    def __init__(self, typed: Typed, most: int, batch: int = 0) -> None:
        self.typed = typed
        self.most = most
        self.batch = batch
        self.warnings: list[dict[str, Any]] = []
        self._refs: Sequence[Any] = ()
        self._uses: dict[int, list[int]] | None = None

    def _operands(self, i: int) -> tuple[int, ...]:
        """What a node is computed from; one of several results, from what they all are."""
        nodes = self.typed.graph.nodes
        return nodes[nodes[i].inputs[0]].inputs if nodes[i].op is ITEM else nodes[i].inputs

    def _id(self, node: int) -> str:
        return self.typed.program.steps[self.typed.owner(node)].id

    def _add(self, kind: str, node: str, mask: Array, detail: str, **more: Any) -> None:
        if len(self.warnings) < self.most:
            index = [int(k) for k in np.unravel_index(int(np.argmax(mask)), mask.shape)] if mask.ndim else []
            self.warnings.append(
                {
                    "kind": kind,
                    "node": node,
                    **more,
                    "index": index,
                    "count": int(mask.sum()),
                    "detail": detail,
                }
            )

    def singular(self, node: int, mask: Array) -> None:
        """Members of a map for which the matrix of a node cannot be factored."""
        step = self.typed.program.steps[self.typed.owner(node)]
        what = "cannot be factored" if "cholesky" in self.typed.graph.nodes[node].op.name else "is singular"
        detail = f"{step.op.name} ({step.id}): the matrix {what}, so the result is NaN for this member"
        self._add("singular-matrix", step.id, mask, detail)

    def inside(self, node: str, mask: Array, count: int, detail: str, convention: str) -> None:
        """A convention used inside a body, by members of a map that the mask tells; told once."""
        if not any(w["node"] == node and w["detail"] == detail for w in self.warnings):
            told = len(self.warnings)
            self._add("non-differentiable", node, mask, detail, convention=convention)
            for warning in self.warnings[told:]:
                warning["count"] = count

    def reported_values(self, values: Mapping[int, Array]) -> None:
        """Without the values in between: the first reported node that is not finite."""
        for i in sorted(values):
            if _bad(values[i]):
                mask = ~np.isfinite(np.asarray(values[i]))
                name = self.typed.program.steps[i].id
                first = np.asarray(values[i])[mask].ravel()[0]
                self._add("non-finite-value", name, mask, f"{name} is {_shown(first)}")
                return

    def reported_derivatives(self, of: str, found: Mapping[str, Array]) -> None:
        """Without the cotangents in between: the first of the answer's derivatives that is not finite."""
        for name, value in found.items():
            if _bad(value):
                mask = ~np.isfinite(np.asarray(value))
                first = np.asarray(value)[mask].ravel()[0]
                detail = f"the derivative of {of} by {name} is {_shown(first)}"
                self._add("non-finite-gradient", of, mask, detail, operand=name)
                return

    def sparse_derivative(self, of: str, by: str, value: float, index: list[int], count: int) -> None:
        """A structural nonzero that is not finite; `index` is its place in the dense block."""
        detail = f"the derivative of {of} by {by} is {_shown(value)}"
        warning = {"kind": "non-finite-gradient", "node": of, "operand": by, "index": index, "count": count}
        if len(self.warnings) < self.most:
            self.warnings.append({**warning, "detail": detail})

    def values(self, refs: Sequence[Any]) -> None:
        """Where values became non-finite."""
        self._refs = refs
        nodes = self.typed.graph.nodes
        steps = self.typed.program.steps
        bad = _bad_ones(refs)
        if not bad:
            return
        seen: set[str] = set()
        for i in bad:
            node = nodes[i]
            if isinstance(refs[i], tuple):
                trouble = node.op.trouble(refs[i], **dict(node.params))
                if trouble is not None:
                    seen.add(self._id(i))
                    own = self.typed.nodes[self.typed.owner(i)]
                    mask = ~np.isfinite(np.asarray(refs[own if isinstance(own, int) else own[0]]))
                    self._add("non-finite-value", self._id(i), mask, trouble)
                continue
            if node.op is CONSTANT:
                continue
            value = np.asarray(refs[i])
            name = self._id(i)
            if name in seen:
                continue
            if node.op is INPUT:
                seen.add(name)
                mask = ~np.isfinite(value)
                self._add(
                    "non-finite-value", name, mask, f"the input {name} holds {_shown(value[mask].ravel()[0])}"
                )
                continue
            operands = [np.asarray(refs[j]) for j in self._operands(i) if not isinstance(refs[j], tuple)]
            mask = _unexplained(
                value, [o for o in operands if o.dtype.kind == "f"], node.op.elementwise, self.batch
            )
            if not mask.any():
                continue
            step = self.typed.owner(i)
            own = self.typed.nodes[step]
            if isinstance(own, int) and own != i and not _bad(refs[own]):
                continue  # inside a composite that gets rid of it: log(0) in a loss that is bounded there
            seen.add(name)
            operand, detail = self._cause(step, mask, value)
            more = {} if operand is None else {"operand": operand}
            self._add("non-finite-value", steps[step].id, mask, detail, **more)

    def _cause(self, step: int, mask: Array, value: Array) -> tuple[str | None, str]:
        """The operand to blame and what to say."""
        steps = self.typed.program.steps
        s = steps[step]
        shown = _shown(value[mask].ravel()[0])
        operand = next((a for a in s.operands if isinstance(a, int)), None)
        if operand is None:
            return None, f"{s.op.name} gives {shown}"
        names = [steps[a].id if isinstance(a, int) else _short(a) for a in s.operands if a is not None]
        return steps[operand].id, f"{s.op.name}({', '.join(names[:4])}){self._place(step, mask)} is {shown}"

    def _place(self, step: int, mask: Array) -> str:
        steps = self.typed.program.steps
        parts = []
        for a in dict.fromkeys(steps[step].operands):
            if not isinstance(a, int) or not isinstance(self.typed.nodes[a], int):
                continue
            value = np.asarray(self._refs[self.typed.node(a)])
            if value.ndim == 0:
                parts.append(f"{steps[a].id} = {_shown(value)}")
            elif value.shape == mask.shape:
                parts.append(f"{steps[a].id} = {_shown(value[mask].ravel()[0])}")
        return f" at {', '.join(parts[:3])}" if parts else ""

    def gradients(self, refs: Sequence[Any], adj: Sequence[Any], second: Sequence[Any] | None = None) -> None:
        """Where cotangents became non-finite on the way back, and where conventions were used.

        `second` are derivatives of the cotangents, where second derivatives were asked for.
        """
        self._backward(refs, adj, "derivative")
        if second is not None:
            self._backward(refs, second, "second derivative", adj)
        self._kinks(refs, adj, second=second)

    def _backward(
        self, refs: Sequence[Any], adj: Sequence[Any], what: str, first_order: Sequence[Any] | None = None
    ) -> None:
        """Non-finite cotangents that arose at a consumer whose own are finite.

        Those that are derivatives of non-finite cotangents, of `first_order`, were told before.
        """
        seen: set[str] = set()
        for j in reversed(_bad_ones(adj)):
            # The consumers of j: is one of them finite in its own cotangent? Then it arose there.
            name = self._id(j)
            told = first_order[j] if first_order is not None else None
            if name in seen or (told is not None and _bad(told)):
                continue
            causes = [i for i in self.consumers(j) if self._finite(adj, i)]
            cause = causes[0] if causes else None
            if len(causes) > 1 and len(self.warnings) < self.most:
                cause = next((i for i in causes if self._guilty(refs, first_order or adj, i, j, what)), cause)
            if cause is None or self._id(cause) == name:
                continue
            seen.add(name)
            mask = ~np.isfinite(np.asarray(adj[j]))
            first = np.asarray(adj[j])[mask].ravel()[0]
            at = self._id(cause)
            value = np.asarray(refs[j])
            where = f" at {name} = {_shown(value[mask].ravel()[0])}" if value.shape == mask.shape else ""
            op = self.typed.program.steps[self.typed.owner(cause)].op.name
            self._add(
                "non-finite-gradient",
                at,
                mask,
                f"the {what} of {op} ({at}) makes the gradient of {name} {_shown(first)}{where}",
                operand=name,
            )

    def _finite(self, adj: Sequence[Any], i: int) -> bool:
        """Whether node `i` has a cotangent, or one of its results has, and it is finite."""
        if adj[i] is not None or isinstance(self.typed.graph.nodes[i].aval, Aval):
            return adj[i] is not None and not _bad(adj[i])
        results = [adj[k] for k in self.consumers(i) if adj[k] is not None]
        return bool(results) and not _bad(results)

    def _guilty(self, refs: Sequence[Any], cotangents: Sequence[Any], i: int, j: int, what: str) -> bool:
        """Whether consumer `i` makes the cotangent of `j` non-finite; of mapped nodes that are not elementwise, maybe."""
        nodes = self.typed.graph.nodes
        if all(isinstance(nodes[i].op.rule(k), Linear) for k, m in enumerate(nodes[i].inputs) if m == j):
            return False
        cotangent = cotangents[i]
        if cotangent is None or (self.batch and not nodes[i].op.elementwise):
            return True
        aval = nodes[j].aval
        dtype = aval.dtype if isinstance(aval, Aval) and aval.floating else "float64"
        return guilty(nodes, refs, cotangent, i, j, dtype, 1 if what == "derivative" else 2)

    def consumers(self, j: int) -> list[int]:
        """Nodes that node `j` is an operand of."""
        if self._uses is None:
            self._uses = {}
            for i, node in enumerate(self.typed.graph.nodes):
                for k in node.inputs:
                    self._uses.setdefault(k, []).append(i)
        return self._uses.get(j, [])

    @property
    def may_kink(self) -> bool:
        """Whether the program has ops with kinks at all."""
        return any(
            node.op.convention
            and type(node.op).kink is not Op.kink
            and getattr(node.op, "kink_formula", node.op) is not None
            for node in self.typed.graph.nodes
        )

    def kinked(self, refs: Sequence[Any]) -> bool:
        """Whether a convention may have stood in for a derivative somewhere."""
        masks = (
            self._kink(i, node, refs) for i, node in enumerate(self.typed.graph.nodes) if node.op.convention
        )
        return any(m is not None and m.any() for m in masks)

    def _kink(self, i: int, node: Node, refs: Sequence[Any]) -> Array | None:
        """Where node `i` has no derivative; None if it has one everywhere."""
        if not isinstance(node.aval, Aval) or not node.aval.floating:
            return None
        if type(node.op).kink_met is not Op.kink_met:
            return np.ones((), bool)  # it depends on the derivative
        mask = node.op.kink([refs[j] for j in node.inputs], refs[i], **dict(node.params))
        return None if mask is None else np.asarray(mask)

    def _kinks(
        self,
        refs: Sequence[Any],
        derivatives: Sequence[Any],
        forward: bool = False,
        second: Sequence[Any] | None = None,
    ) -> None:
        for i, node in enumerate(self.typed.graph.nodes):
            if not node.op.convention:
                continue
            d = derivatives[i]
            used: Array | None
            if d is not None and type(node.op).kink_met is not Op.kink_met:
                used = node.op.kink_met([refs[j] for j in node.inputs], refs[i], d, **dict(node.params))
            else:
                used = None if d is None or isinstance(d, list) else self._kink(i, node, refs)
                if used is not None:
                    moving = (
                        [derivatives[j] for j in node.inputs if derivatives[j] is not None]
                        if forward
                        else [d]
                    )
                    if second is not None and second[i] is not None:
                        moving.append(second[i])
                    used = used & np.any([_moving(t, used) for t in moving], axis=0)
            if used is not None and used.any():
                step = self.typed.owner(i)
                s = self.typed.program.steps[step]
                inner = any(
                    isinstance(v, Program) for v in s.attrs.values()
                )  # a body's, mapped or derived: the op's own
                convention = (node.op.convention if inner else s.op.convention) or node.op.convention
                what = (
                    f"{node.op.name.removeprefix('core.')} inside {s.op.name} ({s.id})"
                    if inner
                    else s.op.name
                )
                same = not isinstance(refs[i], tuple) and used.shape == np.shape(refs[i])
                at = self._place(step, used) if same else ""
                self._add(
                    "non-differentiable",
                    s.id,
                    used,
                    f"{what} has no derivative{at or ' here'}. {convention}",
                    convention=convention,
                )

    def tangents(self, refs: Sequence[Any], dots: Sequence[Any]) -> None:
        """Where tangents became non-finite on the way forward, and where conventions were used."""
        seen: set[str] = set()
        for i in _bad_ones(dots):
            dot = dots[i]
            inputs = [dots[j] for j in self._operands(i)]
            if any(d is not None and _bad(d) for d in inputs):
                continue
            name = self._id(i)
            if name in seen:
                continue
            seen.add(name)
            mask = ~np.isfinite(np.asarray(dot))
            first = np.asarray(dot)[mask].ravel()[0]
            op = self.typed.program.steps[self.typed.owner(i)].op.name
            operand = next((self._id(j) for j in self._operands(i) if dots[j] is not None), None)
            self._add(
                "non-finite-tangent",
                name,
                mask,
                f"the tangent of {op} ({name}) is {_shown(first)}{self._place(self.typed.owner(i), mask)}",
                **({} if operand is None or operand == name else {"operand": operand}),
            )
        self._kinks(refs, dots, forward=True)
