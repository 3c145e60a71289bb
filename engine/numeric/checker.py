"""check: the gradient by autodiff against numerical derivatives, and against what the user's own code says it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.aval import Array
from engine.cost import Cost, check, check_answer
from engine.derive.again import naming
from engine.derive.diagnose import explain
from engine.derive.job import Job
from engine.derive.request import fitting, named_arrays, resolve_of, resolve_wrt
from engine.execute.meter import Meter
from engine.graph import Graph, Node
from engine.numeric.complex_step import complex_derivatives
from engine.numeric.differences import Lines, Sweep, default_steps, sweep
from engine.numeric.function import Function
from engine.numeric.report import Report
from engine.numeric.sample import Group, chosen, dense_direction, groups_of, locate
from engine.numeric.verdict import Seen, Tolerance, confirmed, judge
from engine.specialize import Typed
from engine.transforms.pull import depends_on
from engine.values import Given

MOST_ENTRIES = 100
"""Entries of an input that are checked one by one unless `max_entries` says otherwise: fewer where one evaluation takes
long, so that all of them take about `BUDGET`."""

BUDGET = 0.5
"""Seconds, predicted."""

RTOL = {"float64": 1e-6, "float32": 1e-3}
EXPECTED_RTOL = {"float64": 1e-5, "float32": 1e-3}
"""How far gradients may be apart, as a part of the larger one: autodiff and the differences beyond the error of these, and
the user's and autodiff (as NumPy's `allclose`)."""

EXACT_RTOL = {"float64": 1e-9, "float32": 1e-3}
"""Between autodiff and complex steps, which round little."""

LOOKED_AT_AGAIN = 16
"""So many lines that disagree are looked at with other steps."""

TINY = 1e-3
"""Entries that are smaller are moved by parts of their own size where all are moved together."""

HIDING = ("stop_gradient", "held")
"""Ops whose derivative is 0 though their value changes."""

NEAR_ZERO = 1e-8
"""Entries smaller than this part of the input's largest one count as 0 (where `atol` is not given)."""


@dataclass(frozen=True)
class CheckOptions:
    """check's own fields."""

    expected: Mapping[str, Given] = field(default_factory=dict)
    steps: tuple[float, ...] | None = None
    rtol: float | None = None
    atol: float | None = None
    max_entries: int | None = None


