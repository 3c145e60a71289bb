"""Every op in the catalogue shows what every op must show. An op is tested by being registered; none is exempt."""

from __future__ import annotations

import pytest

import engine.ops  # noqa: F401  # fills the registry
from engine.op import Op, registry
from tests.engine.conformance import examine, ops_met, structural
from tests.engine.references import REFERENCES

OPS = list(registry)


@pytest.mark.parametrize("op", OPS, ids=[op.name for op in OPS])
def test_op(op: Op) -> None:
    if structural(op):
        # Part of how programs are written: `specialize` reads it, and every program of this test has some.
        assert op.family == "structure"
        assert op.name not in REFERENCES
        return
    report = examine(op, REFERENCES.get(op.name))
    shown = "\n".join(f"  {t.check}: {t.detail}" for t in report.troubles[:20])
    assert not report.troubles, (
        f"{op.name}: {len(report.troubles)} troubles, among them\n{shown}\n{dict(report.counts)}"
    )


def test_every_internal_op_occurs_in_some_example() -> None:
    met: set[Op] = set()
    for op in OPS:
        if not structural(op):
            met |= ops_met(op, REFERENCES.get(op.name))
    wanted = {op for op in registry.everything() if not op.composite and not structural(op)}
    wanted |= {op for op in registry.everything() if op.internal and not op.name.startswith("core.")}
    assert not {op.name for op in wanted - met}


def test_references_are_of_ops() -> None:
    assert not set(REFERENCES) - {op.name for op in OPS}
