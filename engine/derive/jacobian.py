"""jacobian, and the gradient in forward mode, which is a Jacobian contracted with the seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from engine.aval import Array, Aval
from engine.cost import Cost, check, check_answer
from engine.derive.again import naming
from engine.derive.batch import make_ready
from engine.derive.diagnose import explain, suspicious
from engine.derive.first_order import FirstOrder
from engine.derive.named import Picked
from engine.derive.on_tape import cost_on_tape, jacobian_on_tape, tape_for
from engine.derive.request import Request, resolve_many_of, resolve_of, resolve_wrt
from engine.derive.sparse import blocks, sparse_jacobian, watch_blocks
from engine.derive.sweep import Cells, Swept
from engine.derive.warn import Watch
from engine.execute.meter import Meter
from engine.graph import Graph, single
from engine.sparsity.compression import Direction
from engine.sparsity.selections import read_once
from engine.specialize import Typed
from engine.tape import Linearized, Tape
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph


class Jacobian(Swept):
    """∂of/∂wrt for every pair: by rows (reverse) where the outputs together are no larger than wrt, else by columns."""

    @property
    def fixed(self) -> Sequence[Array]:
        """The inputs."""
        return self.arguments

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.of = resolve_many_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        outs, ins = [typed.aval(i) for i in self.of], [typed.aval(i) for i in self.wrt]
        rows, columns = sum(a.size for a in outs), sum(a.size for a in ins)
        reverse = rows <= columns
        self.mode: str = request.mode if request.mode != "auto" else ("reverse" if reverse else "forward")
        self.tape = None if self.batch is not None or request.sparse else tape_for(typed)
        if self.tape is not None:
            check_answer([Aval((rows, columns), "float64")], self.limits)
            self.passes = rows if self.mode == "reverse" else columns
            self.cost = cost_on_tape(self.tape, self.passes)
            check(self.cost, self.limits, "This jacobian")
            return
        self._derive()

    def _derive(self) -> None:
        """Write out the derivative, and plan sweeps over it."""
        typed, request = self.typed, self.request
        outs, ins = [typed.aval(i) for i in self.of], [typed.aval(i) for i in self.wrt]
        graph = typed.graph
        of, wrt = [typed.node(i) for i in self.of], [typed.node(i) for i in self.wrt]
        compression, cells = None, None
        if request.sparse:
            graph = read_once(graph, {*of, *wrt})
            direction: Direction = "reverse" if self.mode == "reverse" else "forward"
            found = sparse_jacobian(self, graph, of, wrt, direction, request.mode != "auto")
            self.mode, compression, wrt = found.mode, found.compression, found.by
            cells = Cells([a.size for a in outs], [a.size for a in ins], found.columns)
            ins = [single(graph.nodes[i].aval) for i in wrt]
        else:
            check_answer(
                [Aval((*self.sizes, *o.shape, *n.shape), "float64") for o in outs for n in ins], self.limits
            )
        if self.mode == "reverse":
            derived = vjp_graph(
                graph.with_outputs(()), of, wrt, self.dtype, record_bytes=self.record_bytes, step=self.step
            )
        else:
            both = jvp_graph(graph.with_outputs(of), wrt, self.dtype, step=self.step)
            derived = both.with_outputs(both.outputs[len(of) :])
        seeds = outs if self.mode == "reverse" else ins
        self.prepare_sweep(derived, self.axes, seeds, compression, cells, last=self.mode == "forward")
        # With what is differentiated, so that a kink in it is met.
        values = typed.graph.with_outputs([*(typed.node(i) for i in self.program.outputs), *of])
        self.primal, _ = self.runner.prepare(values, self.axes, "This", plan=False)
        if not self.watching(values, range(len(typed.graph.nodes)), self.primal):
            make_ready(self.primal, guarded=self.runner.guarded, step=self.step)

    def blocks(self, meter: Meter) -> tuple[dict[int, dict[int, Array]], bool]:
        """The Jacobian's blocks: of → wrt → array of of.shape + wrt.shape behind the batch axes; and whether they are known
        to be finite."""
        if self.tape is not None:
            matrix = self._matrix(self.tape.linearize(self.numbers))
            if matrix is not None:
                cells = {o: {n: matrix[k, m] for m, n in enumerate(self.wrt)} for k, o in enumerate(self.of)}
                return cells, True
            self._derive()
        swept, finite = self.sweep(meter)
        result: dict[int, dict[int, Array]] = {o: {} for o in self.of}
        if self.mode == "reverse":
            for column, part in zip(self.wrt, swept, strict=True):
                for row, block in self.cut(part, self.of).items():
                    result[row][column] = block
        else:
            for row, part in zip(self.of, swept, strict=True):
                for column, block in self.cut(part, self.wrt).items():
                    result[row][column] = self.columns_last(block, self.typed.aval(column).rank)
        return result, finite

    def _matrix(self, at: Linearized) -> Array | None:
        """The Jacobian on the tape, float64[of, wrt]; None where that cannot be trusted."""
        typed = self.typed
        of, wrt = [typed.node(i) for i in self.of], [typed.node(i) for i in self.wrt]
        return jacobian_on_tape(at, of, wrt, self.mode == "reverse")

    def _run_on_tape(self, tape: Tape) -> dict[str, Any] | None:
        """The answer of a program of scalars; None where the tape cannot be trusted."""
        at = tape.linearize(self.numbers)
        matrix = self._matrix(at)
        if matrix is None:
            return None
        answer = self.head(None)
        answer["of"] = [self.id(i) for i in self.of]
        answer["outputs"] = Picked(self.typed, tape, self.program.outputs)(at.v)
        names = [self.id(i) for i in self.wrt]
        rows = matrix.tolist()
        answer["jacobian"] = {
            self.id(o): dict(zip(names, row, strict=True)) for o, row in zip(self.of, rows, strict=True)
        }
        return answer | self.tail(None, self.mode, self.passes)

    def run(self, meter: Meter) -> dict[str, Any]:
        """Values, then the sweep."""
        if self.tape is not None:
            quick = self._run_on_tape(self.tape)
            if quick is not None:
                return quick
            self.step = meter.check
            self._derive()
        with naming(self, meter):
            outs, clean = self.run_seen(self.primal, self.arguments, meter)
        values = dict(zip(self.program.outputs, outs, strict=False))
        answer = self.head(None)
        answer["of"] = [self.id(i) for i in self.of]
        answer["outputs"] = self.outputs(values)
        if self.readout is not None:
            data, finite = self.sweep_compressed(meter)
            parts = (self.readout, data, self.of, self.wrt)
            answer["jacobian"] = blocks(self, *parts)
            watch = self._watch(meter, values, [] if finite else [data], clean)
            if not finite and not watch.warnings:
                watch_blocks(self, watch, *parts)
            return answer | self.tail(watch, self.mode, self.passes)
        rows, finite = self.blocks(meter)
        answer["jacobian"] = {
            self.id(o): {self.id(n): a[()] for n, a in row.items()} for o, row in rows.items()
        }
        watch = self._watch(meter, values, [] if finite else [answer["jacobian"]], clean)
        if not finite and not watch.warnings:
            for o, row in answer["jacobian"].items():
                watch.reported_derivatives(o, row)
        return answer | self.tail(watch, self.mode, self.passes)

    def _watch(self, meter: Meter, values: Mapping[int, Array], found: Sequence[Any], clean: bool) -> Watch:
        """The warnings; `found` are derivatives that may not be finite, and values only if they are not `clean`."""
        looked = found if clean else [values, *found]
        watch = explain(self, meter, found=looked, of=self.of, wrt=self.wrt, clean=clean)
        if not clean and not watch.warnings:
            watch.reported_values(values)
        return watch


class ForwardGrad(FirstOrder):
    """grad in forward mode: one pass for each entry of wrt, contracted with the seed."""

    def __init__(self, *args: Any) -> None:
        request: Request = args[1]
        typed: Typed = args[0]
        inputs = tuple(typed.program.steps[i].id for i in typed.program.inputs if typed.aval(i).floating)
        given = request.wrt is not None
        self.inner: Jacobian | None = None
        if given or inputs:
            of = typed.program.steps[resolve_of(typed, request)].id
            self.inner_of, self.inner_wrt = of, request.wrt or inputs
            self.inner = Jacobian(typed, self._inner_request(request), *args[2:])
        super().__init__("grad", *args)
        self.watched = self.inner.wrt if self.inner is not None else []
        self.wrt = []
        if self.inner is not None:
            self.cost = Cost(
                self.cost.nodes + self.inner.cost.nodes,
                self.cost.flops + self.inner.cost.flops,
                max(self.cost.bytes, self.inner.cost.bytes),
                self.inner.cost.largest_step,
            )

    def load(self, request: Request, arrays: Mapping[str, Array], meter: Meter) -> None:
        """The inputs and the seed."""
        super().load(request, arrays, meter)
        if self.inner is not None:
            self.inner = self.inner.bound(self._inner_request(request), arrays, meter)

    def _inner_request(self, request: Request) -> Request:
        return replace(request, of=self.inner_of, wrt=self.inner_wrt, mode="forward")

    def blank(self) -> Self:
        """Without numbers."""
        job = super().blank()
        job.inner = None if self.inner is None else self.inner.blank()
        return job

    def graphs(self) -> Iterable[Graph]:
        """Those of the sweep as well."""
        yield from super().graphs()
        if self.inner is not None:
            yield from self.inner.graphs()

    def run(self, meter: Meter) -> dict[str, Any]:
        """The primal, the sweep, the contraction."""
        assert self.of is not None
        answer = super().run(meter)
        blocks = self.inner.blocks(meter)[0][self.of] if self.inner is not None else {}
        seed = self.seeds[self.of]
        core = len(self.typed.aval(self.of).shape)
        nb = len(self.sizes)
        gradients = {}
        for i in self.watched:
            block = blocks[i]
            own = [*range(nb + core)]
            rest = [*range(nb + core, block.ndim)]
            seed_axes = own[nb:] if seed.ndim == core else own
            with np.errstate(all="ignore"):
                gradients[self.id(i)] = _contract(block, own, rest, seed, seed_axes, nb)
        if suspicious(gradients) and not answer["warnings"]:
            watch = explain(self, meter, found=[gradients], of=self.seeds, wrt=self.watched)
            if not watch.warnings:
                watch.reported_derivatives(self.id(self.of), gradients)
            answer["warnings"] = watch.warnings
        answer["gradients"] = gradients
        answer["mode"] = "forward"
        return answer


def _contract(
    block: Array, own: list[int], rest: list[int], seed: Array, seed_axes: list[int], nb: int
) -> Array:
    """Σ seed·block over the axes of `of`, with the seed as a strong zero."""
    batch = () if seed_axes == own else (1,) * nb
    shaped = seed.reshape(batch + seed.shape + (1,) * len(rest))
    product = np.where(shaped == 0, np.zeros((), block.dtype), shaped * block)
    total: Array = product.sum(axis=tuple(own[nb:]))
    return total[()]