class Check(Job):
    """Differences, complex steps and a reverse sweep of one node, compared by input.

    Of a node that is no scalar it is the gradient of Σ seed·of, of Σ of where there is no seed; then a second, irregular
    seed is checked as well, since errors may cancel in a sum (that of softmax is 1 whatever its entries are).
    """

    def __init__(self, options: CheckOptions, *args: Any) -> None:
        super().__init__(*args)
        typed, request = self.typed, self.request
        self.options = options
        self.of = resolve_of(typed, request)
        self.wrt = resolve_wrt(typed, request)
        found = named_arrays(typed, request, "expected", options.expected, (), False)
        self.expected = {i: np.asarray(a, np.float64) for i, a in found.items()}
        self.wrt += [i for i in self.expected if i not in self.wrt]
        self.seeds = self._seeds()
        self.function = Function(typed, self.of, self.wrt, self.arguments, self.limits, self.meter)
        check_answer([*self.function.avals, self.function.aval], self.limits)
        self.steps = default_steps() if options.steps is None else list(options.steps)
        self.groups, self.most = self._plan()
        self.cost = self._cost()
        check(self.cost, self.limits, "This check")

    def graphs(self) -> Sequence[Graph]:
        """Those of the function are made when they are needed."""
        return [self.typed.graph]

    def _seeds(self) -> Array:
        aval = self.typed.aval(self.of)
        if self.request.seed is not None:
            name = self.id(self.of)
            given = fitting(self.request.seed, aval, self.dtype, name, "/seed")
            return np.asarray(given, np.float64).reshape(1, -1)
        ones = np.ones((1, aval.size))
        if aval.shape == ():
            return ones
        general = 1.0 + 0.37 * np.sin(1.0 + np.arange(aval.size, dtype=np.float64))
        return np.concatenate([ones, general.astype(self.dtype).astype(np.float64)[None]])

    # -- the plan

    @property
    def per_entry(self) -> int:
        """Evaluations that one line takes."""
        own = 0 if self.options.steps is None else len(self.steps)
        return 2 * (len(default_steps()) + own) + 1

    def _plan(self) -> tuple[list[Group], list[int]]:
        """How the inputs are looked at, and how many entries of each."""
        sizes = [a.size for a in self.function.avals]
        cost = self.function.cost
        each = 1e-9 * cost.flops + 2.5e-10 * cost.bytes + 3e-8 * cost.nodes
        if self.options.max_entries is not None:
            most = [min(n, self.options.max_entries) for n in sizes]
        else:
            total = int(max(BUDGET / (self.per_entry * max(each, 1e-9)), 1))
            share = max(total // max(len(sizes), 1), 1)
            most = [min(n, MOST_ENTRIES, share) for n in sizes]
            over = sum(most) - max(total, 1)
            if over > 0 and share == 1:  # more inputs than can be looked at one by one
                keep = max(total, 1)
                place = np.linspace(0, len(sizes) - 1, keep).astype(int)
                most = [n if k in set(place.tolist()) else 0 for k, n in enumerate(most)]
        return groups_of(sizes), most

    def _cost(self) -> Cost:
        """Of all evaluations; memory is that of the points computed together."""
        lines = sum(self.most) + len(self.groups)
        count = lines * self.per_entry
        one = self.function.cost
        share = self.limits.memory_bytes // 4
        return Cost(
            one.nodes * min(count, 100),
            one.flops * count,
            min(one.bytes * count, share) + one.bytes,
            one.largest_step,
        )

    # -- the run

    def run(self, meter: Meter) -> dict[str, Any]:
        """One reverse sweep for each seed, the differences, and the comparison."""
        f = self.function
        f.meter = meter
        self._kinks: list[tuple[int, int, int, float, float]] = []
        with naming(self, meter), np.errstate(all="ignore"):
            value, gradients = self._gradients()
            found = self._compare(gradients)
        answer: dict[str, Any] = {"ok": all(r["ok"] for r in found.values())}
        answer["disagrees"] = [name for name, r in found.items() if not r["ok"]]
        answer["value"] = value
        answer |= self.head(self.of)
        answer["inputs"] = found
        answer["evaluations"] = {"numerical": 2 * f.size, "reverse": 1, "spent": f.counts.value}
        return answer | {
            "graph_id": self.program.digest,
            "warnings": self._warnings(value, gradients, answer["disagrees"], meter),
        }

    def _gradients(self) -> tuple[Array, Array]:
        """The value, and the gradients by seed, [seeds, size]."""
        f = self.function
        rows = []
        value = np.zeros(f.aval.shape)
        for seed in self.seeds:
            value, gradient = f.gradient(f.start, seed.reshape(f.aval.shape))
            rows.append(gradient)
        self._size = float(np.abs(self.seeds[0] * value.reshape(-1)).sum())
        return value, np.stack(rows)

    # -- looking at lines

    def _look(self, which: tuple[int, ...], gradients: Array, lines: Lines, steps: Sequence[float]) -> Seen:
        """Differences along lines, and what they say of the gradients of the nodes `which`, [seeds, entries]."""
        data = sweep(self.function, lines, steps, self.seeds)
        with np.errstate(all="ignore"):
            natural = data.size[:, None] / lines.scale
            if lines.direction is not None:
                natural = np.concatenate([natural, data.size[:, None]], axis=1)
        eps = float(np.finfo(self.dtype).eps)
        return Seen(lines, data, judge(self._claimed(gradients, lines), data, self.tolerance, eps, natural))

    @staticmethod
    def _claimed(gradients: Array, lines: Lines) -> Array:
        """Derivatives along lines as the gradients have them, [seeds, lines]."""
        claimed = gradients[:, lines.entries]
        if lines.direction is None:
            return claimed
        with np.errstate(all="ignore"):
            along = np.where(lines.direction == 0, 0.0, gradients * lines.direction).sum(
                axis=1, keepdims=True
            )
        return np.concatenate([claimed, along], axis=1)

    @property
    def tolerance(self) -> Tolerance:
        """Between autodiff and the differences, beyond their error. Where there are `expected` gradients, `rtol` and `atol`
        are for these."""
        rtol, atol = RTOL[self.dtype], 0.0
        if not self.expected:
            rtol = rtol if self.options.rtol is None else self.options.rtol
            atol = self.options.atol or 0.0
        return Tolerance(rtol, atol)

    def _compare(self, gradients: Array) -> dict[str, dict[str, Any]]:
        f = self.function
        found: dict[int, Report] = {}
        for group in self.groups:
            span = f.span(group.which)
            found |= self._compare_group(group.which, gradients[:, span], scale_of(f.base[span]))
        for k, aval in enumerate(f.avals):
            if k not in found:  # without elements
                found[k] = Report(f.names[k], np.zeros(aval.shape))
        for k, i in enumerate(self.wrt):
            if found[k].bad.any():
                names = rules_between(self.typed, [i], self.of, ("core.custom",))
                if names:
                    found[
                        k
                    ].remark = f"On the way there is a rule of the program's own: {', '.join(names[:3])}."
        return {f.names[k]: found[k].fields() for k in range(len(f.avals))}

    def _compare_group(self, which: tuple[int, ...], gradients: Array, scale: Array) -> dict[int, Report]:
        f = self.function
        reports: dict[int, Report] = {}
        begins = [0, *np.cumsum([f.avals[k].size for k in which]).tolist()]
        places = []
        for k, begin in zip(which, begins, strict=False):
            own = slice(begin, begin + f.avals[k].size)
            report = reports[k] = Report(f.names[k], gradients[0, own].reshape(f.avals[k].shape))
            expected = self.expected.get(f.wrt[k])
            always: Sequence[int] = ()
            if expected is not None:
                always = report.expect(
                    expected.reshape(-1), self._expected_tolerance(report.flat, scale[own].max())
                )
            places.append(chosen(report.flat, self.most[k], always))
        entries = np.concatenate([p + b for p, b in zip(places, begins, strict=False)])
        direction = self._all_together(which, scale) if len(entries) < len(scale) else None
        lines = Lines(which, entries, scale[entries], direction)
        exact = complex_derivatives(f, lines, self.seeds)
        if exact is not None and direction is not None:  # what cancels in the sum over all entries
            sizes = np.nan_to_num(np.abs(gradients * direction), nan=0.0, posinf=0.0).sum(axis=1)
            exact[1][-1] += EXACT_RTOL[self.dtype] * sizes.max()
        strict = Tolerance(EXACT_RTOL[self.dtype], self.tolerance.atol)
        curve: Sweep | None = None
        if self.options.steps is not None:
            curve = sweep(f, Lines(which, entries, scale[entries]), self.steps, self.seeds)
        seen = None
        if curve is not None and exact is not None:  # then the differences are for the picture alone
            seen = confirmed(self._claimed(gradients, lines), *exact, lines, curve, strict)
        if seen is None:
            seen = self._look(which, gradients, lines, default_steps())
            if exact is not None:
                seen.hear(*exact, strict)
            if (
                direction is not None
            ):  # entries that cancel, or need steps of their own, are no reason to doubt
                seen.refuted[:, -1] &= seen.verdict.conclusive[:, -1] | seen.exact[:, -1]
            self._look_again(seen, gradients)
        self._kinks += seen.kinks(which, begins)
        curve = seen.data if curve is None else curve
        first = 0
        for k, place in zip(which, places, strict=True):
            rows = slice(first, first + len(place))
            reports[k].tell(seen, rows, place, None if exact is None else exact[0], curve, self.steps)
            first += len(place)
        if direction is not None and seen.bad[-1] and all(r.ok for r in reports.values()):
            self._point_out(which, gradients, scale, begins, reports)
        return reports

    def _all_together(self, which: tuple[int, ...], scale: Array) -> Array:
        """The direction in which all entries are moved: those that are small by steps of their own size."""
        size = np.abs(self.function.base[self.function.span(which)])
        largest = size.max(initial=0.0, where=np.isfinite(size))
        nothing = largest if 0 < largest < TINY else 1.0
        return dense_direction(np.where(size == 0, nothing, np.where(size < TINY, size, scale)))

    def _expected_tolerance(self, gradient: Array, scale: float) -> Tolerance:
        """By default as NumPy's `allclose`, but what counts as 0 depends on how large the gradient and the function are."""
        rtol = EXPECTED_RTOL[self.dtype] if self.options.rtol is None else self.options.rtol
        if self.options.atol is not None:
            return Tolerance(rtol, self.options.atol)
        finite = np.abs(gradient[np.isfinite(gradient)])
        least = 1e-12 * self._size / scale if np.isfinite(self._size) else 0.0
        return Tolerance(rtol, max(NEAR_ZERO * float(finite.max(initial=0.0)), least))

    # -- where differences and autodiff are apart

    def _look_again(self, seen: Seen, gradients: Array) -> None:
        """Lines that disagree, with steps of other sizes, and with what rounding makes of the gradient itself."""
        bad = np.flatnonzero(seen.bad)[:LOOKED_AT_AGAIN]
        if not len(bad):
            return
        v = seen.verdict
        spread = self._wavering(seen.lines, bad, bool(seen.exact[:, bad].any()))
        for n, i in enumerate(bad):
            gap = np.abs(v.claimed[:, i] - seen.numerical[:, i])
            seen.refuted[:, i] &= ~(gap <= 10 * spread[:, n] + 3 * np.minimum(v.error[:, i], gap / 4))
            if not seen.refuted[:, i].any() or seen.exact[:, i].all():
                continue
            for line in self._other_steps(seen.lines, int(i)):
                again = self._look(seen.lines.which, gradients, line, default_steps()).verdict
                seen.refuted[:, i] &= ~(again.agrees & again.conclusive)[:, 0]

    def _other_steps(self, lines: Lines, i: int) -> list[Lines]:
        """The line with other steps: between those before, and of the entry's own size where that is small."""
        if i >= len(lines.entries):
            assert lines.direction is not None
            none = np.zeros(0, np.int64)
            return [Lines(lines.which, none, np.zeros(0), 0.6 * lines.direction)]
        entry = lines.entries[i : i + 1]
        size = np.abs(self.function.base[self.function.span(lines.which)][entry])
        scales = [0.6 * lines.scale[i : i + 1]]
        if 0 < size[0] < 0.1:
            scales.append(size)
        return [Lines(lines.which, entry, s) for s in scales]

    def _wavering(self, lines: Lines, rows: Array, exact: bool) -> Array:
        """By how much derivatives along some of the lines change, and complex steps too where they are `exact`, when every
        entry is moved by a few units in its last place: [seeds, rows]."""
        f = self.function
        span = f.span(lines.which)
        base = np.where(np.isfinite(f.base[span]), f.base[span], 0.0)
        k = np.arange(len(span), dtype=np.float64)
        eps = float(np.finfo(self.dtype).eps)
        shifts = [0.0 * k, *(4 * eps * base * np.sin(n + k * n) for n in range(1, 5))]
        points = np.repeat(f.start[None], len(shifts), axis=0)
        points[:, span] += np.stack(shifts)
        found = np.zeros((len(self.seeds), len(rows)))
        for s, seed in enumerate(self.seeds):
            gradients = f.gradients(points, seed.reshape(f.aval.shape))[1][:, span]
            found[s] = _spread(self._claimed(gradients, lines)[:, rows])
        if exact:
            own = Lines(
                lines.which,
                lines.entries[rows[rows < len(lines.entries)]],
                lines.scale[rows[rows < len(lines.entries)]],
                lines.direction if len(lines.entries) in rows else None,
            )
            many = [complex_derivatives(f, own, self.seeds, shift) for shift in shifts]
            steps = np.stack([m[0] for m in many if m is not None])
            found = np.maximum(found, _spread(steps))
        return found

    def _point_out(
        self,
        which: tuple[int, ...],
        gradients: Array,
        scale: Array,
        begins: Sequence[int],
        reports: Mapping[int, Report],
    ) -> None:
        """The gradient as a whole disagrees though the entries that were looked at do not: find one that does."""
        direction = self._all_together(which, scale)
        steps = default_steps()[2:22]

        def wrong(places: Array) -> bool:
            only = np.zeros(len(direction))
            only[places] = direction[places]
            lines = Lines(which, np.zeros(0, np.int64), np.zeros(0), only)
            return bool(self._look(which, gradients, lines, steps).bad[0])

        place = locate(np.arange(len(scale)), wrong)
        if place is None:
            for k, begin, end in zip(which, begins[:-1], begins[1:], strict=True):
                if len(which) == 1 or wrong(np.arange(begin, end)):
                    reports[k].elsewhere = "Entries that were not looked at one by one are wrong together."
            return
        at = int(np.searchsorted(begins, place, side="right")) - 1
        report = reports[which[at]]
        entry = np.array([place])
        seen = self._look(which, gradients, Lines(which, entry, scale[entry]), default_steps())
        report.elsewhere = "It was found by looking at all entries together."
        report.point_at(place - begins[at], float(seen.numerical[0, 0]))

    def _warnings(
        self, value: Array, gradients: Array, disagrees: Sequence[str], meter: Meter
    ) -> list[dict[str, Any]]:
        """What grad would warn of, and what the differences showed besides."""
        f = self.function
        self.runner.kinked = f.runner.kinked
        seed = self.seeds[0].reshape(f.aval.shape).astype(self.dtype)
        watch = explain(self, meter, found=[value, gradients[0]], of={self.of: seed}, wrt=self.wrt, order=1)
        told = watch.warnings
        if not any(w["kind"] == "non-differentiable" for w in told):
            told += [self._kink(*kink) for kink in self._kinks]
        wrong = [i for i in self.wrt if self.id(i) in disagrees]
        for name in rules_between(self.typed, wrong, self.of, HIDING):
            op = self.program.steps[self.program.index[name]].op
            detail = (
                f"{op.name} ({name}) has no derivative on purpose, so the gradient is not that of the values, which "
                "differences see."
            )
            said = {"convention": op.convention} if op.convention else {}
            told.append({"kind": "non-differentiable", "node": name, **said, "detail": detail})
        if f.singular:
            detail = f"At {f.singular} of the points that were looked at a matrix is singular; the value there is NaN."
            told.append({"kind": "singular-matrix", "node": self.id(self.of), "detail": detail})
        return told[: self.limits.warnings]

    def _kink(self, k: int, place: int, count: int, left: float, right: float) -> dict[str, Any]:
        """The warning of derivatives that differ from side to side."""
        f = self.function
        shape = f.avals[k].shape
        index = [int(i) for i in np.unravel_index(place, shape)] if shape else []
        at = f"{f.names[k]}{index if index else ''}"
        return {
            "kind": "non-differentiable",
            "node": f.names[k],
            "index": index,
            "count": count,
            "detail": f"{self.id(self.of)} has no derivative by {at}: from below it is {left:.6g}, from above {right:.6g}.",
        }


def _spread(rows: Array) -> Array:
    """The largest difference of the other rows to the first; 0 where that is not known."""
    found: Array = np.nan_to_num(np.abs(rows[1:] - rows[0]).max(axis=0), nan=0.0, posinf=0.0)
    return found


def scale_of(base: Array) -> Array:
    """max(1, |x|): what a step of 1 moves an entry by."""
    size = np.abs(base)
    return np.where(np.isfinite(size), np.maximum(size, 1.0), 1.0)


def rules_between(typed: Typed, wrt: Sequence[int], of: int, ops: Sequence[str]) -> list[str]:
    """Ids of the steps between some and another in which one of these core ops is, in a body or not."""
    if not wrt:
        return []
    nodes = typed.graph.nodes
    active = depends_on(nodes, [typed.node(i) for i in wrt])
    needed = [False] * len(nodes)
    needed[typed.node(of)] = True
    found: dict[str, None] = {}
    for i in range(len(nodes) - 1, -1, -1):
        if not needed[i]:
            continue
        for j in nodes[i].inputs:
            needed[j] = True
        if any(active[j] for j in nodes[i].inputs) and _holds(nodes[i], ops):
            found[typed.program.steps[typed.owner(i)].id] = None
    return list(found)


def _holds(node: Node, ops: Sequence[str]) -> bool:
    if node.op.name in ops:
        return True
    return node.op.subgraphs and any(
        _holds(inner, ops) for _, p in node.params if isinstance(p, Graph) for inner in p.nodes
    )
