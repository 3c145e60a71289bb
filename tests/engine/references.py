"""What each op is compared with, by name: functions of NumPy, SciPy, mpmath or plain Python, with the op's signature."""

from __future__ import annotations

from tests.engine import (
    reference_arrays,
    reference_control,
    reference_convolution,
    reference_elementwise,
    reference_layers,
    reference_linear,
    reference_losses,
    reference_names,
    reference_nested,
    reference_nn,
    reference_order,
    reference_pieces,
    reference_pooling,
    reference_resize,
    reference_samples,
    reference_spatial,
    reference_special,
)
from tests.engine.conformance import Reference

TABLES = (
    reference_arrays.TABLE,
    reference_control.TABLE,
    reference_elementwise.TABLE,
    reference_linear.TABLE,
    reference_losses.TABLE,
    reference_names.TABLE,
    reference_nested.TABLE,
    reference_nn.TABLE,
    reference_order.TABLE,
    reference_pieces.TABLE,
    reference_samples.TABLE,
    reference_special.TABLE,
    reference_convolution.TABLE,
    reference_layers.TABLE,
    reference_pooling.TABLE,
    reference_resize.TABLE,
    reference_spatial.TABLE,
)

REFERENCES: dict[str, Reference] = {name: reference for table in TABLES for name, reference in table.items()}
assert len(REFERENCES) == sum(map(len, TABLES)), "an op has two references"
