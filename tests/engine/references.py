"""What each op is compared with, by name: functions of NumPy, SciPy, mpmath or plain Python, with the op's signature."""

from __future__ import annotations

from tests.engine import (
    reference_arrays,
    reference_control,
    reference_elementwise,
    reference_linear,
    reference_nn,
)
from tests.engine.conformance import Reference

TABLES = (
    reference_arrays.TABLE, reference_control.TABLE, reference_elementwise.TABLE, reference_linear.TABLE, reference_nn.TABLE,
)  # fmt: skip

REFERENCES: dict[str, Reference] = {name: reference for table in TABLES for name, reference in table.items()}
assert len(REFERENCES) == sum(map(len, TABLES)), "an op has two references"
