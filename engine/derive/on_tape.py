"""evaluate, grad, vjp, jvp, jacobian and hessian of programs of scalars on the tape machine (`engine.tape`).

What the tape cannot know (strong zeros, what holds at infinities, conventions at kinks) it reports, and then the answer is
that of the careful executor. So these give an answer that needs no warnings, or none at all (None).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.aval import Array
from engine.cost import Cost
from engine.derive.named import Named, Picked
from engine.execute.meter import Meter
from engine.specialize import Typed
from engine.tape import Linearized, Tape, tape_of

if TYPE_CHECKING:
    from engine.derive.first_order import FirstOrder


class OnTape:
    """A first-order verb on the tape."""

    def __init__(self, job: FirstOrder, tape: Tape) -> None:
        typed = job.typed
        steps = typed.program.steps
        self.tape = tape
        self.output_ids = job.program.output_ids
        self.outputs = Picked(typed, tape, job.program.outputs)
        self.reported = Picked(typed, tape, job.reported)
        self.gradients = Picked(typed, tape, job.wrt)
        floats = [i for i in job.reported if typed.aval(i).floating]
        self.tangents = Picked(typed, tape, floats)
        self.output_tangents = Picked(typed, tape, [i for i in job.program.outputs if typed.aval(i).floating])
        self.of = None if job.of is None else typed.node(job.of)
        self.unit = {} if self.of is None else {self.of: 1.0}
        self.of_id = "" if job.of is None else steps[job.of].id

    def answer(self, job: FirstOrder, meter: Meter) -> dict[str, Any] | None:
        """The answer's fields, up to those that all answers end with; None where the careful executor has to be asked."""
        tape, verb, typed = self.tape, job.verb, job.typed
        if verb == "evaluate":
            values = tape.values(job.numbers)
            if values.suspicious:
                return None
            return {
                "output_ids": self.output_ids.copy(),
                "outputs": self.outputs(values.v),
                "values": self.reported(values.v),
            }
        if verb == "jvp":
            at = tape.linearize(job.numbers)
            if not trusted(at):
                return None
            dots = at.forward({typed.node(i): float(t) for i, t in job.tangents.items()})
            if not trusted(at):
                return None
            return {
                "output_ids": self.output_ids.copy(),
                "outputs": self.outputs(at.v),
                "values": self.reported(at.v),
                "output_tangents": self.output_tangents(dots),
                "node_tangents": self.tangents(dots),
            }
        if job.seeds is job.unit and self.of is not None:
            seeds = self.unit
        else:
            seeds = {typed.node(i): float(s) for i, s in job.seeds.items()}
        found = tape.gradient(job.numbers, seeds)
        if found.suspicious or found.kinked:
            return None
        v = found.v
        answer = {"value": v.item(self.of), "of": self.of_id} if self.of is not None else {}
        answer["output_ids"] = self.output_ids.copy()
        answer["outputs"] = Named(self.outputs, v)
        answer["values"] = Named(self.reported, v)
        answer["gradients"] = Named(self.gradients, found.g)
        return answer


def trusted(at: Linearized) -> bool:
    """Whether all is finite so far, and no convention was met."""
    return not (at.suspicious or at.kinked)


def jacobian_on_tape(at: Linearized, of: Sequence[int], wrt: Sequence[int], reverse: bool) -> Array | None:
    """∂of/∂wrt between entries of a tape, [len(of), len(wrt)], by rows or by columns; None where that is not to be trusted."""
    if not trusted(at):
        return None
    if reverse:
        rows = at.reverse_many(of, np.eye(len(of)), wrt)
    else:
        rows = at.forward_many(wrt, np.eye(len(wrt)), of).T
    return rows if trusted(at) else None


def cost_on_tape(tape: Tape, sweeps: int) -> Cost:
    """Cost of one linearization and so many sweeps over it, where the tape can be trusted."""
    n = len(tape)
    return Cost(n, 4.0 * n + 2.0 * tape.edge_count * sweeps, 64 * n, 1.0)


def tape_for(typed: Typed) -> Tape | None:
    """The tape of a typed program, if it is one of double-precision scalars."""
    return tape_of(typed.graph) if typed.dtype == "float64" else None
