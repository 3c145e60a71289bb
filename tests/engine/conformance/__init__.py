"""What every op must show (see "Every op must show" in the conventions of the op catalogue), as checks of one op.

`examine` runs all of an op's examples through all checks and returns what is wrong, with a count of the comparisons that
each check made, so that a check which compares nothing cannot pass. It knows no op by name: what is expected comes from
independent references (`tests.engine.references`), from differences, and from relations that hold for every function
(a transpose, symmetry of second derivatives, a loop instead of a map).
"""

from __future__ import annotations

from tests.engine.conformance.cases import Case, cases, domain_cases
from tests.engine.conformance.computing import compute
from tests.engine.conformance.numeric import complex_step, ridders
from tests.engine.conformance.ops import examine, ops_met, structural
from tests.engine.conformance.report import Fixed, Reference, Report, Trouble

__all__ = [
    "Case", "Fixed", "Reference", "Report", "Trouble", "cases", "complex_step", "compute", "domain_cases", "examine",
    "ops_met", "ridders", "structural",
]  # fmt: skip
