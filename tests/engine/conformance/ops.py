"""All checks of an op: those of its page, of each of its examples, of wrong use; and that nothing was left out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from engine.aval import Array
from engine.errors import EngineError
from engine.graph import Graph, Node, single, typecheck
from engine.op import Op, check_attrs
from engine.transforms.pull import vjp_graph
from engine.transforms.push import jvp_graph
from engine.transforms.vmap import map_graph, vmap
from tests.engine.conformance.cases import Case, array_of, cases, domain_cases, role_of
from tests.engine.conformance.computing import carefully
from tests.engine.conformance.first import FirstOrderChecks
from tests.engine.conformance.maps import MapChecks
from tests.engine.conformance.report import Fixed, Reference, Report
from tests.engine.conformance.second import SecondOrderChecks
from tests.engine.conformance.values import ValueChecks


class Checker(ValueChecks, FirstOrderChecks, SecondOrderChecks, MapChecks):
    """All checks of one case."""

    def run(self) -> None:
        """All checks."""
        checks: list[Callable[[], None]] = [
            self.check_avals, self.check_value, self.check_eager, self.check_json, self.check_float32,
            self.check_integers, self.check_vmap,
        ]  # fmt: skip
        if self.differentiable:
            checks += [
                self.check_jvp, self.check_adjoint, self.check_strong_zero, self.check_eager_walks,
                self.check_second,
            ]  # fmt: skip
            if self.case.op.elementwise:
                checks.append(self.check_exact)
        for check in checks:
            try:
                check()
            except Exception as error:  # a check that cannot be made is a finding
                name = check.__name__.removeprefix("check_").replace("_", " ")
                self.report.trouble(name, self.named(f"{type(error).__name__}: {error}"))


def check_page(report: Report) -> None:
    """What the op's page is made of is there."""
    op = report.op
    names = [o.name for o in op.operands]
    if not op.summary.endswith((".", "…")) or len(op.summary) > 300:
        report.trouble("page", f"the docstring does not begin with a sentence: {op.summary!r}")
    try:
        op.latex.format(**dict.fromkeys([*names, *[a.name for a in op.attrs]], "x"))
    except (KeyError, IndexError, ValueError) as wrong:
        report.trouble("page", f"latex {op.latex!r}: {type(wrong).__name__} {wrong}")
    unknown = set(op.derivative) - set(names)
    if unknown:
        report.trouble("page", f"derivative for {sorted(unknown)}, which are no operands")
    report.counts["page"] += 1


def check_kink(report: Report, case: Case, checker: Checker) -> None:
    """Masks of kinks have the result's shape, are false where the example is said to be smooth, and are explained."""
    values = carefully(checker.graph, checker.arrays, "float64")
    for node, y in zip(checker.graph.nodes, values, strict=True):
        if type(node.op).kink is Op.kink or isinstance(y, tuple):
            continue
        with np.errstate(all="ignore"):
            mask = node.op.kink([values[j] for j in node.inputs], y, **dict(node.params))
        if mask is None:
            continue
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.shape != np.shape(y):
            shown = f"a mask of {mask.dtype}{list(mask.shape)}, not bool{list(np.shape(y))}"
            report.trouble("kink", f"{case.label}: {node.op.name} has {shown}")
        elif case.smooth and mask.any() and any(a.size for a in checker.arrays):
            report.trouble("kink", f"{case.label}: said to be smooth, but {node.op.name} is at a kink")
        elif mask.any() and not node.op.convention:
            report.trouble("kink", f"{case.label}: {node.op.name} uses a convention that is not stated")
        report.counts["kink"] += 1


SHAPES: tuple[tuple[int, ...], ...] = (
    (), (1,), (3,), (0,), (2, 3), (3, 3), (3, 0), (2, 1, 3), (1, 3, 3), (2, 3, 4, 4),
)  # fmt: skip


VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 3, -2, 5, -7, 2**40, (), (0,), (1, 0), (0, 0), (-1, 2), (2, 2, 2), ((1, 0), (0, 1)), None, True, False, 0.0,
    0.5, -1.5, 1e300, float("nan"), float("inf"), "none", "x", "ij,jk", "...", [], [[0, 1]],
)  # fmt: skip
"""What an attribute might be told to be; most do not fit."""


def check_misuse(report: Report, reference: Reference | None, rng: np.random.Generator, trials: int) -> None:
    """Operands of any shapes and dtypes, attributes of any kind: an engine error, or what was inferred."""
    op = report.op
    examples = (*op.examples, *(reference.examples if reference else ()))
    for trial in range(trials + len(SHAPES) if examples else 0):
        example = examples[rng.integers(len(examples))]
        # Once each shape for all operands; after that any shapes, and operands of the example among them.
        same = SHAPES[trial] if trial < len(SHAPES) else None
        operands: list[Array | None] = []
        for k, given in enumerate(example.operands):
            role = role_of(op, k)
            if given is None or (same is None and role is not None and role.optional and rng.random() < 0.2):
                operands.append(None)
                continue
            if same is None and rng.random() < 0.3 and not isinstance(given, Fixed):
                operands.append(array_of(given, role))
                continue
            shape = same if same is not None else SHAPES[rng.integers(len(SHAPES))]
            integer = role is not None and role.integer
            kind = rng.choice(["f", "i", "b"], p=[0.1, 0.8, 0.1] if integer else [0.8, 0.1, 0.1])
            values = rng.normal(size=shape) if kind == "f" else rng.integers(-2, 4, shape)
            operands.append(np.asarray(values > 0 if kind == "b" else values))
        attrs = dict(example.attrs)
        for attr in op.attrs:
            if same is None and rng.random() < 0.25:
                attrs[attr.name] = VALUES[rng.integers(len(VALUES))]
        shown = [None if v is None else f"{v.dtype}{list(v.shape)}" for v in operands]
        what = f"{shown} {attrs}"
        try:
            case = Case(op, tuple(operands), check_attrs(op, attrs), label="misuse")
            _misuse(case, rng)
        except EngineError as error:
            if len(error.detail) < 10 or "Error" in error.detail:
                report.trouble("misuse", f"{what}: an error that says little: {error.detail!r}")
        except Exception as error:  # exactly what must not happen
            report.trouble("misuse", f"{what}: {type(error).__name__}: {error}")
        report.counts["misuse"] += 1


