"""Checks of values: against the reference, in both dtypes, written eagerly, through JSON, of integers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.aval import DType, aval_of
from engine.builder import EagerBuilder, Var, Weak, call
from engine.errors import EngineError
from engine.graph import Graph, typecheck
from engine.op import registry
from engine.program import Program
from engine.spec import read_graph
from engine.specialize import specialize
from engine.transforms.pull import vjp_graph
from engine.transforms.simplify import simplify
from tests.engine.conformance.cases import SMALL_LIMITS, Case
from tests.engine.conformance.computing import WrongAval, carefully, compute, executed
from tests.engine.conformance.looker import Looker
from tests.engine.conformance.numeric import direction, moved


class ValueChecks(Looker):
    """Checks of values."""

    def check_avals(self) -> None:
        """Every node's value has the aval it was inferred to have, and no op writes into its operands."""
        try:
            typecheck(self.graph)
            all_values = carefully(self.graph, self.arrays, "float64")
        except (WrongAval, AssertionError, ValueError) as wrong:
            self.report.trouble("aval", self.named(str(wrong)))
            return
        for o, v in zip(self.graph.outputs, self.values, strict=True):
            self.report.equal("aval", v, all_values[o], self.named("computed again"), rtol=0)

    def check_value(self) -> None:
        """The result is that of the reference."""
        if self.reference is None:
            return
        expected = self.expected(self.case.operands)
        if len(expected) != len(self.values):
            self.report.trouble("value", self.named(f"{len(self.values)} results, expected {len(expected)}"))
            return
        for m, (v, e) in enumerate(zip(map(np.asarray, self.values), map(np.asarray, expected), strict=True)):
            what = self.named(f"result {m}")
            if v.dtype.kind != e.dtype.kind and not (v.dtype.kind == "f" and e.dtype.kind in "iub"):
                self.report.trouble("value", f"{what} is {v.dtype}, expected {e.dtype}")
            else:
                self.report.equal("value", v, e, what, rtol=1e-12, atol=self.noise(e))

    def check_eager(self) -> None:
        """The op written eagerly, and the simplified graph, give what the graph gives."""
        same = simplify(self.graph, "float64")
        typecheck(same)
        for m, (v, e) in enumerate(zip(compute(same, self.arrays), self.values, strict=True)):
            self.report.equal("eager", v, e, self.named(f"result {m} simplified"), rtol=0)
        for m, (v, e) in enumerate(zip(executed(same, self.arrays), self.values, strict=True)):
            self.report.equal("eager", v, e, self.named(f"result {m} executed"), rtol=0)
        if any(isinstance(v, Program) for v in self.case.attrs.values()):
            return  # a body is typed by `specialize`, which writes graphs
        b = EagerBuilder()
        operands: list[Any] = []
        for k, v in enumerate(self.case.operands):
            if v is None:
                operands.append(None)
            elif k not in self.case.literal:
                operands.append(Var(b, v[()]))
            elif v.dtype.kind == "f":
                operands.append(Weak(v, bool(np.isfinite(v).all() and (v == np.floor(v)).all())))
            else:
                operands.append(b.var(v))
        with np.errstate(all="ignore"):
            result = call(b, self.case.op, *operands, **self.case.attrs)
        eager = [v.ref for v in (result if isinstance(result, tuple) else (result,))]
        for m, (v, e) in enumerate(zip(eager, self.values, strict=True)):
            self.report.equal("eager", v, e, self.named(f"result {m} written eagerly"), rtol=0)

    def check_json(self) -> None:
        """The program, written as JSON and read again, is the same program and the same graph."""
        program = self.case.program(self.n)
        document = json.loads(json.dumps(program.to_json(), allow_nan=False))
        if self.case.op.name not in registry:
            self.report.trouble("json", f"{self.case.op.name} cannot be named in a graph")
            return
        again = read_graph(document)
        if again.digest != program.digest:
            self.report.trouble("json", self.named(f"read again it is {json.dumps(again.to_json())[:300]}"))
        self.report.counts["json"] += 1
        if registry.core(self.case.op.name) is not self.case.op:
            return
        avals = {f"x{k}": aval_of(self.case.operands[k]) for k in self.case.variable}  # type: ignore[arg-type]
        graph = specialize(again, avals, limits=SMALL_LIMITS).graph  # type: ignore[arg-type]
        for v, e in zip(compute(graph, self.arrays), self.values, strict=True):
            self.report.equal("json", v, e, self.named("read again and computed"), rtol=0)

    def check_float32(self) -> None:
        """In float32 everything is float32, and agrees as far as float32 and the op's conditioning go."""
        if not any(np.asarray(a).dtype.kind == "f" for a in [*self.arrays, *self.values]):
            return
        with np.errstate(all="ignore"):
            low = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in self.arrays]
        for a, x in zip(low, self.arrays, strict=True):
            if x.dtype.kind == "f" and not np.array_equal(
                (a == 0) | ~np.isfinite(a), (x == 0) | ~np.isfinite(x)
            ):
                return  # the example is out of float32's range
        wide, narrow = self.graph, self.case.graph("float32")
        if self.differentiable and self.case.smooth:
            wide, narrow = self._gradient(wide, "float64"), self._gradient(narrow, "float32")
        typecheck(narrow)
        cts = [self.rng.uniform(0.5, 1.5, a.shape).astype(np.float32) for a in narrow.in_avals[len(low) :]]
        try:
            all_values = carefully(narrow, [*low, *cts], "float32")
        except (WrongAval, ValueError) as wrong:
            self.report.trouble("float32", self.named(str(wrong)))
            return
        high = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in low]
        seeds = [c.astype(np.float64) for c in cts]
        expected = [np.asarray(e) for e in compute(wide, [*high, *seeds])]
        # How much the operands' last digit in float32 matters.
        shifts = [None if a.dtype.kind != "f" else direction(a, self.rng) for a in high]
        shaken = [compute(wide, [*moved(high, shifts, t), *seeds]) for t in (2e-7, -2e-7)]
        for m, (o, e) in enumerate(zip(narrow.outputs, expected, strict=True)):
            if e.dtype.kind != "f":
                continue
            what = self.named(f"result {m}" if m < self.n else f"gradient {m - self.n}")
            if all_values[o].dtype != np.float32:
                self.report.trouble("float32", f"{what} is {all_values[o].dtype}")
            with np.errstate(all="ignore"):
                spread = sum(np.abs(np.asarray(s[m]) - e) for s in shaken)
                e = np.where(np.abs(e) > 3e38, np.sign(e) * np.inf, e)
            atol = 8 * np.where(np.isfinite(spread), spread, 0.0) + 1e7 * self.noise(e) + 1e-37
            where = "" if m < self.n else "expected"
            self.report.equal("float32", all_values[o], e, what, rtol=1e-5, atol=atol, where=where)

    def _gradient(self, graph: Graph, dtype: DType) -> Graph:
        outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
        return vjp_graph(graph, outs, [graph.inputs[k] for k in self.floats], dtype)

    def check_integers(self) -> None:
        """Integers and booleans in place of floats give the same numbers, or an error that says so."""
        if not self.floats or self.case.literal:
            return
        usable = [k for k in self.floats if bool((np.abs(self.arrays[k]) < 1e6).all())]
        for chosen in [*[[k] for k in usable], usable]:
            self._check_integers(chosen, np.int64)
            if self.case.op.promotes:  # where nothing is promoted, True + True is True
                self._check_integers(chosen, np.bool_)

    def _check_integers(self, chosen: Sequence[int], dtype: type[np.generic]) -> None:
        op, changed, as_floats = self.case.op, list(self.arrays), list(self.arrays)
        for k in chosen:
            rounded = np.rint(self.arrays[k])
            changed[k] = (rounded if dtype is np.int64 else rounded != 0).astype(dtype)
            as_floats[k] = changed[k].astype(np.float64)
        what = self.named(f"operands {list(chosen)} as {dtype.__name__}")
        try:
            reference = Case(op, self.case.with_arrays(as_floats), self.case.attrs)
            expected = compute(reference.graph(), as_floats)
        except EngineError:
            return
        try:
            graph = Case(op, self.case.with_arrays(changed), self.case.attrs).graph()
            all_values = carefully(graph, changed, "float64")
        except EngineError as refused:
            if (op.floating or op.passes_integers) and dtype is np.int64:
                self.report.trouble("integers", f"{what}: {refused}")
            return
        except WrongAval as wrong:
            self.report.trouble("integers", f"{what}: {wrong}")
            return
        if len(graph.outputs) < len(expected):
            return  # an integer has no cotangent, so vjp has no result for it
        for o, e in zip(graph.outputs, map(np.asarray, expected), strict=True):
            v = np.asarray(all_values[o])
            if v.dtype.kind == "b" and e.dtype.kind == "f":
                e = e != 0
            elif v.dtype.kind == "i" and e.dtype.kind == "f":
                finite = np.isfinite(e)
                v, e = np.where(finite, v, 0), np.trunc(np.where(finite, e, 0.0))
            self.report.equal("integers", v, e, what, rtol=1e-12, atol=1e-300)