def _misuse(case: Case, rng: np.random.Generator) -> None:
    graph = case.graph()
    carefully(graph, case.arrays, "float64")
    floats = [k for k, a in enumerate(case.arrays) if a.dtype.kind == "f"]
    outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
    if floats and outs:
        reverse = vjp_graph(graph, outs, [graph.inputs[k] for k in floats], "float64")
        typecheck(reverse)
        cts = [rng.normal(size=single(graph.nodes[o].aval).shape) for o in outs]
        carefully(reverse, [*case.arrays, *cts], "float64")
        forward = jvp_graph(graph, [graph.inputs[k] for k in floats], "float64")
        typecheck(forward)
        carefully(
            forward, [*case.arrays, *[rng.normal(size=case.arrays[k].shape) for k in floats]], "float64"
        )
    if case.arrays:
        mapped = map_graph(graph, 2, [0] * len(case.arrays), "float64")
        typecheck(mapped)
        carefully(mapped, [np.stack([a, a]) for a in case.arrays], "float64")


def structural(op: Op) -> bool:
    """Whether the op says of itself that it is part of how programs are written (input, constant, item): no `lower`."""
    return type(op).lower is Op.lower


def examine(op: Op, reference: Reference | None, *, trials: int = 10) -> Report:
    """All checks of one op."""
    report = Report(op)
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    check_page(report)
    if reference is None:
        report.trouble("reference", "there is nothing to compare it with in tests/engine/references.py")
    if not op.examples and not (reference and reference.examples):
        report.trouble("example", "it has no example")
    if op.elementwise and getattr(op, "domain", None) is None:
        report.trouble("example", "an elementwise op states the domain in which it is smooth")
    differentiable = smooth = False
    seen: set[int] = set()
    for case in [*cases(op, reference), *domain_cases(op, reference, rng)]:
        try:
            checker = Checker(report, case, reference, rng)
        except Exception as error:  # an example that cannot be written is a finding
            report.trouble("example", f"{case.label}: {type(error).__name__}: {error}")
            continue
        checker.run()
        try:
            check_kink(report, case, checker)
        except Exception as error:
            report.trouble("kink", f"{case.label}: {type(error).__name__}: {error}")
        if checker.differentiable:
            differentiable = True
            full = [k for k in checker.floats if checker.arrays[k].size]
            smooth = smooth or (case.smooth and bool(full))
            seen.update(case.variable[k] for k in full)
    check_misuse(report, reference, rng, trials)
    _check_counts(report, reference, differentiable, smooth, seen)
    return report


def _check_counts(
    report: Report, reference: Reference | None, differentiable: bool, smooth: bool, seen: set[int]
) -> None:
    """Nothing may pass because nothing was compared."""
    op, counts = report.op, report.counts
    wanted = ["page", "json"]
    if op.examples or (reference and reference.examples):
        wanted += ["value", "aval", "eager", "misuse"]
    if op.operands:
        wanted.append("vmap")
    if differentiable:
        wanted += ["float32", "adjoint", "strong zero", "second order", "jvp"]
        if not smooth:
            report.trouble(
                "example", "no example is smooth and has elements: no derivative is compared with differences"
            )
        wanted += [f"operand {k}" for k in sorted(seen)]
        if op.elementwise:
            wanted.append("exact")
            if reference is not None and reference.exact is None:
                report.trouble("reference", "an elementwise op needs an mpmath function for its derivatives")
    if any(o.optional for o in op.operands):
        for k, o in enumerate(op.operands):
            if not any(len(e.operands) > k and e.operands[k] is not None for e in op.examples):
                report.trouble("example", f"no example gives the optional operand {o.name}")
    for check in wanted:
        if not counts[check]:
            report.trouble("vacuous", f"no comparison was made for: {check}")


def ops_met(op: Op, reference: Reference | None) -> set[Op]:
    """All ops, internal ones included, that occur in an op's examples and their first derivatives, mapped or not."""
    met: set[Op] = set()

    def note(nodes: Sequence[Node]) -> None:
        for node in nodes:
            met.add(node.op)
            for _, value in node.params:
                if isinstance(value, Graph):
                    note(value.nodes)

    for case in cases(op, reference):
        graph = case.graph()
        note(graph.nodes)
        floats = [k for k, a in enumerate(case.arrays) if a.dtype.kind == "f"]
        outs = [o for o, a in zip(graph.outputs, graph.out_avals, strict=True) if a.floating]
        if floats and outs:
            wrt = [graph.inputs[k] for k in floats]
            reverse = vjp_graph(graph, outs, wrt, "float64")
            note(reverse.nodes)
            note(jvp_graph(graph, wrt, "float64").nodes)
            backs, cts = reverse.outputs[len(graph.outputs) :], reverse.inputs[len(case.arrays) :]
            note(vjp_graph(reverse, backs, cts, "float64").nodes)
        if case.arrays:
            for size in range(1, min(len(case.arrays), 3) + 1):
                for chosen in combinations(range(len(case.arrays)), size):
                    note(vmap(graph, 2, [k in chosen for k in range(len(case.arrays))], "float64")[0].nodes)
    return met
